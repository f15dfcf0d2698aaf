"""Suppression of overlapping candidates."""

import jax
import jax.numpy as jnp
from jax import lax

from blazepose_jax.geometry.boxes import iou


def weighted_nms(
    boxes_xyxy: jax.Array, values: jax.Array, scores: jax.Array, count: int, threshold: float
) -> tuple[jax.Array, jax.Array]:
    """MediaPipe's weighted suppression (docs/mediapipe.md, 3.4).

    Each cluster becomes its score-weighted mean, with its best score.

    Args:
      boxes_xyxy: (A, 4) candidates.
      values: (A, V) what to average.
      scores: (A,) weights; rows with a score of 0 are no candidates.
      count: N, clusters to return.
      threshold: rows whose IoU with the best one exceeds it belong to its cluster.

    Returns:
      Values (N, V) and scores (N,), best first; 0 where there were fewer clusters.

    Source: mediapipe/calculators/util/non_max_suppression_calculator.cc.
    """
    rows = jnp.arange(scores.shape[0])

    def take_best(left: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        best = jnp.argmax(left)
        member = (iou(boxes_xyxy, boxes_xyxy[best]) > threshold) | (rows == best)
        weights = jnp.where(member, left, 0)
        mean = weights @ values / jnp.maximum(weights.sum(), 1e-12)
        return jnp.where(member, 0, left), (mean, left[best])

    _, (means, best_scores) = lax.scan(take_best, scores, None, length=count)
    return means, best_scores


def keep_first(boxes_xyxy: jax.Array, valid: jax.Array, threshold: float) -> jax.Array:
    """Greedy suppression in the given order.

    Args:
      boxes_xyxy: (M, 4), the most trusted first.
      valid: (M,) bool.
      threshold: a row goes when its IoU with a row kept before it exceeds this.

    Returns:
      (M,) bool, the rows kept.
    """
    overlaps = iou(boxes_xyxy[:, None], boxes_xyxy[None]) > threshold  # (M, M)
    rows = jnp.arange(valid.shape[0])

    def visit(i: jax.Array, kept: jax.Array) -> jax.Array:
        return kept.at[i].set(valid[i] & ~jnp.any(overlaps[i] & kept & (rows < i)))

    return lax.fori_loop(0, valid.shape[0], visit, jnp.zeros_like(valid))
