"""The training state, and one step of it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.structs import Variables

Objective = Callable[..., tuple[jax.Array, tuple[dict[str, jax.Array], Any]]]


class TrainState(struct.PyTreeNode):
    """All that a training run remembers; what a checkpoint holds."""

    step: jax.Array  # () int32, steps done
    params: optax.Params  # float32
    batch_stats: Variables  # running means and variances; {} for folded nets
    opt_state: optax.OptState  # the optimizer's
    ema: optax.Params  # {"params", "batch_stats"}: moving averages of both; what is shipped


def create_train_state(variables: Variables, optimizer: optax.GradientTransformation) -> TrainState:
    """Start from variables.

    Args:
      variables: {"params", and "batch_stats" where norm is batch}.
      optimizer: whose state is made.

    Returns:
      TrainState at step 0.
    """
    params, stats = variables["params"], variables.get("batch_stats", {})
    # An alias could be donated away.
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
    accumulate: int = 1,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One step of gradient descent. jit and shardings are the caller's.

    Args:
      state: the state.
      batch: whatever the objective takes.
      key: of the run; the step's own is folded in, so that a resumed run draws the same numbers.
      objective: (variables, batch, key) -> (loss, (metrics, batch_stats)).
      optimizer: optax transformation.
      ema_decay: of the averages; ramped up over the first steps.
      accumulate: micro-batches whose mean gradient makes the update.

    Returns:
      The next state, and metrics: the objective's, loss and gradient norm.
    """
    own = jax.random.fold_in(key, state.step)

    def loss_of(params):
        return objective({"params": params, "batch_stats": state.batch_stats}, batch, own)

    if accumulate == 1:
        (loss, (metrics, stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    else:
        loss, metrics, stats, grads = accumulated(state, batch, own, objective, accumulate)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
    ema = optax.incremental_update({"params": params, "batch_stats": stats}, state.ema, 1 - decay)
    metrics = {**metrics, "loss": loss, "gradient_norm": optax.tree.norm(grads)}
    return TrainState(state.step + 1, params, stats, opt_state, ema), metrics


def accumulated(
    state: TrainState, batch: Any, key: jax.Array, objective: Objective, count: int
) -> tuple[jax.Array, dict[str, jax.Array], Variables, optax.Params]:
    """Loss, metrics, batch statistics and gradient over micro-batches, one after the other.

    Micro-batch i has the rows i, i + count, ...: each device keeps its own rows.

    Args:
      state: the state.
      batch: leaves (B, ...); B is a multiple of ``count``.
      key: of the step; each micro-batch has its own.
      objective: as for ``train_step``; each call sees the batch statistics that the one before it
        left.
      count: of micro-batches.

    Returns:
      The mean loss, the mean metrics, the last statistics, the mean gradient.
    """

    def deal(leaf: jax.Array) -> jax.Array:
        rows = leaf.reshape(leaf.shape[0] // count, count, *leaf.shape[1:])
        return jnp.swapaxes(rows, 0, 1)  # (count, B / count, ...)

    def add(carry: tuple, part: tuple) -> tuple[tuple, tuple]:
        total, stats = carry
        rows, own = part

        def loss_of(params):
            return objective({"params": params, "batch_stats": stats}, rows, own)

        (loss, (metrics, stats)), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        return (jax.tree.map(jnp.add, total, grads), stats), (loss, metrics)

    start = jax.tree.map(jnp.zeros_like, state.params), state.batch_stats
    parts = jax.tree.map(deal, batch), jax.random.split(key, count)
    (total, stats), (losses, metrics) = jax.lax.scan(add, start, parts)
    mean = jax.tree.map(lambda a: a.mean(0), metrics)
    return losses.mean(), mean, stats, jax.tree.map(lambda a: a / count, total)


def check_batch_size(batch_size: int, devices: int, accumulate: int) -> None:
    """Check that a batch can be shared by the devices, and by micro-batches.

    Raises:
      BlazePoseError: it cannot.
    """
    if accumulate < 1:
        raise BlazePoseError(
            f"optimizer.accumulate is {accumulate}: it is a number of micro-batches, 1 or more"
        )
    if batch_size % (devices * accumulate):
        parts = f" times {accumulate} micro-batches (optimizer.accumulate)" * (accumulate > 1)
        raise BlazePoseError(
            f"optimizer.batch_size is {batch_size}: it must be a multiple of "
            f"the {devices} devices{parts}"
        )


def keep_if_sound(
    new: TrainState, old: TrainState, metrics: dict[str, jax.Array], step: jax.Array
) -> TrainState:
    """The new state, or the old one after a step that is not finite and all that follow it.

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
