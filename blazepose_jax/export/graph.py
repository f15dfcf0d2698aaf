"""A stored network comes in.

The function that a phone runs leaves, with what its inputs and outputs mean.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.mediapipe_rows import NEEDED, NO_HEATMAP, ROWS, to_mediapipe_rows
from blazepose_jax.models import FIELDS, LayerConfig, create_model, spec_of
from blazepose_jax.models.fold import fold_batch_norm
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.weights import StoredNetwork

# In the order by which MediaPipe binds them (mediapipe.md 4.2, 4.3).
OUTPUTS = {
    "detector": ("boxes", "scores"),
    "pose": ("landmarks", "presence", "mask", "heatmap", "world"),
}
MEDIAPIPE_DETECTOR = (224, 2254)  # input px and anchors, hard-wired
ROI_ROWS = (33, 34)


@dataclasses.dataclass(frozen=True)
class Graph:
    """What is exported.

    Attributes:
      kind: ``detector`` or ``pose``.
      model: the network's name.
      call: (B, side, side, 3) float32 normalised images to a tuple of arrays.
      batch: B.
      side: input px.
      mean: input = (grey level - mean) / std.
      std: as above.
      outputs: names, in order.
      keypoints: what the rows of the landmarks are; empty for a detector.
      fields: what is known of each keypoint; empty for a detector.
    """

    kind: str
    model: str
    call: Callable[[jax.Array], tuple[jax.Array, ...]]
    batch: int
    side: int
    mean: float
    std: float
    outputs: tuple[str, ...]
    keypoints: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(B, side, side, 3)."""
        return (self.batch, self.side, self.side, 3)


def make_graph(
    net: StoredNetwork, *, batch: int = 1, mediapipe: bool = True, convolution: str = "tflite"
) -> Graph:
    """Build the function to export.

    A detector gives boxes (B, A, 12) and scores (B, A, 1), logits. A pose net gives landmarks (B,
    K' · F), presence (B, 1), a probability, mask (B, M, M, 1), heatmap (B, G, G, K'), logits, world
    (B, 3K').

    Args:
      net: batch normalisation is folded.
      batch: B, fixed.
      mediapipe: pose nets: 39 rows of 5 fields and all five outputs, whatever the net predicts. A
        head that it does not have is a constant: mask and heatmap -10 (nobody; nothing to refine),
        world 0. Otherwise own keypoint sets keep their rows and only existing heads are outputs.
      convolution: of ``LayerConfig``: ``tflite`` leaves marks for ``flatbuffer``, ``xla`` is
        complete.

    Returns:
      Graph.

    Raises:
      BlazePoseError: a detector, or a keypoint set, that MediaPipe cannot use.
    """
    if batch < 1:
        raise BlazePoseError(f"batch is {batch}: it must be a whole number of at least 1")
    spec = spec_of(net.model)
    if net.norm == "batch":
        net = dataclasses.replace(net, variables=fold_batch_norm(net.variables), norm="folded")
    config = LayerConfig("folded", convolution=convolution)
    if spec.kind == "detector":
        if mediapipe and (spec.side, spec.anchors) != MEDIAPIPE_DETECTOR:
            raise BlazePoseError(
                f"{net.model} has {spec.side} px and {spec.anchors} anchors: MediaPipe hard-wires "
                f"{MEDIAPIPE_DETECTOR[0]} px and {MEDIAPIPE_DETECTOR[1]} anchors; use a detector "
                "like 'detector', or export this one with --part detector as a .tflite"
            )
        module = create_model(net.model, config, **net.arguments)

        def detect(images: jax.Array) -> tuple[jax.Array, ...]:
            outputs: Any = module.apply(net.variables, images, train=False)
            return outputs.boxes, outputs.logits

        return Graph(
            "detector",
            net.model,
            detect,
            batch,
            spec.side,
            spec.mean,
            spec.std,
            OUTPUTS["detector"],
        )
    return _pose_graph(net, config, batch, mediapipe)


