"""Bodies of round cones: a posed figure and its clothes."""

import jax
import jax.numpy as jnp

from blazepose_jax.rendering.head import head
from blazepose_jax.rendering.kinematics import Figure
from blazepose_jax.rendering.shapes import (
    SHIRT,
    SHOES,
    SKIN,
    TROUSERS,
    Clothes,
    Shapes,
    cone,
    stack,
)
from blazepose_jax.skeleton import BLAZEPOSE


def build(figure: Figure, clothes: Clothes) -> tuple[Shapes, Shapes, Shapes]:
    """A person in metres.

    Args:
      figure: joints.
      clothes: lengths and widths.

    Returns:
      Large, middling and small shapes: up to 0.8 m, 0.4 m and 0.17 m.
    """
    skull, features = head(figure, clothes)
    large = _trunk(figure, clothes) + _arms(figure, clothes) + _legs(figure, clothes)
    large.append(_skirt(figure, clothes))
    small = features + _hand(figure, 0) + _hand(figure, 1)
    return stack(large), stack(_neck(figure) + _feet(figure) + skull), stack(small)


def _point(figure: Figure, name: str) -> jax.Array:
    return figure.points[BLAZEPOSE.keypoints.index(name)]


def _points(figure: Figure, side: str, *names: str) -> tuple[jax.Array, ...]:
    return tuple(_point(figure, f"{side}_{name}") for name in names)


def _looseness(clothes: Clothes) -> jax.Array:
    """Factor of the thickness of clothed arms and legs."""
    return 1 + 0.35 * clothes.loose


def _trunk(figure: Figure, clothes: Clothes) -> list[Shapes]:
    """Flattened cones from the pelvis to the shoulders, then one across the shoulders."""
    k, g = figure.height / 1.7, figure.girth
    waist, chest, neck = figure.spine
    across = figure.trunk_turn @ jnp.array([1.0, 0.0, 0.0])
    sideways = figure.hip_turn @ jnp.array([1.0, 0.0, 0.0])
    down = figure.hip_turn @ jnp.array([0.0, 1.0, 0.0])
    loose = 1 + 0.15 * clothes.loose
    hips, trunk = figure.hip_turn, figure.trunk_turn
    # Middle, axis, half of the axis' length, radius, turn, thickness over width, material. Each is
    # as wide as half and radius together.
    ellipses = (
        (0.02 * k * down, sideways, 0.07 * k * g, 0.115 * k * g, hips, 0.95, TROUSERS),
        (
            0.5 * waist - 0.02 * down,
            sideways,
            0.065 * k * g,
            0.105 * k * g * loose,
            hips,
            0.95,
            SHIRT,
        ),
        (waist, across, 0.06 * k * g, 0.11 * k * g * loose, trunk, 0.95, SHIRT),
        (0.5 * (waist + chest), across, 0.065 * k * g, 0.115 * k * g, trunk, 0.95, SHIRT),
        (chest, across, 0.075 * k * g, 0.115 * k * g, trunk, 0.95, SHIRT),
        (0.45 * chest + 0.55 * neck, across, 0.09 * k, 0.10 * k * g**0.5, trunk, 0.85, SHIRT),
    )
    rows = [
        cone(
            middle - axis * half,
            middle + axis * half,
            radius,
            radius,
            material,
            turn=turn,
            squeeze=(1.0, 1.0, depth),
        )
        for middle, axis, half, radius, turn, depth, material in ellipses
    ]
    left, right = _point(figure, "left_shoulder"), _point(figure, "right_shoulder")
    return [*rows, cone(left, right, 0.062 * k, 0.062 * k, SHIRT)]


def _arms(figure: Figure, clothes: Clothes) -> list[Shapes]:
    """Upper arms and forearms, clothed as far as the sleeves reach."""
    k, g, wide = figure.height / 1.7, figure.girth, _looseness(clothes)
    sleeve = jnp.clip(clothes.sleeve, 0, 2)
    upper = jnp.where(sleeve > 0.4, wide, 1.0)
    lower = jnp.where(sleeve > 1.3, wide, 1.0)
    rows = []
    for side in ("left", "right"):
        shoulder, elbow, wrist = _points(figure, side, "shoulder", "elbow", "wrist")
        ends = 0.055 * k * g * upper, 0.042 * k * g * upper
        rows.append(cone(shoulder, elbow, *ends, SHIRT, SKIN, sleeve))
        ends = 0.043 * k * g * lower, 0.029 * k * g**0.5 * lower
        rows.append(cone(elbow, wrist, *ends, SHIRT, SKIN, sleeve - 1))
    return rows


