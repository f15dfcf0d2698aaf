"""Association of candidates, or of fixed first squares, with tracked people."""

from functools import partial

import jax
import jax.numpy as jnp

from blazepose_jax.geometry import nms, rois
from blazepose_jax.inference.settings import Settings
from blazepose_jax.structs import ROI, Array, Candidates, Detections, Poses, TrackState


def no_candidates(count: int) -> Candidates:
    """What a search that does not run finds: ``count`` rows that hold nothing."""
    zeros = jnp.zeros(count, jnp.float32)
    square = ROI(jnp.zeros((count, 2), jnp.float32), zeros, zeros)
    return Candidates(square, zeros, jnp.zeros(count, bool))


def candidates(found: Detections) -> Candidates:
    """Detections as the squares round their alignment points, in their order."""
    squares = rois.from_alignment(found.keypoints[:, 0], found.keypoints[:, 1])
    return Candidates(squares, found.scores, found.valid & (squares.side > 0))


def associate(state: TrackState, found: Candidates, *, settings: Settings) -> TrackState:
    """Give free slots to people who are not tracked yet.

    Tracks that have come to lie on an older track, and candidates that lie on a track, are dropped.

    Args:
      state: N slots.
      found: M candidates, best first; all invalid when nothing was searched.
      settings: static.

    Returns:
      The state with new people in its free slots, under new ids.
    """
    n = state.active.shape[0]
    age = jnp.argsort(jnp.where(state.active, state.ids, jnp.iinfo(jnp.int32).max))
    squares = jnp.concatenate([rois.bounding_xyxy(state.roi)[age], rois.bounding_xyxy(found.roi)])
    kept = nms.keep_first(
        squares, jnp.concatenate([state.active[age], found.valid]), settings.association_threshold
    )
    active = jnp.zeros_like(state.active).at[age].set(kept[:n])
    # The r-th kept candidate goes to the r-th free slot.
    rank_of_candidate = jnp.where(kept[n:], jnp.cumsum(kept[n:], dtype=jnp.int32) - 1, -1)
    rank_of_slot = jnp.where(active, -2, jnp.cumsum(~active, dtype=jnp.int32) - 1)
    matches = rank_of_slot[:, None] == rank_of_candidate[None]  # (N, M)
    taken, source = matches.any(1), jnp.argmax(matches, 1)
    pick = partial(
        jax.tree.map,
        lambda a, b: jnp.where(_like(taken, a), b[source], a),
    )
    return state.replace(
        active=active | taken,
        ids=jnp.where(taken, state.next_id + rank_of_slot, jnp.where(active, state.ids, -1)),
        next_id=state.next_id + taken.sum(dtype=jnp.int32),
        roi=pick(state.roi, found.roi),
        started=state.started & active,
    )


def start(state: TrackState, first: ROI, *, settings: Settings) -> TrackState:
    """Let free slots begin at squares of their own, where there is no detector.

    Tracks that have come to lie on an older track are dropped, and their slots begin again.

    Args:
      state: N slots.
      first: (N,) image frame.
      settings: static.

    Returns:
      The state with every slot active. ``number`` makes the new ids final.
    """
    state = associate(state, no_candidates(state.active.shape[0]), settings=settings)
    free = ~state.active
    return state.replace(
        active=jnp.ones_like(free),
        ids=jnp.where(free, state.next_id + jnp.cumsum(free, dtype=jnp.int32) - 1, state.ids),
        starts=state.starts + free.sum(dtype=jnp.int32),
        roi=jax.tree.map(lambda new, old: jnp.where(_like(free, old), new, old), first, state.roi),
    )


def number(state: TrackState, poses: Poses) -> TrackState:
    """Use up the new ids of those who were found; where nobody was, the next one gets them.

    Args:
      state: after ``follow``.
      poses: of the same frame.

    Returns:
      The state with ``next_id`` above all ids of ``poses``.
    """
    return state.replace(next_id=jnp.maximum(state.next_id, poses.ids.max() + 1))


def _like(rows: Array, other: Array) -> Array:
    """(N,) with as many trailing axes as ``other`` (N, ...)."""
    return rows.reshape((-1,) + (1,) * (other.ndim - 1))
