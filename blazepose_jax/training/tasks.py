"""Tasks: what differs between training a pose net and training a detector."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from blazepose_jax.data.protocols import Reader
from blazepose_jax.models import spec_of
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import Array, PoseBatch, SceneBatch, Variables
from blazepose_jax.training.augment import NO_AUGMENTATION
from blazepose_jax.training.config import Config
from blazepose_jax.training.detector_loss import detector_hits, detector_objective
from blazepose_jax.training.detector_targets import scene_targets
from blazepose_jax.training.distillation import Teacher
from blazepose_jax.training.initialise import load_teacher
from blazepose_jax.training.pose_objective import pose_hits, pose_objective
from blazepose_jax.training.step import Objective
from blazepose_jax.training.targets import sample_targets

# (variables, (B, S, S, 3) grey levels from 0 to 255) -> outputs, in training with batch statistics.
Apply = Callable[[Variables, jax.Array], Any]


class Task(Protocol):
    """One kind of network in training."""

    @property
    def kind(self) -> str:
        """``pose`` or ``detector``."""
        ...

    @property
    def skeleton(self) -> Skeleton | None:
        """Of a pose net's keypoints."""
        ...

    @property
    def arguments(self) -> dict[str, Any]:
        """Of ``create_model``."""
        ...

    @property
    def side(self) -> int:
        """S, input px."""
        ...

    @property
    def teacher(self) -> Teacher | None:
        """Of a pose net, or None."""
        ...

    def objective(self, apply: Apply, teacher: Teacher | None) -> Objective:
        """For ``training.train_step``."""
        ...

    def count(self, apply: Apply, variables: Variables, batch: Any) -> dict[str, jax.Array]:
        """{name: () counts} of a batch of held-out records."""
        ...

    def rates(self, counts: dict[str, float]) -> dict[str, float]:
        """{name: percent} of summed counts."""
        ...

    def inputs(self, batch: Any) -> jax.Array:
        """(B, S, S, 3) undisturbed inputs, grey levels from 0 to 255."""
        ...


class PoseTask:
    """A pose net learns from records of one person each; see Task."""

    kind = "pose"

    def __init__(self, config: Config, learn: Reader):
        model = config.model
        self.skeleton, self.side, self._config = learn.skeleton, model.side, config
        self.arguments = {
            "keypoints": len(self.skeleton.keypoints) + len(self.skeleton.auxiliary),
            "side": model.side,
            "fields": model.fields,
            "heads": model.heads,
        }
        self.teacher = load_teacher(config.teacher, self.skeleton, model.fields)

    def objective(self, apply: Apply, teacher: Teacher | None) -> Objective:
        """The pose objective under the experiment's augmentation and weights."""
        return partial(
            pose_objective,
            apply,
            skeleton=self.skeleton,
            fields=self._config.model.fields,
            side=self.side,
            augmentation=self._config.augment,
            weights=self._config.loss,
            teacher=teacher,
        )

    def count(self, apply: Apply, variables: Variables, batch: PoseBatch) -> dict[str, jax.Array]:
        """Hits, and points."""
        hits, points = pose_hits(
            apply,
            variables,
            batch,
            skeleton=self.skeleton,
            fields=self._config.model.fields,
            side=self.side,
        )
        return {**hits, "points": points}

    def rates(self, counts: dict[str, float]) -> dict[str, float]:
        """PCK: regression decode, true ROI."""
        points = max(counts["points"], 1.0)
        return {name: 100 * value / points for name, value in counts.items() if name != "points"}

    def inputs(self, batch: PoseBatch) -> jax.Array:
        """Crops at the true ROI."""

        def crop(record: PoseBatch) -> jax.Array:
            key = jax.random.key(0)
            targets = sample_targets(key, record, self.skeleton, self.side, NO_AUGMENTATION)
            return jnp.asarray(targets.image)

        return jax.vmap(crop)(batch)


class DetectorTask:
    """A detector learns from scenes; see Task."""

    kind = "detector"
    skeleton: Skeleton | None = None
    teacher: Teacher | None = None

    def __init__(self, config: Config):
        self.arguments: dict[str, Any] = {}
        self.side, self._config = spec_of(config.model.name).side, config.detector

    def objective(self, apply: Apply, teacher: Teacher | None) -> Objective:
        """The detector's objective; there are no teachers of detectors."""
        return partial(detector_objective, apply, side=self.side, config=self._config)

    def count(self, apply: Apply, variables: Variables, batch: SceneBatch) -> dict[str, jax.Array]:
        """People, those found, detections, and those that are right."""
        return detector_hits(apply, variables, batch, side=self.side, config=self._config)

    def rates(self, counts: dict[str, float]) -> dict[str, float]:
        """Recall and precision."""
        return {
            "recall": 100 * counts["found"] / max(counts["people"], 1.0),
            "precision": 100 * counts["right"] / max(counts["detections"], 1.0),
        }

    def inputs(self, batch: SceneBatch) -> jax.Array:
        """Whole scenes."""

        def whole(pixels: Array, points: Array, status: Array) -> jax.Array:
            targets = scene_targets(jax.random.key(0), pixels, points, status, self.side, None)
            return jnp.asarray(targets.image)

        return jax.vmap(whole)(jnp.asarray(batch.pixels), batch.points, batch.status)
