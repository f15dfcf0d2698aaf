"""The pipeline on many streams, or on many pictures, in one program."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.association import associate, no_candidates
from blazepose_jax.inference.compiled import Compiled
from blazepose_jax.inference.pipeline import find_in, look
from blazepose_jax.inference.requirements import (
    any_square,
    check_squares,
    check_state,
    required,
    required_skeleton,
    settings_by_name,
)
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.state import initial_state, resized
from blazepose_jax.inference.steps import map_active, pose_input, read_poses, run_at_once
from blazepose_jax.io.frames import to_frame
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Array, Candidates, Frame, Network, Poses, TrackState

Rows = TypeVar("Rows")


def initial_states(skeleton: Skeleton, streams: int, max_people: int = 1) -> TrackState:
    """``initial_state`` of each stream.

    Args:
      skeleton: of the pose net.
      streams: S.
      max_people: N.

    Returns:
      A TrackState whose leaves have a leading axis S.
    """
    one = initial_state(skeleton, max_people)
    return jax.tree.map(lambda a: jnp.repeat(a[None], streams, 0), one)


def searches(wanted: np.ndarray, *, batched: bool) -> int:
    """How many streams a program searches, so that few programs are compiled.

    Args:
      wanted: (S,) bool.
      batched: as for ``track_batch``.

    Returns:
      The count rounded up to a power of two or to S; not batched 0 or S.
    """
    streams, count = len(wanted), int(wanted.sum())
    if not batched or not count:
        return streams if count else 0
    return min(1 << (count - 1).bit_length(), streams)


@partial(Compiled, static_argnames=("searched", "settings", "batched"), donate_argnames="state")
def track_batch(
    detector: Network,
    pose: Network,
    state: TrackState,
    frames: Frame,
    elapsed: Array,
    ready: Array,
    wanted: Array,
    *,
    searched: int,
    settings: Settings,
    batched: bool,
) -> tuple[TrackState, Poses]:
    """One frame of each of S streams: ``track`` for all of them, in one program.

    Args:
      detector: a detector network.
      pose: a pose network with a skeleton.
      state: from ``initial_states``, with ``settings.max_people``; leaves (S, ...); given away.
      frames: pixels (S, P, 3) and size (S, 2).
      elapsed: (S,) seconds since each stream's previous frame, as for ``track``.
      ready: (S,) bool: the stream has a frame; the state of the others stays.
      wanted: (S,) bool: the stream is to be searched for people.
      searched: from ``searches``; static.
      settings: static.
      batched: each network is called once for all streams, which suits a GPU; else once for each
        that needs it, one after the other, which suits a CPU and gives the bits of ``track``.

    Returns:
      The states for the next frames, and Poses with leaves (S, N, ...).

    Raises:
      BlazePoseError: no pose net, or states of another number of keypoints or people.
    """
    check_state(state, required_skeleton(pose), settings.max_people)
    streams, before = elapsed.shape[0], state
    state = jax.vmap(resized)(state, frames.size)

    def search(frame: Frame, own: TrackState) -> Candidates:
        return find_in(detector, pose, own, frame, settings)

    def follow(own: TrackState, frame: Frame, seconds: Array) -> tuple[TrackState, Poses]:
        return look(pose, own, frame, seconds, settings=settings)

    found = jax.tree.map(
        lambda a: jnp.repeat(a[None], streams, 0), no_candidates(settings.max_people)
    )
    if searched == streams:
        found = _each(search, (frames, state), wanted, batched)
        found = found.replace(valid=found.valid & wanted[:, None])
    elif searched:
        chosen = jnp.flatnonzero(wanted, size=searched, fill_value=streams)
        rows = jax.tree.map(lambda a: a[chosen], (frames, state))
        new = _each(search, rows, chosen < streams, batched)
        found = jax.tree.map(lambda a, b: a.at[chosen].set(b, mode="drop"), found, new)
    state = state.replace(detector_runs=state.detector_runs + wanted)
    joined = jax.vmap(partial(associate, settings=settings))(state, found)
    after, poses = _each(follow, (joined, frames, elapsed), ready, batched)
    return jax.tree.map(partial(_where, ready), after, before), poses


def _where(ready: Array, new: Array, old: Array) -> Array:
    """New rows of streams that are ready, old ones of the others."""
    return jnp.where(ready.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)


def _each(
    function: Callable[..., Rows], rows: tuple[object, ...], chosen: Array, batched: bool
) -> Rows:
    """A function of each stream's rows: of all at once, or of the chosen one after the other."""
    if batched:
        return jax.vmap(function)(*rows)
    return map_active(lambda row, _: function(*row), rows, chosen)


@partial(jax.jit, donate_argnames="state")
def forget(state: TrackState, stream: Array | int, fresh: TrackState) -> TrackState:
    """The states, of which one stream remembers nothing.

    Args:
      state: leaves (S, ...); given away.
      stream: ().
      fresh: from ``initial_state``.
    """
    return jax.tree.map(lambda rows, row: rows.at[stream].set(row), state, fresh)


@settings_by_name
def estimate_batch(
    pose: Network, images: Iterable[Array], rois: ROI, *, settings: Settings = Settings()
) -> Poses:
    """Estimate the pose of one person in each of many pictures, with one call of the network.

    Args:
      pose: a pose network with a skeleton.
      images: B pictures as ``to_frame`` takes them; their sizes may differ.
      rois: (B,) squares, each in the frame of its picture.
      settings: static; ``max_people`` does not matter here.

    Returns:
      Poses with B slots, one a picture, in its px.

    Raises:
      BlazePoseError: no image, another number of squares, or settings by position.
    """
    check_squares(rois, "rois")
    images = list(images)
    if len(images) != len(rois.side):
        raise BlazePoseError(
            f"there are {len(images)} pictures and {len(rois.side)} squares: give a square for each"
        )
    if not images:  # as many poses, of the same form
        one = estimate_batch(pose, [np.zeros((1, 1, 3), np.uint8)], any_square(), settings=settings)
        return jax.tree.map(lambda a: a[:0], one)
    frames = [to_frame(image) for image in images]
    largest = max((frame.pixels.shape[0] for frame in frames), default=0)
    pixels = np.zeros((len(frames), largest, 3), np.uint8)
    for row, frame in zip(pixels, frames, strict=True):
        row[: frame.pixels.shape[0]] = frame.pixels
    sizes = np.array([frame.size for frame in frames], np.int32).reshape(-1, 2)
    return _estimate_batch(
        required(pose, "pose net"), Frame(pixels, sizes), rois, settings=settings
    )


@partial(Compiled, static_argnames="settings")
def _estimate_batch(pose: Network, frames: Frame, rois: ROI, *, settings: Settings) -> Poses:
    def crop(frame: Frame, roi: ROI) -> jax.Array:
        square = jax.tree.map(lambda a: jnp.asarray(a)[None], roi)
        return pose_input(pose, frame, square, rounding=settings.rounding)[0]

    crops = jax.vmap(crop)(frames, rois)
    count = crops.shape[0]
    outputs = run_at_once(pose, crops, settings)
    active, ids = jnp.ones(count, bool), jnp.arange(count)
    return read_poses(pose, outputs, rois, active, ids, settings)[0]
