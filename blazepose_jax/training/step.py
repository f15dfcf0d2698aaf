"""The training state, and one step of it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

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
