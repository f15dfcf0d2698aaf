"""Augmentation: disturbances of one sample, pure functions of a key, on the device."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from blazepose_jax.structs import ROI

WIDE_SCALE, WIDE_ANGLE = 2.5, 3.0  # times the disturbance, of the share ``wide``


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How samples are disturbed; ``NO_AUGMENTATION`` leaves them as they are.

    The paper disturbs scale and shift by 10 % and limits the angle; wider ranges cost capacity
    (arXiv 2006.10204, 2.6).
    """

    scale: float = 0.10
    # Of the ROI's side; the paper's 10 %.
    shift: float = 0.10
    # Radians; 15 degrees.
    angle: float = 0.26
    # Share of samples with 2.5 times the scale and shift and 3 times the angle.
    wide: float = 0.2
    flip: float = 0.5
    colour: float = 0.6
    occluders: int = 3
    occlusion: float = 0.5
    # Share whose frame ends above the legs (the paper's upper-body case).
    truncation: float = 0.15
    # Share that sees the upper or the lower half alone, larger.
    half_body: float = 0.1
    # Share of samples moved off the person, for pose presence.
    negatives: float = 0.08


NO_AUGMENTATION = AugmentConfig(
    scale=0.0,
    shift=0.0,
    angle=0.0,
    wide=0.0,
    flip=0.0,
    colour=0.0,
    occluders=0,
    occlusion=0.0,
    truncation=0.0,
    half_body=0.0,
    negatives=0.0,
)


def disturbed_roi(key: jax.Array, roi: ROI, config: AugmentConfig) -> tuple[ROI, jax.Array]:
    """Where a sample looks instead of at the true square.

    Args:
      key: random key.
      roi: scalar, the truth.
      config: what to disturb.

    Returns:
      ROI, and () bool: the person is still at its centre.
    """
    is_wide, jitter, is_half, which_half, is_negative, direction = jax.random.split(key, 6)
    wide = jax.random.bernoulli(is_wide, config.wide)
    seen = jitter_roi(
        jitter,
        roi,
        config.scale * (1 + (WIDE_SCALE - 1) * wide),
        config.shift * (1 + (WIDE_SCALE - 1) * wide),
        config.angle * (1 + (WIDE_ANGLE - 1) * wide),
    )
    half = jax.random.bernoulli(is_half, config.half_body)
    # Of the side: the chest or the knees.
    end = jnp.where(jax.random.bernoulli(which_half), 0.2, -0.2)
    along = end * seen.side * jnp.stack([jnp.sin(seen.angle), -jnp.cos(seen.angle)])
    seen = ROI(
        jnp.where(half, seen.center + along, seen.center),
        jnp.where(half, 0.65, 1.0) * seen.side,
        seen.angle,
    )
    # A negative looks past the person, whose centre lies at least a third of the side away.
    is_person = ~jax.random.bernoulli(is_negative, config.negatives)
    away = jax.random.uniform(direction, maxval=2 * jnp.pi)
    offset = 0.75 * seen.side * jnp.stack([jnp.cos(away), jnp.sin(away)])
    return seen.replace(center=jnp.where(is_person, seen.center, seen.center + offset)), is_person


def jitter_roi(
    key: jax.Array, roi: ROI, scale: ArrayLike, shift: ArrayLike, angle: ArrayLike
) -> ROI:
    """Disturb a square as a tracker would (arXiv 2006.10204, 2.6).

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
    """The (2, 3) affine of the mirrored crop: crop pixel x shows what side - x showed."""
    return jnp.stack([-affine[:, 0], affine[:, 1], affine[:, 2] + side * affine[:, 0]], -1)


def mirror_points(points_crop: jax.Array) -> jax.Array:
    """(..., 2) points of the mirrored crop, crop frame: x becomes 1 - x."""
    return jnp.array([1.0, 0.0]) + points_crop * jnp.array([-1.0, 1.0])


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
    """Cover parts with rectangles of random colours (arXiv 2006.10204, 2.6).

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
    drawn = jnp.arange(count) < jax.random.randint(keys[0], (), 1, count + 1)
    drawn &= jax.random.bernoulli(keys[1], probability)
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
        inside = (down[:, None] & across[None]) & drawn[i]
        image = jnp.where(inside[..., None], colours[i], image)
        covered |= (jnp.abs(points_crop - centers[i]) < halves[i]).all(-1) & drawn[i]
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
    beyond = jnp.arange(side) >= line * side
    beyond = beyond[:, None, None] & (jnp.arange(image.shape[-1]) >= 3)
    return jnp.where(beyond, 0, image[rows]), points_crop[:, 1] >= line
