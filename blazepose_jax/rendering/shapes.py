"""A posed figure and its clothes come in, the round cones that it is built of leave."""

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from blazepose_jax.rendering.figure import Figure
from blazepose_jax.skeleton import BLAZEPOSE

# Rows of a person's table of colours.
SKIN, SHIRT, TROUSERS, SHOES, HAIR, EYE, IRIS, LIPS, BROW, TRIM = range(10)


class Shapes(struct.PyTreeNode):
    """P round cones: spheres swept from one end to the other.

    Flattened ones are round in their own axes.
    """

    start: jax.Array  # (P, 3)
    end: jax.Array  # (P, 3)
    start_radius: jax.Array  # (P,)
    end_radius: jax.Array  # (P,)
    to_round: jax.Array  # (P, 3, 3) from camera axes to axes in which the shape is round
    near: jax.Array  # (P,) int32, material from the start ...
    far: jax.Array  # (P,) int32, ... and the one from ``cut`` on
    cut: jax.Array  # (P,) share of the way


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


def _stack(rows: list[tuple]) -> Shapes:
    a, b, ra, rb, turn, near, far, cut = (
        jnp.stack([jnp.asarray(v) for v in column]) for column in zip(*rows, strict=True)
    )
    return Shapes(
        a, b, ra, rb, turn, near.astype(jnp.int32), far.astype(jnp.int32), cut.astype(jnp.float32)
    )


def _cone(
    a, b, ra, rb, near, far=None, cut: ArrayLike = 2.0, turn=None, squeeze=(1.0, 1.0, 1.0)
) -> tuple:
    to_round = jnp.eye(3) if turn is None else (turn / jnp.array(squeeze)).T
    return (
        a,
        b,
        jnp.float32(ra),
        jnp.float32(rb),
        to_round,
        near,
        near if far is None else far,
        jnp.float32(cut),
    )


def _point(figure: Figure, name: str) -> jax.Array:
    return figure.points[BLAZEPOSE.keypoints.index(name)]


def build(figure: Figure, clothes: Clothes) -> tuple[Shapes, Shapes, Shapes]:
    """A person in metres.

    Args:
      figure: joints.
      clothes: lengths and widths.

    Returns:
      Large, middling and small shapes: up to 0.8 m, 0.4 m and 0.17 m.
    """
    large, feet = _body(figure, clothes)
    middling, features = _head(figure, clothes)
    small = features + _hand(figure, 0) + _hand(figure, 1)
    return _stack(large), _stack(feet + middling), _stack(small)


