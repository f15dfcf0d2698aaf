"""What is made of tracked points: angles, lengths, motion, repetitions, tables and figures.

Pure functions on arrays, for any keypoint set by its names; numpy and scipy, no network.
"""

from blazepose_jax.analysis.angles import (
    ANGLES,
    SEGMENTS,
    JointAngle,
    joint_angles,
    segment_lengths,
    trunk_lean,
)
from blazepose_jax.analysis.recording import Recording, read_recording
from blazepose_jax.analysis.repetitions import Repetition, Repetitions, count_repetitions
from blazepose_jax.analysis.signals import fill_gaps, rate_of_change, smooth

__all__ = [
    "ANGLES",
    "SEGMENTS",
    "JointAngle",
    "Recording",
    "Repetition",
    "Repetitions",
    "count_repetitions",
    "fill_gaps",
    "joint_angles",
    "rate_of_change",
    "read_recording",
    "segment_lengths",
    "smooth",
    "trunk_lean",
]
