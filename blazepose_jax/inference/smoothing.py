"""Filters over time as state transitions: (state, value) -> (state, filtered value)."""

import jax
import jax.numpy as jnp

from blazepose_jax.structs import LowPass, OneEuro

NOMINAL_PERIOD = 1 / 30  # seconds, until timestamps tell better (mediapipe.md 3.9)
SPEED_CUTOFF = 1.0  # Hz


def blend(cutoff_hz: jax.Array | float, period: jax.Array) -> jax.Array:
    """Weight of the new value in a low pass of this cutoff at this sampling period."""
    return 1 / (1 + 1 / (2 * jnp.pi * cutoff_hz * period))


def usable_period(elapsed: jax.Array) -> jax.Array:
    """Seconds between two frames.

    A clock that stands still, runs back or says nothing counts as 1/30 s.
    """
    return jnp.where(jnp.isfinite(elapsed) & (elapsed > 0), elapsed, NOMINAL_PERIOD)


def low_pass(
    state: LowPass, value: jax.Array, started: jax.Array, alpha: float
) -> tuple[LowPass, jax.Array]:
    """Exponential moving average.

    Args:
      state: of the previous frame.
      value: (N, ...) new values.
      started: (N,) bool; where False, ``value`` is the first and passes through.
      alpha: weight of the new value.

    Returns:
      The next state and (N, ...) filtered values.
    """
    first = ~started.reshape(started.shape + (1,) * (value.ndim - 1))
    out = jnp.where(first, value, alpha * value + (1 - alpha) * state.value)
    return LowPass(out), out


def one_euro(
    state: OneEuro,
    value: jax.Array,
    started: jax.Array,
    elapsed: jax.Array,
    scale: jax.Array,
    *,
    min_cutoff: float,
    beta: float,
) -> tuple[OneEuro, jax.Array]:
    """One-Euro filter: a low pass whose cutoff grows with speed.

    Args:
      state: of the previous frame.
      value: (N, ...) new values.
      started: (N,) bool; where False, ``value`` is the first and passes through.
      elapsed: () seconds since the previous frame; any float, see ``usable_period``.
      scale: (N,) what one unit of ``value`` counts in the speed: 1 / object size, or 1.
      min_cutoff: Hz, of a point at rest.
      beta: Hz per unit of scaled speed.

    Returns:
      The next state and (N, ...) filtered values. Source:
      mediapipe/util/filtering/one_euro_filter.cc.
    """
    shape = started.shape + (1,) * (value.ndim - 1)
    first, period = ~started.reshape(shape), usable_period(elapsed)
    speed = (value - state.raw) * scale.reshape(shape) / period
    weight = blend(SPEED_CUTOFF, period)
    speed = jnp.where(first, 0.0, weight * speed + (1 - weight) * state.speed)
    weight = blend(min_cutoff + beta * jnp.abs(speed), period)
    out = jnp.where(first, value, weight * value + (1 - weight) * state.value)
    return OneEuro(value, out, speed), out
