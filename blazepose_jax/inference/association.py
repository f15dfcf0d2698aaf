"""Association of detections with tracked people."""

from functools import partial

import jax
import jax.numpy as jnp

from blazepose_jax.geometry import nms, rois
from blazepose_jax.inference.settings import Settings
from blazepose_jax.structs import Detections, TrackState


def no_detections(count: int) -> Detections:
    """What the detector returns when it does not run: ``count`` rows that hold nothing."""
    return Detections(
        jnp.zeros((count, 4)), jnp.zeros((count, 4, 2)), jnp.zeros(count), jnp.zeros(count, bool)
    )


def associate(state: TrackState, found: Detections, *, settings: Settings) -> TrackState:
    """Give free slots to detected people who are not tracked yet.

    Tracks that have come to lie on an older track, and detections that lie on a track, are dropped.

    Args:
      state: N slots.
      found: M detections, best first; all invalid when the detector did not run.
      settings: static.

    Returns:
      The state with new people in its free slots, under new ids.
    """
    n = state.active.shape[0]
    new = rois.from_alignment(found.keypoints[:, 0], found.keypoints[:, 1])
    new_valid = found.valid & (new.side > 0)
    age = jnp.argsort(jnp.where(state.active, state.ids, jnp.iinfo(jnp.int32).max))
    squares = jnp.concatenate([rois.bounding_xyxy(state.roi)[age], rois.bounding_xyxy(new)])
    kept = nms.keep_first(
        squares, jnp.concatenate([state.active[age], new_valid]), settings.association_threshold
    )
    active = jnp.zeros_like(state.active).at[age].set(kept[:n])
    # The r-th kept detection goes to the r-th free slot.
    rank_of_detection = jnp.where(kept[n:], jnp.cumsum(kept[n:]) - 1, -1)
    rank_of_slot = jnp.where(active, -2, jnp.cumsum(~active) - 1)
    matches = rank_of_slot[:, None] == rank_of_detection[None]  # (N, M)
    taken, source = matches.any(1), jnp.argmax(matches, 1)
    pick = partial(
        jax.tree.map,
        lambda a, b: jnp.where(taken.reshape((-1,) + (1,) * (a.ndim - 1)), b[source], a),
    )
    return state.replace(
        active=active | taken,
        ids=jnp.where(taken, state.next_id + rank_of_slot, jnp.where(active, state.ids, -1)),
        next_id=state.next_id + taken.sum(dtype=jnp.int32),
        roi=pick(state.roi, new),
        started=state.started & active,
    )
