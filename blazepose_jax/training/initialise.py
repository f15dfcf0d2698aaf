"""What a run starts from: variables of a weights directory, and its teacher."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import LayerConfig, create_model
from blazepose_jax.models.batch_norm import fold_batch_norm, unfold_batch_norm
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import PoseOutputs, Variables
from blazepose_jax.training.distillation import Teacher, TeacherConfig
from blazepose_jax.weights import load_weights, read_stored


def start_from(
    path: str, kind: str, fresh: Variables, model: str, norm: str, crops: Iterable[jax.Array]
) -> Variables:
    """Variables of a weights directory with the normalisation that is trained.

    What does not fit stays fresh, and is named.

    Args:
      path: weights directory or .task.
      kind: ``detector`` or ``pose``.
      fresh: variables of the experiment's network.
      model: the experiment's network.
      norm: ``batch``, ``frozen`` or ``folded``.
      crops: (B, S, S, 3) normalised, to unfold folded weights on; read only where that is needed.

    Returns:
      Variables with the names and shapes of ``fresh``.

    Raises:
      BlazePoseError: no such network in the directory, or one of another architecture.
    """
    found = read_stored(path)
    if kind not in found:
        raise BlazePoseError(
            f"{path} holds no {kind}: name a weights directory that does with --init"
        )
    stored = found[kind]
    if stored.model != model:
        raise BlazePoseError(
            f"the weights are of {stored.model!r}, the experiment trains {model!r}: "
            "name another --init"
        )
    variables = stored.variables
    if stored.norm == "folded" and norm != "folded":
        print("measuring statistics to unfold batch normalisation")
        variables = unfold_batch_norm(
            create_model(model, LayerConfig(), **stored.arguments), variables, crops
        )
    elif stored.norm == "batch" and norm == "folded":
        variables = fold_batch_norm(variables)
    return take_over(fresh, variables)


def take_over(fresh: Variables, variables: Variables) -> Variables:
    """Copy every tensor that fits, and say which do not."""
    new = []

    def pick(path: Any, leaf: Any) -> Any:
        node: Any = variables
        for part in path:
            node = node.get(part.key) if isinstance(node, dict) else None
        if node is None or node.shape != leaf.shape:
            new.append("/".join(part.key for part in path))
            return leaf
        return jnp.asarray(node)

    taken = jax.tree_util.tree_map_with_path(pick, fresh)
    print(
        f"took over all but {len(new)} tensors"
        + (f", fresh: {', '.join(sorted(new))}" if new else "")
    )
    return taken


def load_teacher(
    config: TeacherConfig, skeleton: Skeleton, fields: tuple[str, ...]
) -> Teacher | None:
    """The teacher that an experiment names.

    Args:
      config: which weights.
      skeleton: the student's.
      fields: columns of the student's landmarks.

    Returns:
      Teacher, or None where the experiment has none.

    Raises:
      BlazePoseError: no pose net, or one with other keypoints.
    """
    if not config.weights:
        return None
    network = load_weights(config.weights).pose
    if network is None or network.skeleton is None:
        raise BlazePoseError(
            f"teacher {config.weights!r} holds no pose net: name one in teacher.weights"
        )
    if network.skeleton.keypoints != skeleton.keypoints or network.fields != fields:
        raise BlazePoseError(
            f"teacher {config.weights!r} predicts {network.skeleton.name} keypoints, the student "
            f"{skeleton.name}: both must have the same keypoints and fields"
        )
    return Teacher(network.replace(apply=TrainingModeApply(network.apply.module)), config)


class TrainingModeApply:
    """A folded module applied in training mode, where it shows its features.

    Equal modules are equal.
    """

    def __init__(self, module: Any):
        self._module = module

    def __call__(self, variables: Variables, images: jax.Array) -> PoseOutputs:
        """Apply; folded nets have no statistics to update."""
        return self._module.apply(variables, images, train=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrainingModeApply) and other._module == self._module

    def __hash__(self) -> int:
        return hash(self._module)
