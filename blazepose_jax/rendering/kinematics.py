"""Forward kinematics: joint angles and lengths to joints in metres.

Axes: x to the person's left, y down, z to the back; whoever faces the camera is seen with x to the
right.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from blazepose_jax.skeleton import BLAZEPOSE

# Names of the sides, and their direction along x.
SIDES = (("left", 1.0), ("right", -1.0))
# Points of the left half of the face in metres from the middle of an average head; x is mirrored
# for the right half.
FACE = {
    "eye_inner": (0.017, -0.028, -0.088),
    "eye": (0.032, -0.029, -0.086),
    "eye_outer": (0.046, -0.028, -0.078),
    "ear": (0.076, 0.0, 0.005),
}
MOUTH = (0.024, 0.052, -0.086)
NOSE = (0.0, 0.018, -0.112)

Angles = Mapping[str, jax.Array]
Points = dict[str, jax.Array]


class Lengths(struct.PyTreeNode):
    """Sizes of a person's parts, () metres unless stated."""

    height: jax.Array
    girth: jax.Array  # (), 1 is average
    hip: jax.Array  # from the mid-hip to a hip
    shoulder: jax.Array  # from the spine to a shoulder
    waist: jax.Array  # from the mid-hip to the waist
    chest: jax.Array  # from the waist to the chest
    neck: jax.Array  # from the chest to the base of the neck
    thigh: jax.Array
    shin: jax.Array
    upper_arm: jax.Array
    forearm: jax.Array
    palm: jax.Array
    foot: jax.Array
    skull: jax.Array  # (), 1 is average


class Figure(struct.PyTreeNode):
    """A posed person, metres; camera axes, origin at the mid-hip."""

    points: jax.Array  # (33, 3), BlazePose's keypoints
    spine: jax.Array  # (3, 3): waist, chest, base of the neck
    head: jax.Array  # (3,), middle of the head, between the ears
    hands: jax.Array  # (2, 5, 3): left, right: end of the palm; tips of index, middle, pinky, thumb
    head_turn: jax.Array  # (3, 3), rotation of the head
    trunk_turn: jax.Array  # (3, 3), rotation of the chest
    hip_turn: jax.Array  # (3, 3), rotation of the pelvis
    palm_turns: jax.Array  # (2, 3, 3)
    height: jax.Array  # (), metres
    girth: jax.Array  # (), 1 is average


class _Trunk(NamedTuple):
    spine: jax.Array  # (3, 3), as of Figure
    turn: jax.Array  # (3, 3), rotation of the chest
    head: jax.Array  # (3,)
    head_turn: jax.Array  # (3, 3)


def rotation(axis: int, angle: jax.Array) -> jax.Array:
    """(3, 3) rotation about one axis, radians.

    A positive angle turns the next axis towards the one after.
    """
    c, s, i, j = jnp.cos(angle), jnp.sin(angle), (axis + 1) % 3, (axis + 2) % 3
    cells = {(axis, axis): 1.0, (i, i): c, (j, j): c, (i, j): -s, (j, i): s}
    rows = ([jnp.float32(cells.get((row, k), 0)) for k in range(3)] for row in range(3))
    return jnp.stack([jnp.stack(row) for row in rows])


def pose_figure(lengths: Lengths, angles: Angles, hip_turn: jax.Array) -> Figure:
    """The joints of a person.

    Args:
      lengths: of the person.
      angles: radians, by the names of ``figure.LIMITS``: (2,) left and right, or ().
      hip_turn: (3, 3) rotation of the pelvis.

    Returns:
      Figure.
    """
    trunk = _trunk(lengths, angles, hip_turn)

    def half(own: Angles, s: jax.Array) -> tuple[Points, jax.Array, jax.Array]:
        arm, hand, palm = _arm(lengths, own, trunk, s)
        return arm | _leg(lengths, own, hip_turn, s) | _face(lengths, trunk, s), hand, palm

    # Both at once: written out twice, XLA compiles them twice.
    paired = {name: angle for name, angle in angles.items() if angle.shape}
    halves, hands, palms = jax.vmap(half)(paired, jnp.array([s for _, s in SIDES]))
    points = {
        _name(part, side): pair[i]
        for part, pair in halves.items()
        for i, (side, _) in enumerate(SIDES)
    }
    points["nose"] = trunk.head + trunk.head_turn @ (lengths.skull * jnp.array(NOSE))
    return Figure(
        jnp.stack([points[name] for name in BLAZEPOSE.keypoints]),
        trunk.spine,
        trunk.head,
        hands,
        trunk.head_turn,
        trunk.turn,
        hip_turn,
        palms,
        lengths.height,
        lengths.girth,
    )


