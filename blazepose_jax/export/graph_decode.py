"""The heatmaps' answer in the landmark tensor of an exported graph."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from blazepose_jax.codecs.soft_argmax import soft_argmax
from blazepose_jax.export.mediapipe_rows import conv
from blazepose_jax.structs import Array

# What ``export --decode`` offers, of ``codecs.landmarks.DECODES``.
DECODES = {
    "heatmap": "x and y of the keypoints by the heatmaps, which readers of that tensor then get",
    "regression": "the regressed points; Google's own bits",
}


def with_heatmap_points(
    landmarks: Array, heatmap_logits: Array, keypoints: list[int], side: int
) -> jax.Array:
    """Move x and y of the keypoints to where the heatmaps say (``codecs.soft_argmax``).

    Convolutions and products alone, which CPU and GPU delegates run whole; in crop units, whose
    squares fit into half precision.

    Args:
      landmarks: (B, K', F), x and y first, crop px.
      heatmap_logits: (B, G, G, K').
      keypoints: the rows to move; the others, which place the next crop, stay.
      side: of the crop, px.

    Returns:
      (B, K', F).
    """
    batch, rows, width = landmarks.shape
    flat = jnp.asarray(landmarks).reshape(batch, 1, 1, rows * width)
    # [row, x or y] -> its channel
    pick = np.eye(rows * width, dtype=np.float32).reshape(rows, width, -1)[:, :2]
    moved = np.zeros((rows, 1, 1), np.float32)
    moved[keypoints] = side
    with jax.named_scope("heads/decode"):
        x, y = (conv(flat, pick[:, axis].T / side) for axis in (0, 1))
        steps = soft_argmax(x, y, heatmap_logits, _depthwise)
        for axis, step in enumerate(steps):
            flat = flat + conv(step, (pick * moved)[:, axis])
    return flat.reshape(batch, rows, width)


def _depthwise(maps: Array, kernel: np.ndarray) -> jax.Array:
    """Real convolutions, which all delegates know; sums over axes are refused by some."""
    channels = maps.shape[-1]
    weights = np.repeat(kernel[:, :, None, None].astype(np.float32), channels, 3)
    # Both strides must be equal; along its own axis a kernel fits but once.
    stride = kernel.shape[0] if kernel.shape[0] == kernel.shape[1] else 1
    return lax.conv_general_dilated(
        jnp.asarray(maps),
        jnp.asarray(weights),
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=channels,
    )
