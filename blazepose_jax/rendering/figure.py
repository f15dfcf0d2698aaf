"""Random figures: proportions and poses of people that do not exist."""

import jax
import jax.numpy as jnp

from blazepose_jax.rendering.kinematics import Figure, Lengths, pose_figure, rotation

# Angles in degrees: (least, usual, most), chosen as about the ranges of motion of adults. Positive
# flexion is forward, except for the knee.
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
# Angles that left and right limbs have separately.
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


def draw_traits(key: jax.Array) -> tuple[dict[str, jax.Array], jax.Array, jax.Array, jax.Array]:
    """Independent draws, of which ``draw_angles`` makes angles.

    Args:
      key: random key.

    Returns:
      {name: (2,) or () in [-1, 1]}, place of an angle between its limits; () liveliness in
      [0.15, 1]; () what the legs do and () how deep, in [0, 1].
    """
    *keys, lively, legs = jax.random.split(key, len(LIMITS) + 2)
    key_of = dict(zip(LIMITS, keys, strict=True))
    draws = {}
    # All of a shape in one call: a call each takes XLA seconds to compile. Not stacked: JAX takes
    # stacking for a use of the keys.
    for names, shape in ((PAIRED, (2,)), ([n for n in LIMITS if n not in PAIRED], ())):
        drawn = jax.vmap(lambda k, shape=shape: jax.random.truncated_normal(k, -1.0, 1.0, shape))(
            jnp.concatenate([key_of[name][None] for name in names])
        )
        draws |= dict(zip(names, drawn, strict=True))
    kind, depth = jax.random.uniform(legs, (2,))
    return draws, jax.random.uniform(lively, minval=0.15, maxval=1.0), kind, depth


def draw_angles(key: jax.Array) -> dict[str, jax.Array]:
    """Angles of a random pose, radians within ``LIMITS``.

    They depend on each other in two ways: liveliness widens all of them together, and some people
    sit, squat or stride, which moves hips and knees.

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
    # Legs seldom move independently: some people sit or squat, some stride, the rest are left as
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
    """A person of random proportions in a random pose, seen from a random direction.

    Args:
      key: random key.

    Returns:
      Figure.
    """
    of_pose, of_size, of_girth, of_turn = jax.random.split(key, 4)
    return pose_figure(draw_lengths(of_size, of_girth), draw_angles(of_pose), _whole_turn(of_turn))


def draw_lengths(of_size: jax.Array, of_girth: jax.Array) -> Lengths:
    """Random proportions, about 7 % round those of a person of 1.7 m.

    Args:
      of_size: random key of the lengths.
      of_girth: random key of the girth.
    """
    size = 1 + 0.07 * jax.random.truncated_normal(of_size, -2.0, 2.0, (8,))
    height = 1.7 * size[0]
    k = height / 1.7
    return Lengths(
        height=height,
        girth=1 + 0.18 * jax.random.truncated_normal(of_girth, -1.5, 2.0),
        hip=0.10 * k * size[1],
        shoulder=0.185 * k * size[2],
        waist=0.17 * k * size[3],
        chest=0.17 * k * size[3],
        neck=0.15 * k * size[3],
        thigh=0.43 * k * size[4],
        shin=0.41 * k * size[4],
        upper_arm=0.29 * k * size[5],
        forearm=0.25 * k * size[5],
        palm=0.095 * k * size[6],
        foot=0.2 * k * size[6],
        skull=k**0.5 * (1 + 0.5 * (size[7] - 1)),
    )


def _whole_turn(key: jax.Array) -> jax.Array:
    """(3, 3) rotation: mostly upright, seen from anywhere round; sometimes lying or upside down."""
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