def _trunk(lengths: Lengths, angles: Angles, hip_turn: jax.Array) -> _Trunk:
    """Spine and head; the spine bends half at the waist and half at the chest."""
    k = lengths.height / 1.7
    half = (
        rotation(0, angles["bend"] / 2)
        @ rotation(2, angles["bend_side"] / 2)
        @ rotation(1, angles["bend_twist"] / 2)
    )
    turn = hip_turn @ half @ half
    waist = hip_turn @ jnp.array([0.0, -lengths.waist, 0.0])
    chest = waist + hip_turn @ half @ jnp.array([0.0, -lengths.chest, 0.0])
    neck = chest + turn @ jnp.array([0.0, -lengths.neck, 0.02])
    head_turn = (
        turn
        @ rotation(1, angles["nod_twist"])
        @ rotation(0, angles["nod"])
        @ rotation(2, angles["nod_side"])
    )
    head = (
        neck
        + turn @ jnp.array([0.0, -0.06 * k, -0.005])
        + head_turn @ jnp.array([0.0, -0.085 * lengths.skull, -0.025])
    )
    return _Trunk(jnp.stack([waist, chest, neck]), turn, head, head_turn)


def _arm(
    lengths: Lengths, angles: Angles, trunk: _Trunk, s: jax.Array
) -> tuple[Points, jax.Array, jax.Array]:
    """Keypoints of an arm, (5, 3) ends of palm and fingers, (3, 3) rotation of the palm."""
    k, palm = lengths.height / 1.7, lengths.palm
    shoulder = trunk.spine[2] + trunk.turn @ jnp.array([s * lengths.shoulder, 0.045 * k, 0.0])
    arm = (
        trunk.turn
        @ rotation(2, -s * angles["shoulder_abduction"])
        @ rotation(0, -angles["shoulder_flexion"])
    )
    arm = arm @ rotation(1, s * angles["shoulder_twist"])
    forearm = arm @ rotation(0, -angles["elbow"])
    turned = forearm @ rotation(1, s * (angles["forearm_twist"] + 0.6))
    hand = turned @ rotation(0, -angles["wrist"]) @ rotation(2, s * angles["wrist_side"])
    elbow = shoulder + arm @ jnp.array([0.0, lengths.upper_arm, 0.0])
    wrist = elbow + forearm @ jnp.array([0.0, lengths.forearm, 0.0])
    # The palm looks forward (-z) with the thumb away from the body.
    index, pinky = (
        wrist + hand @ (palm * jnp.array(v))
        for v in ([s * 0.38, 0.95, 0.0], [-s * 0.42, 0.85, 0.0])
    )
    middle = wrist + hand @ jnp.array([0.0, palm, 0.0])
    curl = hand @ rotation(0, -angles["fingers"])
    tips = [
        point + curl @ (palm * jnp.array([s * 0.05 * j, long, 0.0]))
        for j, (point, long) in enumerate(((index, 0.8), (middle, 0.88), (pinky, 0.62)))
    ]
    thumb_root = wrist + hand @ (palm * jnp.array([s * 0.45, 0.35, -0.1]))
    thumb_turn = hand @ rotation(2, -s * (0.6 + angles["thumb"]))
    thumb = thumb_root + thumb_turn @ jnp.array([0.0, 0.5 * palm, 0.0])
    tips.append(thumb + thumb_turn @ jnp.array([0.0, 0.3 * palm, 0.0]))
    points = {
        "shoulder": shoulder,
        "elbow": elbow,
        "wrist": wrist,
        "index": index,
        "pinky": pinky,
        "thumb": thumb,
    }
    return points, jnp.stack([middle, *tips]), hand


def _leg(lengths: Lengths, angles: Angles, hip_turn: jax.Array, s: jax.Array) -> Points:
    """Keypoints of a leg."""
    foot = lengths.foot
    hip = hip_turn @ jnp.array([s * lengths.hip, 0.0, 0.0])
    leg = hip_turn @ rotation(2, -s * angles["hip_abduction"]) @ rotation(0, -angles["hip_flexion"])
    leg = leg @ rotation(1, -s * angles["hip_twist"])
    below = leg @ rotation(0, angles["knee"])
    knee = hip + leg @ jnp.array([0.0, lengths.thigh, 0.0])
    ankle = knee + below @ jnp.array([0.0, lengths.shin, 0.0])
    sole = below @ rotation(0, angles["ankle"])
    return {
        "hip": hip,
        "knee": knee,
        "ankle": ankle,
        "heel": ankle + sole @ (foot * jnp.array([0.0, 0.32, 0.26])),
        "foot_index": ankle + sole @ (foot * jnp.array([s * 0.06, 0.38, -0.78])),
    }


def _face(lengths: Lengths, trunk: _Trunk, s: jax.Array) -> Points:
    """Keypoints of half a face."""

    def place(x: float, y: float, z: float) -> jax.Array:
        return trunk.head + trunk.head_turn @ (lengths.skull * jnp.array([s * x, y, z]))

    return {name: place(*xyz) for name, xyz in FACE.items()} | {"mouth": place(*MOUTH)}


def _name(part: str, side: str) -> str:
    return f"mouth_{side}" if part == "mouth" else f"{side}_{part}"
