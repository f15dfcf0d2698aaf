"""Tasks: what differs between training a pose net and training a detector."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from blazepose_jax.batches import PoseBatch, SceneBatch
from blazepose_jax.data.protocols import Reader
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.models import LayerConfig, spec_of
from blazepose_jax.models.layers import CONVOLUTIONS
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import Array, Network, Variables
from blazepose_jax.training.augment import NO_AUGMENTATION
from blazepose_jax.training.config import Config, ModelConfig
from blazepose_jax.training.detector_loss import detector_hits, detector_objective
from blazepose_jax.training.detector_targets import scene_targets
from blazepose_jax.training.distillation import Teacher, TeacherConfig
from blazepose_jax.training.experiments import NO_OWN_PARTS, OwnParts
from blazepose_jax.training.initialise import Start
from blazepose_jax.training.pose_objective import pose_hits, pose_objective
from blazepose_jax.training.step import Objective
from blazepose_jax.training.targets import sample_targets
from blazepose_jax.training.teacher import load_detector, load_teacher

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
    def teacher(self) -> Teacher | Network | None:
        """Of a pose net a Teacher, of a detector another detector; or None."""
        ...

    def objective(self, apply: Apply, teacher: Any) -> Objective:
        """For ``training.train_step``; ``teacher`` as the attribute."""
        ...

    def count(self, apply: Apply, variables: Variables, batch: Any) -> dict[str, jax.Array]:
        """{name: () counts} of a batch of held-out records."""
        ...

    def rates(self, counts: dict[str, float]) -> dict[str, float]:
        """{name: percent} of summed counts."""
        ...

    def score(self, rates: dict[str, float]) -> float:
        """One number of ``rates``, by which the best weights are kept."""
        ...

    def inputs(self, batch: Any) -> jax.Array:
        """(B, S, S, 3) undisturbed inputs, grey levels from 0 to 255."""
        ...


class PoseTask:
    """A pose net learns from records of one person each; see Task."""

    kind = "pose"

    def __init__(self, config: Config, learn: Reader, start: Start, own: OwnParts = NO_OWN_PARTS):
        """The network has ROI points where its set, its start or its teacher asks for them.

        Raises:
          BlazePoseError: a bad teacher, or a bad objective of an experiment file.
        """
        model = config.model
        self._objective = own.objective_for(pose_objective)
        self.side, self._config = model.side, config
        self.teacher = load_teacher(
            teacher_config(config, start),
            learn.skeleton,
            model.fields,
            own.file,
            side=model.side,
            layers=layer_config(model),
        )
        # A set without centre and up points can say by ROI points alone where to look next.
        adds = start.has_roi_points or not learn.skeleton.center
        self.skeleton = learn.skeleton.with_roi_points() if adds else learn.skeleton
        if self.teacher is not None:
            self.skeleton = self.teacher.skeleton
        self.arguments = {
            "keypoints": len(self.skeleton.keypoints) + len(self.skeleton.auxiliary),
            "side": model.side,
            "fields": model.fields,
            "heads": model.heads,
            **dict(model.arguments),
        }

    def objective(self, apply: Apply, teacher: Teacher | None) -> Objective:
        """The pose objective, or the own one, under the experiment's augmentation and weights."""
        return partial(
            self._objective,
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
        """PCK in the true ROI, by regression and, where inference has heatmaps, by refine."""
        points = max(counts["points"], 1.0)
        return {name: 100 * value / points for name, value in counts.items() if name != "points"}

    def score(self, rates: dict[str, float]) -> float:
        """The mean over thresholds and decodes: of few people each alone is chance."""
        return sum(rates.values()) / len(rates)

    def inputs(self, batch: PoseBatch) -> jax.Array:
        """Crops at the true ROI."""

        def crop(record: PoseBatch) -> jax.Array:
            key = jax.random.key(0)
            targets = sample_targets(key, record, self.skeleton, self.side, NO_AUGMENTATION)
            return jnp.asarray(targets.image)

        return jax.vmap(crop)(batch)


def teacher_config(config: Config, start: Start) -> TeacherConfig:
    """The experiment's teacher; ``init`` is what the run started from.

    Raises:
      BlazePoseError: it started from nothing.
    """
    if config.teacher.weights != "init":
        return config.teacher
    if not start.weights:
        raise BlazePoseError(
            "teacher.weights is 'init', the weights that --init names: give --init, or another"
            " teacher (teacher.weights= for none)"
        )
    return dataclasses.replace(config.teacher, weights=start.weights)


class DetectorTask:
    """A detector learns from scenes; see Task."""

    kind = "detector"
    skeleton: Skeleton | None = None

    def __init__(self, config: Config, start: Start, own: OwnParts = NO_OWN_PARTS):
        """The teacher is another detector.

        Raises:
          BlazePoseError: a bad teacher, or a bad objective of an experiment file.
        """
        self.arguments: dict[str, Any] = dict(config.model.arguments)
        self.side = spec_of(own.network(config.model.name)).side
        self._config, self._objective = config.detector, own.objective_for(detector_objective)
        weights = teacher_config(config, start).weights
        self.teacher = load_detector(weights, self.side, own.file) if weights else None

    def objective(self, apply: Apply, teacher: Network | None) -> Objective:
        """The detector's objective, or the own one."""
        return partial(self._objective, apply, side=self.side, config=self._config, teacher=teacher)

    def count(self, apply: Apply, variables: Variables, batch: SceneBatch) -> dict[str, jax.Array]:
        """People, those found, detections, and those that are right."""
        return detector_hits(apply, variables, batch, side=self.side, config=self._config)

    def rates(self, counts: dict[str, float]) -> dict[str, float]:
        """Recall, precision, and how often the only person labelled by people comes first."""
        return {
            "recall": 100 * counts["found"] / max(counts["people"], 1.0),
            "precision": 100 * counts["right"] / max(counts["detections"], 1.0),
            "first": 100 * counts["first"] / max(counts["subjects"], 1.0),
        }

    def score(self, rates: dict[str, float]) -> float:
        """The mean of F1, which is that of recall and precision, and of who comes first."""
        recall, precision = rates["recall"], rates["precision"]
        return recall * precision / max(recall + precision, 1e-6) + rates["first"] / 2

    def inputs(self, batch: SceneBatch) -> jax.Array:
        """Whole scenes."""

        def whole(pixels: Array, points: Array, status: Array) -> jax.Array:
            targets = scene_targets(jax.random.key(0), pixels, points, status, self.side, None)
            return jnp.asarray(targets.image)

        return jax.vmap(whole)(jnp.asarray(batch.pixels), batch.points, batch.status)


def layer_config(model: ModelConfig) -> LayerConfig:
    """The normalisation and compute type that an experiment names.

    Raises:
      BlazePoseError: an unknown normalisation or convolution, or one for export alone.
    """
    check_name(model.norm, ("batch", "frozen", "folded"), "model.norm")
    learning = [name for name in CONVOLUTIONS if name != "tflite"]
    check_name(model.convolution, learning, "model.convolution")
    return LayerConfig(
        "folded" if model.norm == "folded" else "batch",
        jnp.bfloat16 if model.bfloat16 else jnp.float32,
        model.convolution,
        frozen=model.norm == "frozen",
        momentum=model.momentum,
    )
