"""Training: a state and a batch to the next state; targets, losses and the loop."""

from blazepose_jax.training.augment import NO_AUGMENTATION, AugmentConfig, disturbed_roi
from blazepose_jax.training.detector_loss import detector_hits, detector_losses, detector_objective
from blazepose_jax.training.detector_targets import DetectorConfig, SceneTargets, scene_targets
from blazepose_jax.training.distillation import Teacher, TeacherConfig
from blazepose_jax.training.optimizer import make_optimizer
from blazepose_jax.training.pose_loss import LossConfig, PoseLosses, pose_losses
from blazepose_jax.training.pose_objective import pose_hits, pose_objective
from blazepose_jax.training.step import TrainState, create_train_state, train_step
from blazepose_jax.training.targets import Targets, sample_targets

__all__ = [
    "NO_AUGMENTATION",
    "AugmentConfig",
    "DetectorConfig",
    "LossConfig",
    "PoseLosses",
    "SceneTargets",
    "Targets",
    "Teacher",
    "TeacherConfig",
    "TrainState",
    "create_train_state",
    "detector_hits",
    "detector_losses",
    "detector_objective",
    "disturbed_roi",
    "make_optimizer",
    "pose_hits",
    "pose_losses",
    "pose_objective",
    "sample_targets",
    "scene_targets",
    "train_step",
]
