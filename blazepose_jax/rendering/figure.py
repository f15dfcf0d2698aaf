"""A key comes in, a person's proportions and pose leave as joints in metres.

Forward kinematics with joint limits.

Axes: x to the person's left, y down, z to the back; whoever faces the camera is seen with x to the
right.
"""

import jax
import jax.numpy as jnp
from flax import struct

from blazepose_jax.skeleton import BLAZEPOSE


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


# Angles in degrees: (least, usual, most). Positive flexion is forward, but for the knee.
LIMITS = {
    "shoulder_flexion": (-45, 15, 175),
    "shoulder_abduction": (-5, 20, 165),
    "shoulder_twist": (-70, 0, 70),
    "elbow": (0, 30, 145),
    "wrist": (-45, 0, 45),
    "wrist_side": (-15, 0, 25),
    "forearm_twist": (-80, 0, 80),
    "hip_flexion": (-25, 10, 120),
    "hip_abduction": (-15, 6, 60),
    "hip_twist": (-30, 5, 40),
    "knee": (0, 12, 145),
    "ankle": (-25, 0, 45),
    "fingers": (-5, 25, 85),
    "thumb": (-20, 15, 40),
    "bend": (-25, 5, 65),
    "bend_side": (-30, 0, 30),
    "bend_twist": (-40, 0, 40),
    "nod": (-35, 5, 40),
    "nod_side": (-25, 0, 25),
    "nod_twist": (-70, 0, 70),
}
PAIRED = (
    "shoulder_flexion",
    "shoulder_abduction",
    "shoulder_twist",
    "elbow",
    "wrist",
    "wrist_side",
    "forearm_twist",
    "hip_flexion",
    "hip_abduction",
    "hip_twist",
    "knee",
    "ankle",
    "fingers",
    "thumb",
)


def rotation(axis: int, angle: jax.Array) -> jax.Array:
    """(3, 3) rotation about one axis, radians.

    A positive angle turns the next axis towards the one after.
    """
    c, s, i, j = jnp.cos(angle), jnp.sin(angle), (axis + 1) % 3, (axis + 2) % 3
    return jnp.eye(3).at[i, i].set(c).at[j, j].set(c).at[i, j].set(-s).at[j, i].set(s)


def draw_traits(key: jax.Array) -> tuple[dict[str, jax.Array], jax.Array, jax.Array, jax.Array]:
    """What ``draw_angles`` makes angles of; all of it is independent.

    Args:
      key: random key.

    Returns:
      {name: (2,) or () in [-1, 1]}, where an angle lies between its limits; () how lively, in
      [0.15, 1]; () what the legs do and () how deep, in [0, 1].
    """
    *keys, lively, legs = jax.random.split(key, len(LIMITS) + 2)
    draws = {
        name: jax.random.truncated_normal(k, -1.0, 1.0, (2,) if name in PAIRED else ())
        for name, k in zip(LIMITS, keys, strict=True)
    }
    kind, depth = jax.random.uniform(legs, (2,))
    return draws, jax.random.uniform(lively, minval=0.15, maxval=1.0), kind, depth


def draw_angles(key: jax.Array) -> dict[str, jax.Array]:
    """Radians within ``LIMITS``.

    A person is calm or lively as a whole, and some sit, squat or stride.

    Two dependences are meant: being lively widens all angles together, and sitting or striding
    moves hips and knees.

    Args:
      key: random key.

    Returns:
      {name: (2,) left and right for ``PAIRED``, else ()}.
    """
    draws, lively, kind, depth = draw_traits(key)
    angles = {}
    for name, (low, usual, high) in LIMITS.items():
        span = jnp.where(draws[name] > 0, high - usual, usual - low)
        angles[name] = jnp.radians(usual + lively * draws[name] * span)
    # Legs seldom do independent things: some people sit or squat, some stride, the rest are left as
    # drawn.
    both = jnp.radians(40 + 70 * depth) * jnp.ones(2)
    stride = jnp.radians(15 + 35 * depth) * jnp.array([1.0, -0.5])
    sits, strides = kind < 0.2, (kind >= 0.2) & (kind < 0.45)
    calm = 0.3 * angles["hip_flexion"]
    angles["hip_flexion"] = jnp.where(
        sits, both, jnp.where(strides, stride, jnp.where(kind < 0.75, calm, angles["hip_flexion"]))
    )
    knees = jnp.where(strides, jnp.radians(20.0) + 0.8 * jnp.abs(stride), angles["knee"])
    angles["knee"] = jnp.where(
        sits,
        both * (0.8 + 0.5 * depth),
        jnp.where((kind >= 0.45) & (kind < 0.75), 0.3 * angles["knee"], knees),
    )
    return angles


