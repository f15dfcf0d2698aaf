"""Upsampling by two: bilinear, and depth to space."""

import jax
import jax.numpy as jnp
from jax import lax

from blazepose_jax.models.layers import LayerConfig

# A padding value that no network uses; it stands for an upsampling until the .tflite is written.
UPSAMPLE_MARK = -20061.0


def upsample2x(x: jax.Array, config: LayerConfig) -> jax.Array:
    """Bilinear x2 with half-pixel centres, as TFLite's RESIZE_BILINEAR(half_pixel_centers=True).

    Args:
      x: (B, H, W, C).
      config: with ``convolution="tflite"`` the result is a mark of the right shape, which
        ``export/flatbuffer.py`` replaces.

    Returns:
      (B, 2H, 2W, C). Every output is a 3:1 mix of two neighbours per axis, the border repeated.
    """
    batch, height, width, channels = x.shape
    if config.convolution == "tflite":
        return lax.pad(
            x,
            jnp.asarray(UPSAMPLE_MARK, x.dtype),
            ((0, 0, 0), (0, height, 0), (0, width, 0), (0, 0, 0)),
        )
    # Even rows, then odd ones, (B, H, 2W, C), are (B, 2H, W, C) in memory. GPU delegates want no
    # fifth axis; on CPU XLA compiles the stack to code whose rounding lies closer to LiteRT's (the
    # astronaut: 0.03 px, not 0.11).
    join = jnp.stack if config.fast_on_cpu else jnp.concatenate
    x = join(_mixtures(x, 1), 2).reshape(batch, 2 * height, width, channels)
    return join(_mixtures(x, 2), 3).reshape(batch, 2 * height, 2 * width, channels)


def _mixtures(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Even and odd outputs along an axis: each entry mixed with the one before, and after, it."""
    size = x.shape[axis]
    before = jnp.concatenate(
        [lax.slice_in_dim(x, 0, 1, axis=axis), lax.slice_in_dim(x, 0, size - 1, axis=axis)], axis
    )
    after = jnp.concatenate(
        [lax.slice_in_dim(x, 1, size, axis=axis), lax.slice_in_dim(x, size - 1, size, axis=axis)],
        axis,
    )
    return 0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after


def depth_to_space2x(x: jax.Array) -> jax.Array:
    """TensorFlow's depth_to_space of block 2, channels in (dy, dx, c) order.

    Args:
      x: (B, H, W, 4C).

    Returns:
      (B, 2H, 2W, C).
    """
    batch, height, width, channels = x.shape
    rows = [x[..., : channels // 2], x[..., channels // 2 :]]  # dy = 0, 1
    rows = [row.reshape(batch, height, 2 * width, channels // 4) for row in rows]
    return jnp.concatenate(rows, 2).reshape(batch, 2 * height, 2 * width, channels // 4)
