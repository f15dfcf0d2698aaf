"""What stands behind rendered people: walls and boxes, or pictures of nobody."""

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.geometry import warp
from blazepose_jax.structs import Frame


def smooth_noise(key: jax.Array, side: int, cells: int, channels: int = 1) -> jax.Array:
    """(side, side, channels) in [-1, 1], with about ``cells`` bumps per side."""
    coarse = jax.random.uniform(key, (cells, cells, channels), minval=-1.0)
    place = np.linspace(0, cells - 1, side)
    low = np.minimum(place.astype(int), cells - 2)
    share = place - low
    share = share * share * (3 - 2 * share)  # no edges where cells meet
    for axis in (0, 1):
        across = share[:, None, None] if axis == 0 else share[None, :, None]
        coarse = (
            jnp.take(coarse, low, axis) * (1 - across) + jnp.take(coarse, low + 1, axis) * across
        )
    return coarse


def background(key: jax.Array, side: int, pictures: jax.Array | None = None) -> jax.Array:
    """Something without people.

    Args:
      key: random key.
      side: S, px.
      pictures: (N, P, P, 3) uint8 of nobody, of which a part of one is shown; None draws walls.

    Returns:
      (S, S, 3) float32 in [0, 255].
    """
    return _walls(key, side) if pictures is None else cut_out(key, side, pictures)


def cut_out(key: jax.Array, side: int, pictures: jax.Array) -> jax.Array:
    """A square of one of the pictures, perhaps mirrored, in other light.

    Args: as for ``background``.

    Returns:
      (S, S, 3) float32 in [0, 255].
    """
    which, *keys = jax.random.split(key, 6)
    count, whole, *_ = pictures.shape
    share = jax.random.uniform(keys[0], minval=0.5)
    x, y = jax.random.uniform(keys[1], (2,)) * (1 - share) * whole
    step, zero = share * (whole - 1) / (side - 1), jnp.zeros(())
    affine = jnp.stack([jnp.stack([step, zero, x]), jnp.stack([zero, step, y])])
    picture = pictures[jax.random.randint(which, (), 0, count)]
    frame = Frame(picture.reshape(-1, 3), jnp.array([whole, whole]))
    image = warp.crop(frame, affine, side, border="replicate")
    image = jnp.where(jax.random.bernoulli(keys[2]), image[:, ::-1], image)
    tint = jax.random.uniform(keys[3], (3,), minval=0.8, maxval=1.2)
    light = jax.random.uniform(keys[4], minval=0.6, maxval=1.4)
    return jnp.clip(image * tint * light, 0, 255)


def _walls(key: jax.Array, side: int) -> jax.Array:
    """(S, S, 3) in [0, 255]: a wall, perhaps a floor, boxes, and cloudy noise over all."""
    *keys, grain = jax.random.split(key, 7)
    y, x = jnp.mgrid[:side, :side] / side
    base = jax.random.uniform(keys[0], (2, 3), minval=20.0, maxval=235.0)
    base = base.mean(-1, keepdims=True) + (base - base.mean(-1, keepdims=True)) * 0.5
    tilt = 0.2 * jax.random.normal(keys[1])
    horizon = jax.random.uniform(keys[2], minval=0.35, maxval=1.3) + tilt * (x - 0.5)
    image = jnp.where((y > horizon)[..., None], base[0], base[1])
    colours = jax.random.uniform(keys[3], (8, 3), maxval=255.0)
    colours = 0.5 * (colours + colours.mean(-1, keepdims=True))
    boxes = jax.random.uniform(keys[4], (8, 4))
    halves = 0.02 + 0.3 * boxes[:, 2:] ** 2
    for i in range(8):
        inside = (jnp.abs(x - boxes[i, 0]) < halves[i, 0]) & (
            jnp.abs(y - boxes[i, 1]) < halves[i, 1]
        )
        image = jnp.where(inside[..., None], 0.35 * image + 0.65 * colours[i], image)
    busy = jax.random.uniform(keys[5], minval=0.2, maxval=1.0)
    octaves = (3, 8, 20, 48)
    for i, (cells, pair) in enumerate(
        zip(octaves, jax.random.split(grain, (len(octaves), 2)), strict=True)
    ):
        tint = 0.7 + 0.6 * jax.random.uniform(pair[0], (3,))
        image += busy * 45 / (i + 1) * smooth_noise(pair[1], side, cells) * tint
    return jnp.clip(image, 0, 255)