def draw_figure(key: jax.Array) -> Figure:
    """A person of random proportions in a random pose, turned to the camera anyhow.

    Args:
      key: random key.

    Returns:
      Figure.
    """
    keys = jax.random.split(key, 4)
    pose = draw_angles(keys[0])
    size = 1 + 0.07 * jax.random.truncated_normal(keys[1], -2.0, 2.0, (8,))
    height = 1.7 * size[0]
    k = height / 1.7
    girth = 1 + 0.18 * jax.random.truncated_normal(keys[2], -1.5, 2.0)
    hip, shoulder = 0.10 * k * size[1], 0.185 * k * size[2]
    waist, chest, neck = 0.17 * k * size[3], 0.17 * k * size[3], 0.15 * k * size[3]
    thigh, shin, upper, lower = (
        0.43 * k * size[4],
        0.41 * k * size[4],
        0.29 * k * size[5],
        0.25 * k * size[5],
    )
    palm, foot, skull = 0.095 * k * size[6], 0.2 * k * size[6], k**0.5 * (1 + 0.5 * (size[7] - 1))

    whole = _whole_turn(keys[3])
    half = (
        rotation(0, pose["bend"] / 2)
        @ rotation(2, pose["bend_side"] / 2)
        @ rotation(1, pose["bend_twist"] / 2)
    )
    trunk = whole @ half @ half
    at_waist = whole @ jnp.array([0.0, -waist, 0.0])
    at_chest = at_waist + whole @ half @ jnp.array([0.0, -chest, 0.0])
    at_neck = at_chest + trunk @ jnp.array([0.0, -neck, 0.02])
    head_turn = (
        trunk
        @ rotation(1, pose["nod_twist"])
        @ rotation(0, pose["nod"])
        @ rotation(2, pose["nod_side"])
    )
    head = (
        at_neck
        + trunk @ jnp.array([0.0, -0.06 * k, -0.005])
        + head_turn @ jnp.array([0.0, -0.085 * skull, -0.025])
    )

    parts: dict[str, jax.Array] = {}
    hands, palms = [], []
    for i, (side, s) in enumerate((("left", 1.0), ("right", -1.0))):
        a = {name: pose[name][i] for name in PAIRED}
        at = at_neck + trunk @ jnp.array([s * shoulder, 0.045 * k, 0.0])
        arm = (
            trunk @ rotation(2, -s * a["shoulder_abduction"]) @ rotation(0, -a["shoulder_flexion"])
        )
        arm = arm @ rotation(1, s * a["shoulder_twist"])
        forearm = arm @ rotation(0, -a["elbow"])
        turned = forearm @ rotation(1, s * (a["forearm_twist"] + 0.6))
        hand = turned @ rotation(0, -a["wrist"]) @ rotation(2, s * a["wrist_side"])
        elbow = at + arm @ jnp.array([0.0, upper, 0.0])
        wrist = elbow + forearm @ jnp.array([0.0, lower, 0.0])
        curl = hand @ rotation(0, -a["fingers"])
        # The palm looks forward (-z) with the thumb away from the body.
        index, pinky = (
            wrist + hand @ (palm * jnp.array(v))
            for v in ([s * 0.38, 0.95, 0.0], [-s * 0.42, 0.85, 0.0])
        )
        middle = wrist + hand @ jnp.array([0.0, palm, 0.0])
        thumb_root = wrist + hand @ (palm * jnp.array([s * 0.45, 0.35, -0.1]))
        thumb_way = hand @ rotation(2, -s * (0.6 + a["thumb"]))
        tips = [
            point + curl @ (palm * jnp.array([s * 0.05 * j, long, 0.0]))
            for j, (point, long) in enumerate(((index, 0.8), (middle, 0.88), (pinky, 0.62)))
        ]
        thumb = thumb_root + thumb_way @ jnp.array([0.0, 0.5 * palm, 0.0])
        hands.append(
            jnp.stack([middle, *tips, thumb + thumb_way @ jnp.array([0.0, 0.3 * palm, 0.0])])
        )
        palms.append(hand)
        socket = whole @ jnp.array([s * hip, 0.0, 0.0])
        leg = whole @ rotation(2, -s * a["hip_abduction"]) @ rotation(0, -a["hip_flexion"])
        leg = leg @ rotation(1, -s * a["hip_twist"])
        below = leg @ rotation(0, a["knee"])
        knee = socket + leg @ jnp.array([0.0, thigh, 0.0])
        ankle = knee + below @ jnp.array([0.0, shin, 0.0])
        sole = below @ rotation(0, a["ankle"])
        parts |= {
            f"{side}_shoulder": at,
            f"{side}_elbow": elbow,
            f"{side}_wrist": wrist,
            f"{side}_index": index,
            f"{side}_pinky": pinky,
            f"{side}_thumb": thumb,
            f"{side}_hip": socket,
            f"{side}_knee": knee,
            f"{side}_ankle": ankle,
            f"{side}_heel": ankle + sole @ (foot * jnp.array([0.0, 0.32, 0.26])),
            f"{side}_foot_index": ankle + sole @ (foot * jnp.array([s * 0.06, 0.38, -0.78])),
        }
        face = {
            "eye_inner": (0.017, -0.028, -0.088),
            "eye": (0.032, -0.029, -0.086),
            "eye_outer": (0.046, -0.028, -0.078),
            "ear": (0.076, 0.0, 0.005),
        }
        parts |= {
            f"{side}_{name}": head + head_turn @ (skull * jnp.array([s * x, y, z]))
            for name, (x, y, z) in face.items()
        }
        parts[f"mouth_{side}"] = head + head_turn @ (skull * jnp.array([s * 0.024, 0.052, -0.086]))
    parts["nose"] = head + head_turn @ (skull * jnp.array([0.0, 0.018, -0.112]))
    return Figure(
        jnp.stack([parts[name] for name in BLAZEPOSE.keypoints]),
        jnp.stack([at_waist, at_chest, at_neck]),
        head,
        jnp.stack(hands),
        head_turn,
        trunk,
        whole,
        jnp.stack(palms),
        height,
        girth,
    )


def _whole_turn(key: jax.Array) -> jax.Array:
    """Mostly upright, seen from anywhere round; sometimes lying, diving or upside down."""
    faces, frontal, any_way, tilt, is_wild, any_roll = jax.random.split(key, 6)
    # Half of the people more or less face the camera.
    yaw = jnp.where(
        jax.random.bernoulli(faces),
        0.6 * jax.random.normal(frontal),
        jax.random.uniform(any_way, minval=-jnp.pi, maxval=jnp.pi),
    )
    roll, pitch = 0.15 * jax.random.normal(tilt, (2,))
    wild = jax.random.bernoulli(is_wild, 0.15)
    roll = jnp.where(wild, jax.random.uniform(any_roll, minval=-jnp.pi, maxval=jnp.pi), roll)
    return rotation(2, roll) @ rotation(0, pitch) @ rotation(1, yaw)
