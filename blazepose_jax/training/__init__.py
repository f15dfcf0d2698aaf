"""Variables and a batch come in, one scalar loss and its parts leave.

One objective per kind of network.
"""

from blazepose_jax.training.detector_loss import (
    DetectorConfig,
    detector_hits,
    detector_objective,
    scene_targets,
)
from blazepose_jax.training.distillation import Teacher, TeacherConfig
from blazepose_jax.training.pose_loss import LossConfig, pose_hits, pose_losses, pose_objective
from blazepose_jax.training.targets import NO_AUGMENTATION, AugmentConfig, sample_targets

__all__ = [
    "NO_AUGMENTATION",
    "AugmentConfig",
    "DetectorConfig",
    "LossConfig",
    "Teacher",
    "TeacherConfig",
    "detector_hits",
    "detector_objective",
    "pose_hits",
    "pose_losses",
    "pose_objective",
    "sample_targets",
    "scene_targets",
]
