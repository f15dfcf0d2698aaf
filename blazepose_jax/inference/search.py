"""Search: several squares where somebody may be, each looked at by the pose net and judged.

``find`` is called from within the JAX pipeline's program; for LiteRT its steps are programs.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.geometry import rois
from blazepose_jax.geometry.boxes import iou
from blazepose_jax.inference.association import candidates
from blazepose_jax.inference.quality import MIN_QUALITY, Parameters, known_rows, load_parameters
from blazepose_jax.inference.settings import MIN_SEARCH_SCORE, Settings
from blazepose_jax.inference.steps import in_float32
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Array, Candidates, Detections, Poses, TrackState

# Quarters by which the image is turned, by ``settings.SEARCHES``.
TURNS = {"quick": 1, "thorough": 4}
# Detections that are looked at in each turn of the image, or as many as there are slots.
CANDIDATES = 3
NEAR = 0.08  # sides of the larger square; points of two poses that lie nearer agree
SAME = 0.5  # share of agreeing points from which two poses are one person
JUDGED = 14  # facts of a hypothesis that the judge knows

# (M,) squares and which of them to look at -> M poses, and where to look next.
Look = Callable[[ROI, Array], tuple[Poses, ROI]]


def search_settings(settings: Settings) -> Settings:
    """How the networks are asked while searching."""
    least = settings.min_detection_confidence
    return dataclasses.replace(
        settings,
        search="none",
        max_people=max(CANDIDATES, settings.max_people),
        min_detection_confidence=MIN_SEARCH_SCORE if least is None else least,
        flip=False,
        world=False,
        mask=False,
    )


def find(
    look: Look,
    found: Detections,
    state: TrackState,
    size: Array,
    skeleton: Skeleton,
    settings: Settings,
) -> Candidates:
    """Look twice at every detection of whom nobody follows, and keep the best poses.

    Args:
      look: runs the pose net.
      found: (T, C, ...) in each turn of the image.
      state: whom slots follow.
      size: (2,) width, height of the image.
      skeleton: of the pose net.
      settings: static.

    Returns:
      N candidates, best first: each person once, where both the pose and its quality are good
      enough.
    """
    first = first_squares(found, state, settings)
    poses, following = look(first.roi, first.valid)
    first, usable = second_squares(first, following, state, settings)
    again, leaving = look(following, usable)
    usable = usable & ~on_somebody(leaving, state, settings)
    return in_float32(rank(poses, again, first, usable, size, skeleton, settings))


@partial(jax.jit, static_argnames="settings")
def first_squares(found: Detections, state: TrackState, settings: Settings) -> Candidates:
    """The squares of detections, but of those which lie on somebody who is followed.

    Args:
      found: (T, C, ...) in each turn of the image.
      state: N slots.
      settings: static.

    Returns:
      T * C candidates.
    """
    new = candidates(jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), found))
    return new.replace(valid=new.valid & ~on_somebody(new.roi, state, settings))


@partial(jax.jit, static_argnames="settings")
def second_squares(
    first: Candidates, following: ROI, state: TrackState, settings: Settings
) -> tuple[Candidates, Array]:
    """Where to look again: at whose pose leads to a square, and not to somebody who is followed.

    A detection's square may lie off a body by half, where that of the points does not.

    Args:
      first: M candidates.
      following: (M,) the squares by the points that were seen in theirs.
      state: N slots.
      settings: static.

    Returns:
      The candidates without those who are followed, and (M,) bool: ``following`` is a square.
    """
    valid = first.valid & ~on_somebody(following, state, settings)
    return first.replace(valid=valid), valid & jnp.isfinite(following.side) & (following.side > 0)


@partial(jax.jit, static_argnames="settings")
def on_somebody(squares: ROI, state: TrackState, settings: Settings) -> Array:
    """(M,) bool: which squares lie on somebody who is followed."""
    overlap = iou(rois.bounding_xyxy(squares)[:, None], rois.bounding_xyxy(state.roi)[None])
    return ((overlap > settings.association_threshold) & state.active).any(1)


@partial(jax.jit, static_argnames=("skeleton", "settings"))
def rank(
    first: Poses,
    second: Poses,
    squares: Candidates,
    usable: Array,
    size: Array,
    skeleton: Skeleton,
    settings: Settings,
) -> Candidates:
    """Judge the poses of both looks, and keep each person once.

    Args:
      first: M poses, in the detections' squares.
      second: M poses, in the squares by the points of ``first``.
      squares: of ``first``, with the detections' scores.
      usable: (M,) bool: there was a second look.
      size: (2,) width, height of the image.
      skeleton: of the poses.
      settings: static.

    Returns:
      N candidates, best first; their squares are those in which the pose was seen.
    """
    poses = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
    is_second = jnp.arange(2 * usable.shape[0]) >= usable.shape[0]
    valid = jnp.concatenate([squares.valid, usable])
    scores = jnp.concatenate([squares.score, squares.score])
    near = agreement(poses, skeleton)
    facts = describe(poses, scores, is_second, near, valid, size, skeleton)
    judged = judge(load_parameters(), facts)
    # A pose that is not good enough is no candidate, but its vote counts.
    good = valid & (poses.presence >= settings.min_presence_confidence)
    good &= poses.quality >= MIN_QUALITY
    best, taken = [], good
    for _ in range(settings.max_people):
        one = jnp.argmax(jnp.where(taken, judged, -jnp.inf))
        best.append((one, taken[one]))
        taken &= near[one] < SAME
    order, found = (jnp.stack(column) for column in zip(*best, strict=True))
    return Candidates(
        jax.tree.map(lambda a: a[order], poses.roi), jax.nn.sigmoid(judged[order]), found
    )


def agreement(poses: Poses, skeleton: Skeleton) -> jax.Array:
    """(M, M) the share of joints that lie near each other in two poses; 1 on the diagonal."""
    points = poses.keypoints[:, joint_rows(skeleton), :2]
    apart = jnp.linalg.norm(points[:, None] - points[None], axis=-1)  # (M, M, joints)
    side = jnp.maximum(poses.roi.side[:, None], poses.roi.side[None])
    return (apart < NEAR * side[..., None]).mean(-1)


def joint_rows(skeleton: Skeleton) -> np.ndarray:
    """The rows of ``quality.JOINTS``, or of all keypoints where the set has not all of them."""
    known = known_rows(skeleton)
    return np.arange(len(skeleton.keypoints)) if known is None else np.array(known[1])


def describe(
    poses: Poses,
    scores: Array,
    is_second: Array,
    near: Array,
    valid: Array,
    size: Array,
    skeleton: Skeleton,
) -> jax.Array:
    """(M, ``JUDGED``) what the judge knows of each hypothesis.

    How large it is in the image and whether it lies wholly inside, but not where: in LSP the person
    who is labelled stands in the middle.

    Args:
      poses: M hypotheses.
      scores: (M,) of the detections that they come from.
      is_second: (M,) bool: of the second look.
      near: (M, M) from ``agreement``.
      valid: (M,) bool.
      size: (2,) width, height of the image.
      skeleton: of the poses.
    """
    quality = jnp.where(valid, poses.quality, 0)
    count = jnp.maximum(valid.sum(), 1)
    votes = near * quality[None] * (1 - jnp.eye(len(quality)))
    # The looks of one detection agree easily.
    detection = jnp.arange(len(quality)) % (len(quality) // 2)
    others = jnp.where(detection[:, None] != detection[None], votes, 0).max(1)
    side = jnp.maximum(poses.roi.side, 1e-3)
    largest = jnp.maximum(jnp.where(valid, side, 0).max(), 1e-3)
    joints = joint_rows(skeleton)
    points, size = poses.keypoints[:, joints, :2], jnp.asarray(size, jnp.float32)
    border = jnp.minimum(points, size - 1 - points).min(-1)  # (M, joints), px
    confidences = logit(poses.confidence[:, joints])
    return jnp.stack(
        [
            logit(poses.quality),
            logit(poses.presence) / 4,
            logit(scores),
            jnp.log(side / largest),
            votes.sum(1) / count,
            others,
            is_second.astype(jnp.float32),
            jnp.broadcast_to(jnp.log(count), quality.shape),
            (border >= 0).mean(1),
            jnp.log(side / size.max()),
            jnp.log(side / size.min()),
            jnp.clip(border.min(1) / side, -0.3, 0.1),
            confidences.mean(1),
            confidences.min(1),
        ],
        -1,
    )


def logit(p: Array) -> jax.Array:
    """The logit of (...) probabilities, within +-7."""
    p = jnp.clip(p, 1e-3, 1 - 1e-3)
    return jnp.log(p) - jnp.log1p(-p)


def judge(parameters: Parameters, facts: Array) -> jax.Array:
    """(M,) how good hypotheses are, from (M, ``JUDGED``) facts; comparable within one image."""
    w = parameters
    hidden = jax.nn.relu(facts @ w["judge.facts"] + w["judge.hidden_bias"])
    return hidden @ w["judge.out"] + facts @ w["judge.linear"]
