"""Metrics of keypoints and scores.

Rates come as (hits, totals), so that those of several batches can be added before the division.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from blazepose_jax.sides import words_of
from blazepose_jax.skeleton import Skeleton

# The torso of LSP's own evaluation, in BlazePose's names: PCK's distances are measured by the line
# between these two.
LSP_TORSO = ("left_shoulder", "right_hip")
# COCO's constants by a word of the keypoint's name (cocoapi, pycocotools/cocoeval.py); other points
# take about the middle of those of the limbs.
OKS_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
OTHER_SIGMA = 0.08
OKS_THRESHOLDS = np.linspace(0.5, 0.95, 10)


def pck(
    predicted: ArrayLike, true: ArrayLike, labelled: ArrayLike, torso: ArrayLike, fraction: float
) -> tuple[jax.Array, jax.Array]:
    """Percentage of correct keypoints: how many lie within a fraction of the torso.

    Args:
      predicted: (N, K, 2) px.
      true: (N, K, 2) px.
      labelled: (N, K) bool.
      torso: (N,) px; distances are compared with it and never divided by it, as some torsos have
        3 px.
      fraction: 0.2 for PCK@0.2.

    Returns:
      (K,) hits and (K,) totals.
    """
    distance = jnp.linalg.norm(jnp.asarray(predicted) - jnp.asarray(true), axis=-1)
    counted = jnp.asarray(labelled)
    hit = (distance < fraction * jnp.asarray(torso)[:, None]) & counted
    return hit.sum(0), counted.sum(0)


def oks_sigma(name: str) -> float:
    """COCO's constant of a keypoint by a whole word of its name, so that a forearm is no ear."""
    return next((OKS_SIGMAS[word] for word in words_of(name) if word in OKS_SIGMAS), OTHER_SIGMA)


def oks_sigmas(skeleton: Skeleton, names: tuple[str, ...]) -> np.ndarray:
    """The constants of some of a skeleton's keypoints.

    Its own ``sigmas``, or COCO's: of the body point that a keypoint is, else by its name.

    Args:
      skeleton: that has them.
      names: of n keypoints.

    Returns:
      (n,) float32, shares of the person's size.
    """
    rows = skeleton.indices(names)
    if skeleton.sigmas is not None:
        return np.array(skeleton.sigmas, np.float32)[list(rows)]
    bodies = skeleton.body_names
    found = [oks_sigma(bodies[row] or name) for row, name in zip(rows, names, strict=True)]
    return np.array(found, np.float32)


def oks(
    predicted: ArrayLike,
    true: ArrayLike,
    labelled: ArrayLike,
    area: ArrayLike,
    sigmas: ArrayLike,
) -> jax.Array:
    """Object keypoint similarity, as COCO defines it.

    Args:
      predicted: (N, K, 2) px.
      true: (N, K, 2) px.
      labelled: (N, K) bool.
      area: (N,) px².
      sigmas: (K,) falloffs, as of ``oks_sigmas``.

    Returns:
      (N,) in [0, 1].
    """
    sigmas = jnp.asarray(sigmas)
    squared = ((jnp.asarray(predicted) - jnp.asarray(true)) ** 2).sum(-1)
    similarity = jnp.exp(-squared / (2 * (2 * sigmas) ** 2 * jnp.maximum(area, 1.0)[:, None]))
    counted = jnp.asarray(labelled)
    return (similarity * counted).sum(-1) / jnp.maximum(counted.sum(-1), 1)


def average_precision(similarity: np.ndarray, scores: np.ndarray) -> float:
    """COCO's AP over OKS 0.50:0.05:0.95 where every person has one prediction.

    Args:
      similarity: (N,) OKS of each prediction with its person; 0 where there is none.
      scores: (N,) confidence of each prediction.

    Returns:
      AP in [0, 1], interpolated at 101 recalls.
    """
    order = np.argsort(-scores, kind="stable")
    values = []
    for threshold in OKS_THRESHOLDS:
        hits = np.cumsum(similarity[order] >= threshold)
        precision = hits / np.arange(1, len(order) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]  # the envelope
        recall = hits / len(order)
        at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        values.append(
            np.where(at < len(order), precision[np.minimum(at, len(order) - 1)], 0).mean()
        )
    return float(np.mean(values))


def auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Area under the ROC curve: the probability that a positive scores above a negative.

    Args:
      scores: (N,).
      positive: (N,) bool.

    Returns:
      AUC in [0, 1]; None with one class only.
    """
    if positive.all() or not positive.any():
        return None
    order = np.argsort(scores, kind="stable")
    _, inverse, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    middle_rank = np.cumsum(counts) - (counts - 1) / 2  # ties share their mean rank
    ranks = np.empty(len(scores))
    ranks[order] = middle_rank[inverse]
    p = positive.sum()
    return float((ranks[positive].sum() - p * (p + 1) / 2) / (p * (~positive).sum()))


def calibration_error(scores: np.ndarray, positive: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: mean gap of confidence and frequency over bins of confidence.

    Args:
      scores: (N,) probabilities.
      positive: (N,) bool.
      bins: of equal width.

    Returns:
      The error, in [0, 1].
    """
    which = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = [
        abs(scores[which == b].mean() - positive[which == b].mean()) * (which == b).mean()
        for b in range(bins)
        if (which == b).any()
    ]
    return float(np.sum(gaps))
