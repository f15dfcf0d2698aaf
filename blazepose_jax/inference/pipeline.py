"""The pipeline: ``track``, ``detect`` and ``estimate``, pure and jitted.

Each checks what it is given and makes a Frame of a picture; the jitted function of the same name
follows it.

A frame and what the tracker remembers come in, people and what to remember leave. Constants are
those of MediaPipe Tasks (docs/mediapipe.md, 3) unless a line says otherwise.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from blazepose_jax.inference.association import (
    associate,
    candidates,
    no_candidates,
    number,
    start,
)
from blazepose_jax.inference.compiled import Compiled
from blazepose_jax.inference.requirements import (
    check_squares,
    check_state,
    required,
    required_skeleton,
    settings_by_name,
)
from blazepose_jax.inference.search import TURNS, find, search_settings
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.state import initial_state, resized
from blazepose_jax.inference.steps import (
    detector_input,
    follow,
    map_active,
    pose_input,
    read_detections,
    read_poses,
    run_pose,
)
from blazepose_jax.io.frames import as_frame
from blazepose_jax.structs import (
    ROI,
    Array,
    Candidates,
    Detections,
    Frame,
    Network,
    Poses,
    TrackState,
)


@settings_by_name
def track(
    detector: Network | None,
    pose: Network,
    state: TrackState,
    frame: Frame | Array,
    elapsed: Array | float,
    *,
    settings: Settings = Settings(),
    first: ROI | None = None,
) -> tuple[TrackState, Poses]:
    """Follow people from one frame to the next; the detector runs only while a slot is free.

    A video is a Python loop or a ``lax.scan`` over this function. For many streams take
    ``track_batch`` rather than ``vmap``, which would run detector and search on every frame. Same
    input, same machine, same versions: same bits.

    Args:
      detector: a detector network; None is enough where ``first`` is given.
      pose: a pose network with a skeleton.
      state: from ``initial_state(pose.skeleton, settings.max_people)`` or from the previous frame.
      frame: the image; a Frame, or a picture as ``to_frame`` takes it.
      elapsed: () seconds since the previous frame; 0, negative or NaN count as 1/30 s.
      settings: static.
      first: (N,) squares, image frame, where free slots begin in place of the detector's.

    Returns:
      The state for the next frame, and Poses in image px.

    Raises:
      BlazePoseError: no image, settings by position, a missing network, squares of another shape,
        or a state of another number of keypoints or people.
    """
    check_state(state, required_skeleton(pose), settings.max_people)
    return step(detector, pose, state, frame, elapsed, settings=settings, first=first)


@settings_by_name
def step(
    detector: Network | None,
    pose: Network,
    state: TrackState,
    frame: Frame | Array,
    elapsed: Array | float,
    *,
    settings: Settings,
    first: ROI | None,
) -> tuple[TrackState, Poses]:
    """``track`` for engines, with as many slots as the state has.

    Who looks into one square needs one slot, however many people the engine searches for.
    """
    frame = as_frame(frame)
    check_state(state, required_skeleton(pose))
    if first is not None:
        check_squares(first, "first", state.active.shape[0])
        return _track_from(pose, state, frame, elapsed, first, settings=settings)
    detector = required(detector, "detector")
    return _track(detector, pose, state, frame, elapsed, settings=settings)


@partial(Compiled, static_argnames="settings")
def _track(
    detector: Network,
    pose: Network,
    state: TrackState,
    frame: Frame,
    elapsed: Array | float,
    *,
    settings: Settings,
) -> tuple[TrackState, Poses]:
    """With a detector."""
    state = resized(state, frame.size)
    found = lax.cond(
        state.active.all(),
        lambda: no_candidates(settings.max_people),
        lambda: find_in(detector, pose, state, frame, settings),
    )
    state = associate(
        state.replace(detector_runs=state.detector_runs + ~state.active.all()),
        found,
        settings=settings,
    )
    return look(pose, state, frame, elapsed, settings=settings)


def find_in(
    detector: Network, pose: Network, state: TrackState, frame: Frame, settings: Settings
) -> Candidates:
    """Where new people may be: ``find_people`` beside those who are followed; for use in jit."""
    if settings.search == "none":
        return candidates(_detect(detector, frame, settings=settings))
    wide = search_settings(settings)

    def detect_turned(turn: Array) -> Detections:
        outputs = detector(detector_input(detector, frame, turn, rounding=wide.rounding))
        return read_detections(detector, outputs, frame, turn, settings=wide)

    def look_into(roi: ROI, active: Array) -> tuple[Poses, ROI]:
        def one(square: ROI, is_active: Array) -> tuple[Poses, ROI]:
            square, is_active = jax.tree.map(lambda a: a[None], (square, is_active))
            crops = pose_input(pose, frame, square, rounding=wide.rounding)
            outputs = run_pose(pose, crops, is_active, wide)
            ids = jnp.zeros(1, jnp.int32)
            seen = read_poses(pose, outputs, square, is_active, ids, wide)
            return jax.tree.map(lambda a: a[0], seen)

        return map_active(one, roi, active)

    found = lax.map(detect_turned, jnp.arange(TURNS[settings.search]))
    return find(look_into, found, state, frame.size, required_skeleton(pose), settings)


@partial(Compiled, static_argnames="settings")
def _track_from(
    pose: Network,
    state: TrackState,
    frame: Frame,
    elapsed: Array | float,
    first: ROI,
    *,
    settings: Settings,
) -> tuple[TrackState, Poses]:
    """With fixed first squares."""
    state = start(resized(state, frame.size), first, settings=settings)
    state, poses = look(pose, state, frame, elapsed, settings=settings)
    return number(state, poses), poses


def look(
    pose: Network, state: TrackState, frame: Frame, elapsed: Array | float, *, settings: Settings
) -> tuple[TrackState, Poses]:
    """Run the pose net in the ROIs of the active slots, and follow them; for use in jit."""
    crops = pose_input(pose, frame, state.roi, rounding=settings.rounding)
    outputs = run_pose(pose, crops, state.active, settings)
    return follow(pose, state, outputs, elapsed, settings=settings)


@settings_by_name
def detect(
    detector: Network, frame: Frame | Array, *, settings: Settings = Settings()
) -> Detections:
    """Find people by their faces.

    Args:
      detector: a detector network.
      frame: the image; a Frame, or a picture as ``to_frame`` takes it.
      settings: static.

    Returns:
      Detections in image px, N rows, best first.

    Raises:
      BlazePoseError: no image, or settings by position.
    """
    return _detect(required(detector, "detector"), as_frame(frame), settings=settings)


@partial(Compiled, static_argnames="settings")
def _detect(detector: Network, frame: Frame, *, settings: Settings) -> Detections:
    outputs = detector(detector_input(detector, frame, rounding=settings.rounding))
    return read_detections(detector, outputs, frame, settings=settings)


@settings_by_name
def find_people(
    detector: Network, pose: Network, frame: Frame | Array, *, settings: Settings = Settings()
) -> Candidates:
    """Find people by ``settings.search``, without memory: the squares to estimate their poses in.

    Args:
      detector: a detector network.
      pose: a pose network with a skeleton, which judges what the detector found.
      frame: the image; a Frame, or a picture as ``to_frame`` takes it.
      settings: static.

    Returns:
      Candidates in image px, N rows, best first.

    Raises:
      BlazePoseError: no image, a missing network, or settings by position.
    """
    detector, pose = required(detector, "detector"), required(pose, "pose net")
    return _find_people(detector, pose, as_frame(frame), settings=settings)


@partial(Compiled, static_argnames="settings")
def _find_people(
    detector: Network, pose: Network, frame: Frame, *, settings: Settings
) -> Candidates:
    state = initial_state(required_skeleton(pose), settings.max_people)
    return find_in(detector, pose, state, frame, settings)


@settings_by_name
def estimate(
    pose: Network, frame: Frame | Array, roi: ROI, *, settings: Settings = Settings()
) -> Poses:
    """Estimate the pose of the person in each ROI, without memory.

    Args:
      pose: a pose network with a skeleton.
      frame: the image; a Frame, or a picture as ``to_frame`` takes it.
      roi: (N,) squares, image frame.
      settings: static; ``max_people`` does not matter here. With ``rounding=False`` the result can
        be differentiated by ``roi`` and by float32 ``frame.pixels``.

    Returns:
      Poses with N slots; ``ids`` are the positions of the ROIs.

    Raises:
      BlazePoseError: no image, squares of another shape, or settings by position.
    """
    check_squares(roi, "roi")
    return _estimate(required(pose, "pose net"), as_frame(frame), roi, settings=settings)


@partial(Compiled, static_argnames="settings")
def _estimate(pose: Network, frame: Frame, roi: ROI, *, settings: Settings) -> Poses:
    count = roi.side.shape[0]
    active = jnp.ones(count, bool)
    crops = pose_input(pose, frame, roi, rounding=settings.rounding)
    outputs = run_pose(pose, crops, active, settings)
    return read_poses(pose, outputs, roi, active, jnp.arange(count), settings)[0]