def _body(figure: Figure, clothes: Clothes) -> tuple[list[tuple], list[tuple]]:
    """Trunk, arms and legs; and neck and feet."""
    k, g = figure.height / 1.7, figure.girth
    wide = 1 + 0.35 * clothes.loose
    waist, chest, neck = figure.spine
    at = {name: _point(figure, name) for name in BLAZEPOSE.keypoints[11:]}
    across = figure.trunk_turn @ jnp.array([1.0, 0.0, 0.0])
    sideways = figure.hip_turn @ jnp.array([1.0, 0.0, 0.0])
    rows, feet = [], []

    def trunk(middle, axis, half, radius, turn, depth, material):
        # Elliptic: as wide as ``half + radius``, flattened from front to back.
        rows.append(
            _cone(
                middle - axis * half,
                middle + axis * half,
                radius,
                radius,
                material,
                turn=turn,
                squeeze=(1.0, 1.0, depth),
            )
        )

    down = figure.hip_turn @ jnp.array([0.0, 1.0, 0.0])
    trunk(0.02 * k * down, sideways, 0.07 * k * g, 0.115 * k * g, figure.hip_turn, 0.95, TROUSERS)
    trunk(
        0.5 * waist - 0.02 * down,
        sideways,
        0.065 * k * g,
        0.105 * k * g * (1 + 0.15 * clothes.loose),
        figure.hip_turn,
        0.95,
        SHIRT,
    )
    trunk(
        waist,
        across,
        0.06 * k * g,
        0.11 * k * g * (1 + 0.15 * clothes.loose),
        figure.trunk_turn,
        0.95,
        SHIRT,
    )
    trunk(
        0.5 * (waist + chest), across, 0.065 * k * g, 0.115 * k * g, figure.trunk_turn, 0.95, SHIRT
    )
    trunk(chest, across, 0.075 * k * g, 0.115 * k * g, figure.trunk_turn, 0.95, SHIRT)
    trunk(
        0.45 * chest + 0.55 * neck,
        across,
        0.09 * k,
        0.10 * k * g**0.5,
        figure.trunk_turn,
        0.85,
        SHIRT,
    )
    left, right = at["left_shoulder"], at["right_shoulder"]
    rows.append(_cone(left, right, 0.062 * k, 0.062 * k, SHIRT))
    up = figure.trunk_turn @ jnp.array([0.0, -1.0, 0.0])
    feet.append(
        _cone(
            neck - 0.05 * k * up,
            figure.head - 0.03 * k * up,
            0.058 * k * g**0.5,
            0.05 * k * g**0.5,
            SKIN,
        )
    )
    for end, root in ((left, neck), (right, neck)):
        feet.append(_cone(root + 0.02 * up, end, 0.055 * k, 0.05 * k, SHIRT))
    for side in ("left", "right"):
        shoulder, elbow, wrist = (at[f"{side}_{n}"] for n in ("shoulder", "elbow", "wrist"))
        sleeved = jnp.clip(clothes.sleeve, 0, 2)
        wider = jnp.where(sleeved > 0.4, wide, 1.0)
        bare = jnp.where(sleeved > 1.3, wide, 1.0)
        rows.append(
            _cone(
                shoulder, elbow, 0.055 * k * g * wider, 0.042 * k * g * wider, SHIRT, SKIN, sleeved
            )
        )
        rows.append(
            _cone(
                elbow,
                wrist,
                0.043 * k * g * bare,
                0.029 * k * g**0.5 * bare,
                SHIRT,
                SKIN,
                sleeved - 1,
            )
        )
    for side in ("left", "right"):
        hip, knee, ankle = (at[f"{side}_{n}"] for n in ("hip", "knee", "ankle"))
        covered = jnp.clip(clothes.leg, 0, 2)
        upper, lower = jnp.where(covered > 0.4, wide, 1.0), jnp.where(covered > 1.3, wide, 1.0)
        rows.append(
            _cone(
                hip,
                knee,
                0.088 * k * g * upper**0.5,
                0.056 * k * g**0.5 * upper,
                TROUSERS,
                SKIN,
                covered,
            )
        )
        calf = knee + 0.3 * (ankle - knee)
        rows.append(
            _cone(
                knee,
                calf,
                0.054 * k * g**0.5 * lower,
                0.056 * k * g * lower,
                TROUSERS,
                SKIN,
                jnp.where(covered > 1.3, 2.0, -1.0),
            )
        )
        rows.append(
            _cone(
                calf,
                ankle,
                0.055 * k * g * lower,
                0.037 * k * lower,
                TROUSERS,
                SKIN,
                jnp.where(covered > 1.3, 1.8 * (covered - 1.1), -1.0),
            )
        )
        heel, toe = at[f"{side}_heel"], at[f"{side}_foot_index"]
        feet.append(_cone(ankle, heel, 0.036 * k, 0.034 * k, SHOES))
        feet.append(_cone(heel, toe, 0.036 * k, 0.03 * k, SHOES))
        feet.append(_cone(ankle, 0.35 * ankle + 0.65 * toe, 0.034 * k, 0.032 * k, SHOES))
    hem = 0.5 * (at["left_knee"] + at["right_knee"])
    # Without a skirt the cone hides inside of the pelvis.
    rows.append(
        _cone(
            jnp.zeros(3),
            jnp.where(clothes.skirt, 0.85 * hem, 0.01 * hem),
            jnp.where(clothes.skirt, 0.13 * k * g, 0.02),
            jnp.where(clothes.skirt, 0.2 * k * g, 0.02),
            TROUSERS,
        )
    )
    return rows, feet


