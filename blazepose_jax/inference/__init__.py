"""The pipeline from frames to poses: pure functions, and a tracker that keeps the state."""

from blazepose_jax.inference.association import associate, candidates, no_candidates
from blazepose_jax.inference.compiled import CPU_OPTIONS
from blazepose_jax.inference.pipeline import detect, estimate, find_people, track
from blazepose_jax.inference.settings import MEDIAPIPE, Settings, SmoothingConfig
from blazepose_jax.inference.state import initial_state
from blazepose_jax.inference.steps import (
    detector_input,
    follow,
    pose_input,
    read_detections,
    read_poses,
    run_pose,
)
from blazepose_jax.inference.tracker import Tracker

__all__ = [
    "CPU_OPTIONS",
    "MEDIAPIPE",
    "Settings",
    "SmoothingConfig",
    "Tracker",
    "associate",
    "candidates",
    "detect",
    "detector_input",
    "estimate",
    "find_people",
    "follow",
    "initial_state",
    "no_candidates",
    "pose_input",
    "read_detections",
    "read_poses",
    "run_pose",
    "track",
]
