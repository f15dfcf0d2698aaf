"""What a tracker remembers: the beginning, and a change of the frames' size."""

import jax
import jax.numpy as jnp

from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Array, LowPass, OneEuro, TrackState

ALIKE = 0.02  # by how much a frame's width and height may scale otherwise, in the same scene


def initial_state(skeleton: Skeleton, max_people: int = 1) -> TrackState:
    """Remember nothing. Resetting a tracker is starting again from this.

    Args:
      skeleton: of the pose net.
      max_people: N.

    Returns:
      A TrackState with N free slots.
    """
    n, k = max_people, len(skeleton.keypoints)

    def zeros(*shape: int) -> jax.Array:
        return jnp.zeros(shape, jnp.float32)

    def filter_state() -> OneEuro:
        return OneEuro(zeros(n, k, 3), zeros(n, k, 3), zeros(n, k, 3))

    return TrackState(
        active=jnp.zeros(n, bool),
        ids=jnp.full(n, -1, jnp.int32),
        next_id=jnp.int32(0),
        detector_runs=jnp.int32(0),
        starts=jnp.int32(0),
        size=jnp.zeros(2, jnp.int32),
        roi=ROI(zeros(n, 2), jnp.ones(n, jnp.float32), zeros(n)),
        started=jnp.zeros(n, bool),
        keypoints=filter_state(),
        world=filter_state(),
        visibility=LowPass(zeros(n, k)),
    )


def resized(state: TrackState, size: Array) -> TrackState:
    """The state in a frame of another size: cameras and streams change their resolution.

    Args:
      state: N slots.
      size: (2,) width, height of the next frame.

    Returns:
      The state, whose squares and keypoints are scaled where both sides scale alike; where they do
      not, the scene is another, and px stay px.
    """
    size = jnp.asarray(size, jnp.int32)
    ratios = size / jnp.maximum(state.size, 1)
    alike = (state.size > 0).all() & (jnp.abs(ratios[0] - ratios[1]) < ALIKE * ratios.max())
    ratio = jnp.where(alike, ratios.mean(), 1.0).astype(jnp.float32)
    filters = state.keypoints
    return state.replace(
        size=size,
        roi=state.roi.replace(center=state.roi.center * ratio, side=state.roi.side * ratio),
        # Speeds are counted in sides of the ROI.
        keypoints=filters.replace(raw=filters.raw * ratio, value=filters.value * ratio),
    )
