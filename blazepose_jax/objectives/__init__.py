"""Variables and a batch come in, one scalar loss and its parts leave: one objective per kind of network."""

from blazepose_jax.objectives.distillation import Taught, TeacherConfig
from blazepose_jax.objectives.pose import LossConfig, pose_hits, pose_losses, pose_objective
from blazepose_jax.objectives.targets import STILL, AugmentConfig, sample_targets

__all__ = ["STILL", "AugmentConfig", "LossConfig", "Taught", "TeacherConfig", "pose_hits", "pose_losses",
           "pose_objective", "sample_targets"]
