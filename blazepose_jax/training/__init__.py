"""Variables and a batch come in, one scalar loss and its parts leave.

One objective per kind of network.
"""

from blazepose_jax.training.detector_loss import (
    DetectorConfig,
    detector_hits,
    detector_objective,
    scene_targets,
)
from blazepose_jax.training.distillation import Taught, TeacherConfig
from blazepose_jax.training.pose_loss import LossConfig, pose_hits, pose_losses, pose_objective
from blazepose_jax.training.targets import STILL, AugmentConfig, sample_targets

__all__ = [
    "STILL",
    "AugmentConfig",
    "DetectorConfig",
    "LossConfig",
    "Taught",
    "TeacherConfig",
    "detector_hits",
    "detector_objective",
    "pose_hits",
    "pose_losses",
    "pose_objective",
    "sample_targets",
    "scene_targets",
]
