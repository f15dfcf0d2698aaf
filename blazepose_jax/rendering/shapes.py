"""Round cones, their materials, and the clothes that decide on them."""

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

# Materials: rows of a person's table of colours.
SKIN, SHIRT, TROUSERS, SHOES, HAIR, EYE, IRIS, LIPS, BROW, TRIM = range(10)


class Shapes(struct.PyTreeNode):
    """P round cones: spheres swept from one end to the other while their radius changes.

    Flattened ones are spheres in axes of their own.
    """

    start: jax.Array  # (P, 3)
    end: jax.Array  # (P, 3)
    start_radius: jax.Array  # (P,)
    end_radius: jax.Array  # (P,)
    to_round: jax.Array  # (P, 3, 3) from camera axes to axes in which the shape is round
    near: jax.Array  # (P,) int32, material from the start to ``cut``
    far: jax.Array  # (P,) int32, material from ``cut`` to the end
    cut: jax.Array  # (P,) share of the way; beyond 1 there is no second material


class Clothes(struct.PyTreeNode):
    """What a person wears."""

    sleeve: jax.Array  # (), 0 none, 1 to the elbow, 2 to the wrist
    leg: jax.Array  # (), likewise from the hip
    loose: jax.Array  # (), 0 tight to 1 wide
    skirt: jax.Array  # () bool
    hair: jax.Array  # (), 0 bald, 0.5 short, 1 long


def draw_clothes(key: jax.Array) -> Clothes:
    """Random clothes."""
    keys = jax.random.split(key, 7)
    sleeve = jnp.where(
        jax.random.bernoulli(keys[0], 0.45), 2.0, jax.random.uniform(keys[1], maxval=1.1)
    )
    leg = jnp.where(
        jax.random.bernoulli(keys[2], 0.55),
        2.0,
        jax.random.uniform(keys[3], minval=0.25, maxval=1.2),
    )
    loose = jax.random.uniform(keys[4]) ** 2
    skirt = jax.random.bernoulli(keys[5], 0.12)
    hair = jax.random.uniform(keys[6])
    return Clothes(sleeve, jnp.where(skirt, 0.0, leg), loose, skirt, hair)


def cone(
    start: jax.Array,
    end: jax.Array,
    start_radius: ArrayLike,
    end_radius: ArrayLike,
    near: int,
    far: int | None = None,
    cut: ArrayLike = 2.0,
    turn: jax.Array | None = None,
    squeeze: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Shapes:
    """One round cone, without the axis P.

    Args:
      start: (3,).
      end: (3,).
      start_radius: ().
      end_radius: ().
      near: material.
      far: material from ``cut`` on; None for the same.
      cut: () share of the way.
      turn: (3, 3) rotation to the axes of ``squeeze``; None for those of the camera.
      squeeze: factors of thickness along them.
    """
    return Shapes(
        start,
        end,
        jnp.float32(start_radius),
        jnp.float32(end_radius),
        jnp.eye(3) if turn is None else (turn / jnp.array(squeeze)).T,
        jnp.int32(near),
        jnp.int32(near if far is None else far),
        jnp.float32(cut),
    )


def stack(cones: list[Shapes]) -> Shapes:
    """Single cones along the axis P."""
    return jax.tree.map(lambda *a: jnp.stack(a), *cones)
