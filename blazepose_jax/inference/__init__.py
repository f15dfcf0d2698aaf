"""The pipeline from frames to poses: pure functions, and a tracker that keeps the state."""

from blazepose_jax.inference.association import associate, no_detections
from blazepose_jax.inference.pipeline import detect, estimate, initial_state, track
from blazepose_jax.inference.settings import Settings, SmoothingConfig, check_settings
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
    "Settings",
    "SmoothingConfig",
    "Tracker",
    "associate",
    "check_settings",
    "detect",
    "detector_input",
    "estimate",
    "follow",
    "initial_state",
    "no_detections",
    "pose_input",
    "read_detections",
    "read_poses",
    "run_pose",
    "track",
]
