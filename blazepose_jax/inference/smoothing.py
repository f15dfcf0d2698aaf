"""Filters over time, as state transitions: (state, value) -> (state, filtered value)."""

import jax
import jax.numpy as jnp

from blazepose_jax.inference.settings import SmoothingConfig
from blazepose_jax.structs import Array, LowPass, OneEuro, Poses, TrackState

# Seconds, where timestamps tell nothing; and the smallest ROI side, px, by which speeds are
# divided (docs/mediapipe.md, 3.9).
NOMINAL_PERIOD = 1 / 30
MIN_OBJECT_SIZE = 1e-6


def blend(cutoff_hz: Array | float, period: Array) -> Array:
    """Weight of the new value in a low pass of this cutoff at this sampling period."""
    return 1 / (1 + 1 / (2 * jnp.pi * cutoff_hz * period))


def usable_period(elapsed: Array | float) -> jax.Array:
    """Seconds between two frames.

    A clock that stands still, runs back or says nothing counts as 1/30 s.
    """
    return jnp.where(jnp.isfinite(elapsed) & (elapsed > 0), elapsed, NOMINAL_PERIOD)


def low_pass(
    state: LowPass, value: Array, started: Array, alpha: float
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
    value: Array,
    started: Array,
    elapsed: Array | float,
    scale: Array,
    *,
    min_cutoff: float,
    beta: float,
    derivative_cutoff: float = SmoothingConfig.derivative_cutoff,
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
      derivative_cutoff: Hz, of the low pass on the speed.

    Returns:
      The next state and (N, ...) filtered values.

    Source: mediapipe/util/filtering/one_euro_filter.cc.
    """
    shape = started.shape + (1,) * (value.ndim - 1)
    first, period = ~started.reshape(shape), usable_period(elapsed)
    speed = (value - state.raw) * scale.reshape(shape) / period
    weight = blend(derivative_cutoff, period)
    speed = jnp.where(first, 0.0, weight * speed + (1 - weight) * state.speed)
    weight = blend(min_cutoff + beta * jnp.abs(speed), period)
    out = jnp.where(first, value, weight * value + (1 - weight) * state.value)
    return OneEuro(value, out, speed), out


def smooth(
    state: TrackState, poses: Poses, elapsed: Array, config: SmoothingConfig
) -> tuple[TrackState, Poses]:
    """Filter keypoints, visibility and, where there are any, world landmarks.

    Args:
      state: N slots; ``roi`` is that of the next frame, whose side scales the keypoints' speeds.
      poses: N slots of this frame.
      elapsed: () seconds since the previous frame.
      config: the filters' constants.

    Returns:
      The state with the filters' memory, and the filtered poses.

    Source: docs/mediapipe.md, 3.9.
    """
    started, size = state.started, jnp.maximum(state.roi.side, MIN_OBJECT_SIZE)
    keypoints_state, keypoints = one_euro(
        state.keypoints,
        poses.keypoints,
        started,
        elapsed,
        1 / size,
        min_cutoff=config.keypoints_min_cutoff,
        beta=config.keypoints_beta,
        derivative_cutoff=config.derivative_cutoff,
    )
    visibility_state, visibility = low_pass(
        state.visibility, poses.visibility, started, config.visibility_alpha
    )
    state = state.replace(keypoints=keypoints_state, visibility=visibility_state)
    poses = poses.replace(keypoints=keypoints, visibility=visibility)
    if poses.world is not None:
        world_state, world = one_euro(
            state.world,
            poses.world,
            started,
            elapsed,
            jnp.ones_like(size),
            min_cutoff=config.world_min_cutoff,
            beta=config.world_beta,
            derivative_cutoff=config.derivative_cutoff,
        )
        state, poses = state.replace(world=world_state), poses.replace(world=world)
    return state, poses
