"""A key and a sample come in, a disturbed sample leaves.

Pure, on the device, one sample at a time.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from blazepose_jax.structs import ROI


def jitter_roi(
    key: jax.Array, roi: ROI, scale: ArrayLike, shift: ArrayLike, angle: ArrayLike
) -> ROI:
    """Disturb a square as a tracker would (paper, 2.6).

    Args:
      key: random key.
      roi: scalar.
      scale: relative, uniform in ±scale.
      shift: of the side, uniform in ±shift for x and y.
      angle: radians, uniform in ±angle.

    Returns:
      ROI.
    """
    draw = jax.random.uniform(key, (4,), minval=-1.0)
    return ROI(
        roi.center + draw[:2] * shift * roi.side,
        roi.side * (1 + draw[2] * scale),
        roi.angle + draw[3] * angle,
    )


def mirror_affine(affine: jax.Array, side: int) -> jax.Array:
    """The affine of the mirrored crop: crop pixel x shows what side - x showed."""
    return jnp.stack([-affine[:, 0], affine[:, 1], affine[:, 2] + side * affine[:, 0]], -1)


def colour(key: jax.Array, image: jax.Array, strength: float) -> jax.Array:
    """Brightness, contrast, saturation, tint and noise.

    Args:
      key: random key.
      image: (S, S, 3) float32 in [0, 255].
      strength: 0 changes nothing, 1 a lot.

    Returns:
      (S, S, 3) float32 in [0, 255].
    """
    keys = jax.random.split(key, 3)
    light, contrast, saturation = strength * jax.random.uniform(keys[0], (3,), minval=-1.0)
    tint = 1 + 0.15 * strength * jax.random.uniform(keys[1], (3,), minval=-1.0)
    grey = image.mean(-1, keepdims=True)
    image = grey + (image - grey) * (1 + 0.5 * saturation)
    image = (image - 127.5) * (1 + 0.4 * contrast) + 127.5 + 50 * light
    return jnp.clip(image * tint + 4 * strength * jax.random.normal(keys[2], image.shape), 0, 255)


def occlude(
    key: jax.Array, image: jax.Array, points_crop: jax.Array, count: int, probability: float
) -> tuple[jax.Array, jax.Array]:
    """Cover parts with rectangles of random colours (paper, 2.6).

    Args:
      key: random key.
      image: (S, S, C) float32; channels after the third, such as a mask, become 0.
      points_crop: (K, 2) crop frame.
      count: rectangles at the most.
      probability: that there are any.

    Returns:
      The image, and (K,) bool: the point is covered.
    """
    keys = jax.random.split(key, 5)
    wanted = jnp.arange(count) < jax.random.randint(keys[0], (), 1, count + 1)
    wanted &= jax.random.bernoulli(keys[1], probability)
    centers = jax.random.uniform(keys[2], (count, 2), minval=0.1, maxval=0.9)
    halves = jax.random.uniform(keys[3], (count, 2), minval=0.04, maxval=0.16)
    colours = jax.random.uniform(keys[4], (count, 3), maxval=255.0)
    colours = jnp.pad(colours, ((0, 0), (0, image.shape[-1] - 3)))
    side = image.shape[0]
    steps = jnp.arange(side) / side
    covered = jnp.zeros(points_crop.shape[0], bool)
    for i in range(count):
        across = jnp.abs(steps - centers[i, 0]) < halves[i, 0]
        down = jnp.abs(steps - centers[i, 1]) < halves[i, 1]
        inside = (down[:, None] & across[None]) & wanted[i]
        image = jnp.where(inside[..., None], colours[i], image)
        covered |= (jnp.abs(points_crop - centers[i]) < halves[i]).all(-1) & wanted[i]
    return image, covered


def truncate(
    key: jax.Array, image: jax.Array, points_crop: jax.Array, probability: float
) -> tuple[jax.Array, jax.Array]:
    """Let the frame end above the legs.

    Rows below a random line repeat it, as the border of a crop would.

    Args:
      key: random key.
      image: (S, S, C) float32; channels after the third, such as a mask, become 0 there.
      points_crop: (K, 2) crop frame.
      probability: of doing it.

    Returns:
      The image, and (K,) bool: the point lies beyond the end of the frame.
    """
    chosen, where = jax.random.split(key)
    line = jnp.where(
        jax.random.bernoulli(chosen, probability),
        jax.random.uniform(where, minval=0.45, maxval=0.85),
        2.0,
    )
    side = image.shape[0]
    rows = jnp.minimum(jnp.arange(side), jnp.maximum((line * side).astype(jnp.int32) - 1, 0))
    beyond = (jnp.arange(side) >= line * side)[:, None, None] & (jnp.arange(image.shape[-1]) >= 3)
    return jnp.where(beyond, 0, image[rows]), points_crop[:, 1] >= line
