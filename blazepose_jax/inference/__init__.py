"""The pipeline: frames to poses, as pure functions and as objects that keep the state."""

from blazepose_jax.inference.pipeline import (
    Settings,
    associate,
    check_settings,
    detect,
    detector_input,
    estimate,
    follow,
    initial_state,
    no_detections,
    pose_input,
    read_detections,
    read_poses,
    run_pose,
    track,
)

__all__ = [
    "Settings",
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