def _head(figure: Figure, clothes: Clothes) -> tuple[list[tuple], list[tuple]]:
    """Skull and hair; and what is in the face."""
    turn, k = figure.head_turn, (figure.height / 1.7) ** 0.5
    rows, features = [], []

    def part(a, b, ra, rb, material, squeeze=(1.0, 1.0, 1.0), to=features):
        start, end = (figure.head + turn @ (k * jnp.array(p)) for p in (a, b))
        to.append(_cone(start, end, ra * k, rb * k, material, turn=turn, squeeze=squeeze))

    # skull
    part((0.0, -0.045, 0.012), (0.0, -0.035, -0.005), 0.088, 0.088, SKIN, (0.84, 1.0, 1.0), rows)
    # face to chin
    part((0.0, 0.0, -0.025), (0.0, 0.072, -0.052), 0.068, 0.034, SKIN, (1.0, 1.0, 0.95), rows)
    part((0.0, -0.025, -0.084), (0.0, 0.016, -0.101), 0.008, 0.014, SKIN)  # nose
    for s in (-1.0, 1.0):
        # ear
        part(
            (s * 0.074, -0.015, 0.008),
            (s * 0.073, 0.016, 0.003),
            0.02,
            0.014,
            SKIN,
            (0.45, 1.0, 0.8),
        )
        part(
            (s * 0.026, -0.029, -0.083),
            (s * 0.038, -0.029, -0.079),
            0.0105,
            0.0105,
            EYE,
            (1.0, 0.75, 0.7),
        )
        part((s * 0.032, -0.029, -0.087), (s * 0.032, -0.029, -0.088), 0.0062, 0.0062, IRIS)
        part((s * 0.018, -0.048, -0.087), (s * 0.047, -0.047, -0.077), 0.005, 0.004, BROW)
    part((-0.023, 0.052, -0.081), (0.023, 0.052, -0.081), 0.0075, 0.0075, LIPS, (1.0, 1.0, 1.4))
    grown = jnp.where(clothes.hair < 0.08, 0.0, 1.0)
    long = jnp.where(clothes.hair > 0.6, (clothes.hair - 0.6) / 0.4, 0.0)
    part(
        (0.0, -0.058, 0.02),
        (0.0, -0.06, 0.004),
        0.06 + 0.037 * grown,
        0.06 + 0.033 * grown,
        HAIR,
        (0.86, 1.0, 1.0),
        rows,
    )
    back = jnp.stack([0.0, 0.02 + 0.16 * long, 0.045 + 0.03 * long])
    part((0.0, -0.03, 0.03), back, 0.02 + 0.06 * grown, 0.02 + 0.045 * grown, HAIR, to=rows)
    return rows, features


def _hand(figure: Figure, i: int) -> list[tuple]:
    """Palm, fingers and thumb of the left (0) or right (1) hand."""
    side = ("left", "right")[i]
    k, turn = figure.height / 1.7, figure.palm_turns[i]
    wrist, index, pinky, thumb = (
        _point(figure, f"{side}_{n}") for n in ("wrist", "index", "pinky", "thumb")
    )
    middle, tips = figure.hands[i, 0], figure.hands[i, 1:]
    flat = {"turn": turn, "squeeze": (1.0, 1.0, 0.55)}
    rows = [
        _cone(0.75 * wrist + 0.25 * index, index, 0.022 * k, 0.02 * k, SKIN, **flat),
        _cone(0.75 * wrist + 0.25 * middle, middle, 0.024 * k, 0.021 * k, SKIN, **flat),
        _cone(0.75 * wrist + 0.25 * pinky, pinky, 0.022 * k, 0.018 * k, SKIN, **flat),
        _cone(index, tips[0], 0.0105 * k, 0.008 * k, SKIN),
        _cone(middle, tips[1], 0.011 * k, 0.0085 * k, SKIN),
        _cone(0.5 * (middle + pinky), 0.5 * (tips[1] + tips[2]), 0.0105 * k, 0.008 * k, SKIN),
        _cone(pinky, tips[2], 0.0095 * k, 0.007 * k, SKIN),
        _cone(0.6 * wrist + 0.4 * thumb, thumb, 0.018 * k, 0.0125 * k, SKIN),
        _cone(thumb, tips[3], 0.0125 * k, 0.009 * k, SKIN),
    ]
    return rows
