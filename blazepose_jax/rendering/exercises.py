"""People who exercise: joint angles over time, of which the truth is known."""

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.rendering.figure import LIMITS, PAIRED, draw_lengths
from blazepose_jax.rendering.kinematics import Figure, Lengths, pose_figure, rotation

# Angles in degrees between rest and the extreme of one repetition; others stay as ``LIMITS`` has
# them as usual. Of a push-up the body lies prone.
EXERCISES = {
    "squat": {
        "knee": (4, 105),
        "hip_flexion": (2, 95),
        "bend": (2, 40),
        "shoulder_flexion": (5, 85),
        "ankle": (0, -25),
    },
    "push-up": {
        "elbow": (6, 100),
        "shoulder_flexion": (80, 35),
        "shoulder_abduction": (10, 30),
        "knee": (2, 2),
        "hip_flexion": (2, 2),
        "bend": (0, 0),
    },
    "jumping jack": {
        "shoulder_abduction": (10, 155),
        "hip_abduction": (4, 28),
        "shoulder_flexion": (5, 5),
        "elbow": (10, 15),
    },
    "walk": {"hip_flexion": (-12, 26), "knee": (8, 46), "shoulder_flexion": (-12, 20)},
}
# Whose two sides do the opposite of each other.
ALTERNATES = ("walk",)
PRONE = ("push-up",)

_pose_all = jax.jit(jax.vmap(pose_figure, (None, 0, None)))


def usual_person() -> Lengths:
    """Of average proportions, about."""
    return draw_lengths(*jax.random.split(jax.random.key(0)))


def exercise_figures(
    name: str, depth: np.ndarray, lengths: Lengths, view: jax.Array | float = 0.0
) -> Figure:
    """A person along an exercise.

    Args:
      name: one of ``EXERCISES``.
      depth: (T,) 0 at rest, 1 at the extreme.
      lengths: of the person.
      view: () radians that the person is turned about the vertical, 0 faces the camera.

    Returns:
      Figure with a leading axis T.
    """
    frames = len(depth)
    # A few lengths are all that is compiled.
    depth = np.pad(depth, (0, -frames % 512))
    turn = rotation(1, jnp.asarray(view))
    if name in PRONE:
        turn = turn @ rotation(0, jnp.asarray(np.pi / 2))
    angles = {
        joint: jnp.radians(
            jnp.full((len(depth), 2) if joint in PAIRED else (len(depth),), usual, jnp.float32)
        )
        for joint, (_, usual, _) in LIMITS.items()
    }
    for joint, (rest, extreme) in EXERCISES[name].items():
        share = np.asarray(depth, np.float32)
        if joint in PAIRED:
            other = 1 - share if name in ALTERNATES else share
            share = np.stack([share, other], -1)
        angles[joint] = jnp.radians(rest + (extreme - rest) * share)
    return jax.tree.map(lambda a: a[:frames], _pose_all(lengths, angles, turn))


def repeated(
    count: int, seconds: float, fps: float, *, pause: float = 0.0, reach: float = 1.0
) -> np.ndarray:
    """(T,) depth of so many repetitions, each of so many seconds and a pause after it."""
    moving = (1 - np.cos(np.linspace(0, 2 * np.pi, round(seconds * fps), endpoint=False))) / 2
    return np.tile(np.concatenate([reach * moving, np.zeros(round(pause * fps))]), count)
