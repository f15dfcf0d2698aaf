"""What differs between training a pose net and training a detector.

Objective, validation, and what is kept.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from blazepose_jax.structs import PoseBatch, SceneBatch
from blazepose_jax.training import detector_loss, pose_loss
from blazepose_jax.training.config import Config
from blazepose_jax.training.distillation import Teacher
from blazepose_jax.training.initialise import load_teacher
from blazepose_jax.training.targets import NO_AUGMENTATION, sample_targets


class PoseTask:
    """A pose net learns from records of one person each.

    Attributes:
      kind: of network.
      skeleton: of its keypoints.
      arguments: of ``create_model``.
      teacher: a teacher, or None.
    """

    kind = "pose"

    def __init__(self, config: Config, learn: Any):
        model = config.model
        self.skeleton, self._config = learn.skeleton, config
        self.arguments = {
            "keypoints": len(self.skeleton.keypoints) + len(self.skeleton.auxiliary),
            "side": model.side,
            "fields": model.fields,
            "heads": model.heads,
        }
        self.teacher: Teacher | None = load_teacher(config.teacher, self.skeleton, model.fields)
        self._known = {"skeleton": self.skeleton, "fields": model.fields, "side": model.side}

    def objective(self, apply: Callable[..., Any], teacher: Teacher | None) -> Callable[..., Any]:
        """For ``training.train_step``."""
        return partial(
            pose_loss.pose_objective,
            apply,
            augmentation=self._config.augment,
            weights=self._config.loss,
            teacher=teacher,
            **self._known,
        )

    def count(
        self, apply: Callable[..., Any], variables: Any, batch: PoseBatch
    ) -> dict[str, jax.Array]:
        """Hits and points of a batch of held-out records."""
        hits, points = pose_loss.pose_hits(apply, variables, batch, **self._known)
        return {**hits, "points": points}

    def rates(self, counts: dict[str, float]) -> dict[str, float]:
        """PCK in percent, of summed counts: regression decode, true ROI."""
        points = max(counts.pop("points"), 1.0)
        return {name: 100 * value / points for name, value in counts.items()}

    def inputs(self, batch: PoseBatch) -> jax.Array:
        """Undisturbed, normalised crops."""
        look = jax.vmap(
            lambda record: sample_targets(
                jax.random.key(0), record, self.skeleton, self._config.model.side, NO_AUGMENTATION
            )["image"]
        )
        return look(batch) / 255.0


class DetectorTask:
    """A detector learns from scenes. Attributes: as for PoseTask."""

    kind = "detector"
    skeleton = None
    teacher = None

    def __init__(self, config: Config, side: int):
        self.arguments: dict[str, Any] = {}
        self._known = {"side": side, "config": config.detector}

    def objective(self, apply: Callable[..., Any], teacher: Teacher | None) -> Callable[..., Any]:
        """For ``training.train_step``."""
        return partial(detector_loss.detector_objective, apply, **self._known)

    def count(
        self, apply: Callable[..., Any], variables: Any, batch: SceneBatch
    ) -> dict[str, jax.Array]:
        """People, detections and hits of a batch of held-out scenes."""
        return detector_loss.detector_hits(apply, variables, batch, **self._known)

    def rates(self, counts: dict[str, float]) -> dict[str, float]:
        """Recall and precision in percent, of summed counts."""
        return {
            "recall": 100 * counts["found"] / max(counts["people"], 1.0),
            "precision": 100 * counts["right"] / max(counts["detections"], 1.0),
        }

    def inputs(self, batch: SceneBatch) -> jax.Array:
        """Undisturbed, normalised scenes."""
        side = self._known["side"]
        look = jax.vmap(
            lambda p, xy, status: detector_loss.scene_targets(
                jax.random.key(0), p, xy, status, side, None
            )["image"]
        )
        return look(jnp.asarray(batch.pixels), batch.points, batch.status) / 127.5 - 1
