"""The pipeline: ``track``, ``detect`` and ``estimate``, pure and jitted.

A frame and what the tracker remembers come in, people and what to remember leave. Constants are
those of MediaPipe Tasks (docs/mediapipe.md, 3) unless a line says otherwise.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from blazepose_jax.inference.association import associate, no_detections
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.steps import (
    detector_input,
    follow,
    pose_input,
    read_detections,
    read_poses,
    run_pose,
)
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import (
    ROI,
    Array,
    Detections,
    Frame,
    LowPass,
    Network,
    OneEuro,
    Poses,
    TrackState,
)


def initial_state(skeleton: Skeleton, max_people: int = 1) -> TrackState:
    """Remember nothing. Resetting a tracker is starting again from this.

    Args:
      skeleton: of the pose net.
      max_people: N.

    Returns:
      A TrackState with N free slots.
    """
    n, k = max_people, len(skeleton.keypoints)

    def filter_state() -> OneEuro:
        return OneEuro(jnp.zeros((n, k, 3)), jnp.zeros((n, k, 3)), jnp.zeros((n, k, 3)))

    return TrackState(
        active=jnp.zeros(n, bool),
        ids=jnp.full(n, -1, jnp.int32),
        next_id=jnp.int32(0),
        detector_runs=jnp.int32(0),
        roi=ROI(jnp.zeros((n, 2)), jnp.ones(n), jnp.zeros(n)),
        started=jnp.zeros(n, bool),
        keypoints=filter_state(),
        world=filter_state(),
        visibility=LowPass(jnp.zeros((n, k))),
    )


@partial(jax.jit, static_argnames="settings")
def track(
    detector: Network,
    pose: Network,
    state: TrackState,
    frame: Frame,
    elapsed: Array | float,
    *,
    settings: Settings = Settings(),
) -> tuple[TrackState, Poses]:
    """Follow people from one frame to the next; the detector runs only while a slot is free.

    A video is a Python loop or a ``lax.scan`` over this function. For many streams write a batched
    function rather than ``vmap``, which would run the detector on every frame. Same input, same
    machine, same versions: same bits.

    Args:
      detector: a detector network.
      pose: a pose network with a skeleton.
      state: from ``initial_state`` or from the previous frame.
      frame: the image.
      elapsed: () seconds since the previous frame; 0, negative or NaN count as 1/30 s.
      settings: static.

    Returns:
      The state for the next frame, and Poses in image px.
    """
    found = lax.cond(
        state.active.all(),
        lambda: no_detections(settings.max_people),
        lambda: detect(detector, frame, settings=settings),
    )
    state = associate(
        state.replace(detector_runs=state.detector_runs + ~state.active.all()),
        found,
        settings=settings,
    )
    outputs = run_pose(pose, pose_input(pose, frame, state.roi), state.active, settings)
    return follow(pose, state, outputs, elapsed, settings=settings)


@partial(jax.jit, static_argnames="settings")
def detect(detector: Network, frame: Frame, *, settings: Settings = Settings()) -> Detections:
    """Find people by their faces.

    Args:
      detector: a detector network.
      frame: the image.
      settings: static.

    Returns:
      Detections in image px, N rows, best first.
    """
    outputs = detector(detector_input(detector, frame))
    return read_detections(detector, outputs, frame, settings=settings)


@partial(jax.jit, static_argnames="settings")
def estimate(pose: Network, frame: Frame, roi: ROI, *, settings: Settings = Settings()) -> Poses:
    """Estimate the pose of the person in each ROI, without memory.

    Args:
      pose: a pose network with a skeleton.
      frame: the image.
      roi: (N,) squares, image frame.
      settings: static; ``max_people`` does not matter here.

    Returns:
      Poses with N slots; ``ids`` are the positions of the ROIs.
    """
    count = roi.side.shape[0]
    active = jnp.ones(count, bool)
    outputs = run_pose(pose, pose_input(pose, frame, roi), active, settings)
    return read_poses(pose, outputs, roi, active, jnp.arange(count), settings)[0]
