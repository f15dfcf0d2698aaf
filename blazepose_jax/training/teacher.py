"""Teachers: trained pose nets, with their rows matched to a student's by keypoint; detectors."""

import dataclasses
from typing import Any

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import LayerConfig
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import Array, Network, PoseOutputs, Variables
from blazepose_jax.training.distillation import NOT_TAUGHT, Teacher, TeacherConfig
from blazepose_jax.weights import load_weights
from blazepose_jax.weights.own import ExperimentFile
from blazepose_jax.weights.rows import row_sources


def load_teacher(
    config: TeacherConfig,
    skeleton: Skeleton,
    fields: tuple[str, ...],
    experiment: ExperimentFile | None = None,
    side: int | None = None,
    layers: LayerConfig | None = None,
) -> Teacher | None:
    """The teacher that an experiment names.

    It teaches the points that it shares with the student, and the ROI points, which the student
    gets where it lacks them.

    Args:
      config: which weights.
      skeleton: of the student's records.
      fields: columns of the student's landmarks.
      experiment: that is trained; it brings the network of a teacher that refers to it.
      side: S of the student, px; None where it does not matter.
      layers: the student's; the teacher of the zoo computes in the same type and lowering.

    Returns:
      Teacher, or None where the experiment has none or it shares no point with the student.

    Raises:
      BlazePoseError: no pose net, one that lacks a field, or one of another input.
    """
    if not config.weights:
        return None
    network = _pose_net(config.weights, fields, side, experiment)
    assert network.skeleton is not None
    if network.skeleton.has_roi_points:
        skeleton = skeleton.with_roi_points()
    sources = row_sources(network.skeleton, skeleton)
    rows = tuple(source.rows[0] if source.known else NOT_TAUGHT for source in sources)
    if all(row == NOT_TAUGHT for row in rows[: len(skeleton.keypoints)]):
        print(
            f"teacher {config.weights!r} knows none of the points of {skeleton.name!r}: it does "
            'not teach ("like" in the skeleton file says which are the same)'
        )
        return None
    module = network.apply.module
    if layers is not None and isinstance(getattr(module, "config", None), LayerConfig):
        same = {"dtype": layers.dtype, "convolution": layers.convolution}
        module = module.clone(config=dataclasses.replace(module.config, **same))
    return Teacher(
        network.replace(apply=TrainingModeApply(module)),
        config,
        skeleton,
        rows,
        tuple(network.fields.index(field) for field in fields),
    )


def _pose_net(
    weights: str, fields: tuple[str, ...], side: int | None, experiment: ExperimentFile | None
) -> Network:
    network = load_weights(weights, experiment=experiment).pose
    if network is None or network.skeleton is None:
        raise BlazePoseError(f"teacher {weights!r} holds no pose net: name one in teacher.weights")
    if lacking := sorted(set(fields) - set(network.fields)):
        raise BlazePoseError(
            f"teacher {weights!r} does not predict {lacking[0]!r}, which the student is to "
            "learn: name another teacher, or leave it out with model.fields"
        )
    _check_side(weights, network, side)
    return network


def load_detector(weights: str, side: int, experiment: ExperimentFile | None = None) -> Network:
    """The detector that teaches another one.

    Args:
      weights: a name, weights directory or .task.
      side: S of the student, px.
      experiment: as for ``load_teacher``.

    Raises:
      BlazePoseError: no detector, or one of another input.
    """
    network = load_weights(weights, experiment=experiment).detector
    if network is None:
        raise BlazePoseError(f"teacher {weights!r} holds no detector: name one in teacher.weights")
    _check_side(weights, network, side)
    return network


def _check_side(weights: str, network: Network, side: int | None) -> None:
    if side not in (None, network.side):
        raise BlazePoseError(
            f"teacher {weights!r} looks at {network.side} px, the net that learns at {side}:"
            " name one of the same input in teacher.weights, or none"
        )


class TrainingModeApply:
    """A folded module applied in training mode, where it shows its features.

    Equal modules are equal.
    """

    def __init__(self, module: Any):
        self._module = module

    def __call__(self, variables: Variables, images: Array) -> PoseOutputs:
        """Apply; folded nets have no statistics to update."""
        return self._module.apply(variables, images, train=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrainingModeApply) and other._module == self._module

    def __hash__(self) -> int:
        return hash(self._module)
