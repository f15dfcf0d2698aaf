"""The optimizer: warm-up and cosine decay, weight decay of kernels, rates by group."""

from typing import Any

import jax
import optax

from blazepose_jax.errors import check_name


def make_optimizer(
    learning_rate: float,
    steps: int,
    *,
    warmup: float,
    weight_decay: float,
    clip: float,
    rule: str = "adamw",
    groups: tuple[tuple[str, float], ...] = (),
) -> optax.GradientTransformation:
    """Warm-up and cosine decay to a hundredth; norms and biases are not decayed.

    Args:
      learning_rate: peak.
      steps: of the whole run.
      warmup: share of the steps.
      weight_decay: decoupled.
      clip: of the global gradient norm.
      rule: ``adamw``, or ``sgd`` with Nesterov momentum 0.9.
      groups: as for ``scale_by_group``.

    Returns:
      The transformation; its ``init`` raises BlazePoseError where a group fits no parameter.

    Raises:
      BlazePoseError: an unknown rule.
    """
    check_name(rule, ("adamw", "sgd"), "optimizer.rule")
    rise = max(1, round(warmup * steps))
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, rise, max(steps, rise + 1), learning_rate / 100
    )

    def kernels(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)

    if rule == "adamw":
        descent = optax.adamw(schedule, weight_decay=weight_decay, mask=kernels)
    else:
        descent = optax.chain(
            optax.add_decayed_weights(weight_decay, kernels),
            optax.sgd(schedule, momentum=0.9, nesterov=True),
        )
    return optax.chain(optax.clip_by_global_norm(clip), descent, scale_by_group(groups))


def scale_by_group(groups: tuple[tuple[str, float], ...]) -> optax.GradientTransformation:
    """Multiply the updates of parameters whose path begins with a group's name.

    Args:
      groups: (beginning of a parameter's path, factor); the first that fits counts.

    Returns:
      The transformation; its ``init`` raises BlazePoseError where a group fits no parameter.
    """

    def init(params: Any) -> optax.EmptyState:
        names = [
            "/".join(part.key for part in path)
            for path, _ in jax.tree_util.tree_leaves_with_path(params)
        ]
        for start, _ in groups:
            if not any(name.startswith(start) for name in names):
                check_name(
                    start,
                    sorted({name.split("/")[0] for name in names}),
                    "parameters in optimizer.groups:",
                )
        return optax.EmptyState()

    def scale(path: Any, update: jax.Array) -> jax.Array:
        return update * factor_of(path, groups)

    return optax.GradientTransformation(
        init,
        lambda updates, state, params=None: (
            jax.tree_util.tree_map_with_path(scale, updates),
            state,
        ),
    )


def stop_frozen(params: optax.Params, groups: tuple[tuple[str, float], ...]) -> optax.Params:
    """Parameters of which those whose factor is 0 have no gradient.

    A network's first layers, frozen, cost no more than at inference: nothing below the first
    parameter that learns is differentiated.

    Args:
      params: of a network.
      groups: as for ``scale_by_group``.
    """

    def stopped(path: Any, value: jax.Array) -> jax.Array:
        return value if factor_of(path, groups) else jax.lax.stop_gradient(value)

    return jax.tree_util.tree_map_with_path(stopped, params)


def factor_of(path: Any, groups: tuple[tuple[str, float], ...]) -> float:
    """The factor of the first group that a parameter's path begins with; 1 where none does."""
    name = "/".join(part.key for part in path)
    return next((factor for start, factor in groups if name.startswith(start)), 1.0)
