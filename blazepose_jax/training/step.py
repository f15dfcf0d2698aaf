"""A state and a batch come in, the next state and metrics leave: one visible step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from blazepose_jax.errors import check_name

Objective = Callable[..., tuple[jax.Array, tuple[dict[str, jax.Array], Any]]]


class TrainState(struct.PyTreeNode):
    """All that a training run remembers; what a checkpoint holds."""

    step: jax.Array  # () int32, steps done
    params: Any  # float32
    batch_stats: Any  # running means and variances; {} for folded nets
    opt_state: Any
    ema: Any  # {"params", "batch_stats"}: exponential moving averages of both; what is shipped


def create_train_state(variables: Any, optimizer: optax.GradientTransformation) -> TrainState:
    """Start from variables.

    Args:
      variables: {"params", and "batch_stats" where norm is batch}.
      optimizer: whose state is made.

    Returns:
      TrainState at step 0.
    """
    params, stats = variables["params"], variables.get("batch_stats", {})
    # an alias could be donated away
    copy = jax.tree.map(jnp.array, {"params": params, "batch_stats": stats})
    return TrainState(jnp.int32(0), params, stats, optimizer.init(params), copy)


def train_step(
    state: TrainState,
    batch: Any,
    key: jax.Array,
    *,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One step of gradient descent. jit and shardings are the caller's.

    Args:
      state: the state.
      batch: whatever the objective takes.
      key: of the run; the step's own is folded in, so that a resumed run draws the same numbers.
      objective: (variables, batch, key) -> (loss, (metrics, batch_stats)).
      optimizer: optax transformation.
      ema_decay: of the averages; ramped up over the first steps.

    Returns:
      The next state, and metrics: the objective's, loss and gradient norm.
    """

    def loss_of(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        return objective(variables, batch, jax.random.fold_in(key, state.step))

    (loss, (metrics, stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
    ema = optax.incremental_update({"params": params, "batch_stats": stats}, state.ema, 1 - decay)
    metrics = {**metrics, "loss": loss, "gradient_norm": optax.tree.norm(grads)}
    return TrainState(state.step + 1, params, stats, opt_state, ema), metrics


def keep_if_sound(
    new: TrainState, old: TrainState, metrics: dict[str, jax.Array], step: jax.Array
) -> TrainState:
    """The new state; the old one after a step that is not finite, and after every step that
    follows it.

    Args:
      new: after the step.
      old: before it.
      metrics: of the step.
      step: () int32, the steps that should have been done before; they have not where one has
        failed.

    Returns:
      One of the two.
    """
    sound = (
        jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["gradient_norm"]) & (old.step == step)
    )
    return jax.tree.map(lambda a, b: jnp.where(sound, a, b), new, old)


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
      groups: (beginning of a parameter's path, factor on its learning rate); the first that fits
        counts.

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
        name = "/".join(part.key for part in path)
        return update * next((factor for start, factor in groups if name.startswith(start)), 1.0)

    return optax.GradientTransformation(
        init,
        lambda updates, state, params=None: (
            jax.tree_util.tree_map_with_path(scale, updates),
            state,
        ),
    )