def _pose_graph(net: StoredNetwork, config: LayerConfig, batch: int, mediapipe: bool) -> Graph:
    skeleton, spec = net.skeleton or BLAZEPOSE, spec_of(net.model)
    known = [ROWS.index(name) for name in skeleton.keypoints if name in ROWS]
    computes_roi = mediapipe and not skeleton.has_roi_points
    if mediapipe:
        net = to_mediapipe_rows(net)
    module = create_model(net.model, config, **net.arguments)
    names = (net.skeleton or BLAZEPOSE).keypoints + (net.skeleton or BLAZEPOSE).auxiliary
    side = net.arguments.get("side", spec.side)
    shapes = jax.eval_shape(
        lambda x: module.apply(net.variables, x, train=False),
        jax.ShapeDtypeStruct((batch, side, side, 3), jnp.float32),
    )
    outputs = tuple(
        name for name in OUTPUTS["pose"] if mediapipe or getattr(shapes, name) is not None
    )
    constants = {
        "mask": (1, 1, -10.0),
        "heatmap": (4, len(ROWS), NO_HEATMAP),
        "world": (side, 3 * len(ROWS), 0.0),
    }

    def estimate(images: jax.Array) -> tuple[jax.Array, ...]:
        found: Any = module.apply(net.variables, images, train=False)
        rows = with_roi_rows(found.landmarks, known, side) if computes_roi else found.landmarks
        values = {
            "landmarks": rows.reshape(batch, -1),
            "presence": jax.nn.sigmoid(found.presence),
            "mask": found.mask,
            "heatmap": found.heatmap,
            "world": found.world,
        }
        for name, (stride, channels, value) in constants.items():
            if name in outputs and values[name] is None:
                values[name] = constant_map(images, stride, channels, value)
        values["world"] = None if values["world"] is None else values["world"].reshape(batch, -1)
        return tuple(values[name] for name in outputs)

    return Graph(
        "pose",
        net.model,
        estimate,
        batch,
        side,
        spec.mean,
        spec.std,
        outputs,
        names,
        tuple(net.arguments.get("fields", FIELDS)),
    )


def constant_map(images: jax.Array, stride: int, channels: int, value: float) -> jax.Array:
    """(B, S/stride, S/stride, channels) of one value, as a convolution that ignores its input.

    An output without an operator behind it is dropped by the GPU delegate, and the outputs after it
    move up.
    """
    with jax.named_scope("heads/constant"):
        return _conv(images, jnp.zeros((3, channels)), stride) + jnp.full(channels, value)


def with_roi_rows(landmarks: jax.Array, known: list[int], side: int) -> jax.Array:
    """Fill rows 33 and 34, which place the next crop, as ``rois.from_keypoints`` places it
    without them.

    Convolutions, a maximum over a window and one root, since GPU delegates refuse reductions and
    slices of anything else than images; in units of the crop, so that squares fit into float16.

    Args:
      landmarks: (B, 39, 5), crop px.
      known: which of the 33 rows the net predicts.
      side: of the crop, px.

    Returns:
      (B, 39, 5): row 33 is the mid-hip, row 34 lies as far from it as the farthest point, towards
      the mid-shoulder.
    """
    batch, rows, width = landmarks.shape
    flat = landmarks.reshape(batch, 1, 1, rows * width)
    # [row, x or y] -> its channel
    pick = np.eye(rows * width, dtype=np.float32).reshape(rows, width, -1)[:, :2]
    hips, shoulders = ([ROWS.index(name) for name in pair] for pair in (NEEDED[:2], NEEDED[2:]))
    center, up = pick[hips].mean(0), pick[shoulders].mean(0) - pick[hips].mean(0)  # (2, 195) each
    apart = pick[known] - center  # (n, 2, 195)
    with jax.named_scope("heads/roi"):
        squares = _conv(flat, apart.reshape(-1, rows * width).T / side) ** 2  # (B, 1, 1, 2n)
        distances = _conv(squares, np.repeat(np.eye(len(known), dtype=np.float32), 2, 0))
        # (B, 1, 1, 1)
        farthest = lax.reduce_window(
            distances.reshape(batch, 1, -1, 1),
            -jnp.inf,
            lax.max,
            (1, 1, len(known), 1),
            (1, 1, len(known), 1),
            "VALID",
        )
        direction = _conv(flat, up.T / side)  # (B, 1, 1, 2)
        length = _conv(direction**2, np.ones((2, 1), np.float32)) + jnp.full(1, 1e-6)
        offset = direction * jnp.sqrt(farthest / length)
        keep = np.eye(rows * width, dtype=np.float32)
        for row in ROI_ROWS:
            keep[:, row * width : row * width + 2] = center.T
        placed = np.zeros((2, rows * width), np.float32)
        placed[[0, 1], [ROI_ROWS[1] * width, ROI_ROWS[1] * width + 1]] = side
        return (_conv(flat, keep) + _conv(offset, placed)).reshape(batch, rows, width)


def _conv(x: jax.Array, matrix: np.ndarray | jax.Array, stride: int = 1) -> jax.Array:
    """A matrix over the channels of (B, H, W, C), as a 1x1 convolution."""
    return lax.conv_general_dilated(
        x,
        jnp.asarray(matrix)[None, None],
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