def _legs(figure: Figure, clothes: Clothes) -> list[Shapes]:
    """Thighs, and shins of two cones each, clothed as far as the trousers reach."""
    k, g, wide = figure.height / 1.7, figure.girth, _looseness(clothes)
    leg = jnp.clip(clothes.leg, 0, 2)
    upper, lower = jnp.where(leg > 0.4, wide, 1.0), jnp.where(leg > 1.3, wide, 1.0)
    # Cuts of the two cones of a shin: a negative one shows skin from the start.
    to_calf = jnp.where(leg > 1.3, 2.0, -1.0)
    to_ankle = jnp.where(leg > 1.3, 1.8 * (leg - 1.1), -1.0)
    rows = []
    for side in ("left", "right"):
        hip, knee, ankle = _points(figure, side, "hip", "knee", "ankle")
        ends = 0.088 * k * g * upper**0.5, 0.056 * k * g**0.5 * upper
        rows.append(cone(hip, knee, *ends, TROUSERS, SKIN, leg))
        calf = knee + 0.3 * (ankle - knee)
        ends = 0.054 * k * g**0.5 * lower, 0.056 * k * g * lower
        rows.append(cone(knee, calf, *ends, TROUSERS, SKIN, to_calf))
        ends = 0.055 * k * g * lower, 0.037 * k * lower
        rows.append(cone(calf, ankle, *ends, TROUSERS, SKIN, to_ankle))
    return rows


def _skirt(figure: Figure, clothes: Clothes) -> Shapes:
    """A cone from the hips to the knees; without a skirt it hides inside of the pelvis."""
    k, g = figure.height / 1.7, figure.girth
    hem = 0.5 * (_point(figure, "left_knee") + _point(figure, "right_knee"))
    return cone(
        jnp.zeros(3),
        jnp.where(clothes.skirt, 0.85 * hem, 0.01 * hem),
        jnp.where(clothes.skirt, 0.13 * k * g, 0.02),
        jnp.where(clothes.skirt, 0.2 * k * g, 0.02),
        TROUSERS,
    )


def _neck(figure: Figure) -> list[Shapes]:
    """The neck, and from its base to the shoulders."""
    k, g, neck = figure.height / 1.7, figure.girth, figure.spine[2]
    up = figure.trunk_turn @ jnp.array([0.0, -1.0, 0.0])
    throat = neck - 0.05 * k * up, figure.head - 0.03 * k * up
    rows = [cone(*throat, 0.058 * k * g**0.5, 0.05 * k * g**0.5, SKIN)]
    for side in ("left", "right"):
        shoulder = _point(figure, f"{side}_shoulder")
        rows.append(cone(neck + 0.02 * up, shoulder, 0.055 * k, 0.05 * k, SHIRT))
    return rows


def _feet(figure: Figure) -> list[Shapes]:
    """Shoes: ankle to heel, sole, and ankle to the middle of the foot."""
    k, rows = figure.height / 1.7, []
    for side in ("left", "right"):
        ankle, heel, toe = _points(figure, side, "ankle", "heel", "foot_index")
        rows.append(cone(ankle, heel, 0.036 * k, 0.034 * k, SHOES))
        rows.append(cone(heel, toe, 0.036 * k, 0.03 * k, SHOES))
        rows.append(cone(ankle, 0.35 * ankle + 0.65 * toe, 0.034 * k, 0.032 * k, SHOES))
    return rows


def _hand(figure: Figure, i: int) -> list[Shapes]:
    """Palm, fingers and thumb of the left (0) or right (1) hand."""
    k, turn = figure.height / 1.7, figure.palm_turns[i]
    side = ("left", "right")[i]
    wrist, index, pinky, thumb = _points(figure, side, "wrist", "index", "pinky", "thumb")
    middle, tips = figure.hands[i, 0], figure.hands[i, 1:]

    def palm(finger: jax.Array, start_radius: float, end_radius: float) -> Shapes:
        start = 0.75 * wrist + 0.25 * finger
        radii = start_radius * k, end_radius * k
        return cone(start, finger, *radii, SKIN, turn=turn, squeeze=(1.0, 1.0, 0.55))

    return [
        palm(index, 0.022, 0.02),
        palm(middle, 0.024, 0.021),
        palm(pinky, 0.022, 0.018),
        cone(index, tips[0], 0.0105 * k, 0.008 * k, SKIN),
        cone(middle, tips[1], 0.011 * k, 0.0085 * k, SKIN),
        cone(0.5 * (middle + pinky), 0.5 * (tips[1] + tips[2]), 0.0105 * k, 0.008 * k, SKIN),
        cone(pinky, tips[2], 0.0095 * k, 0.007 * k, SKIN),
        cone(0.6 * wrist + 0.4 * thumb, thumb, 0.018 * k, 0.0125 * k, SKIN),
        cone(thumb, tips[3], 0.0125 * k, 0.009 * k, SKIN),
    ]
