"""Axis-aligned boxes."""

import jax
import jax.numpy as jnp


def xyxy_from_cxcywh(boxes_cxcywh: jax.Array) -> jax.Array:
    """(..., 4) centre x, y, width, height to (..., 4) left, top, right, bottom."""
    center, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return jnp.concatenate([center - half, center + half], -1)


def iou(a_xyxy: jax.Array, b_xyxy: jax.Array) -> jax.Array:
    """Intersection over union; leading axes broadcast, empty unions give 0.

    Args:
      a_xyxy: (..., 4).
      b_xyxy: (..., 4), same frame.

    Returns:
      (...) in [0, 1].
    """
    low = jnp.maximum(a_xyxy[..., :2], b_xyxy[..., :2])
    high = jnp.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    shared = jnp.prod(jnp.maximum(high - low, 0), -1)
    union = _area(a_xyxy) + _area(b_xyxy) - shared
    return jnp.where(union > 0, shared / jnp.where(union > 0, union, 1), 0)


def _area(boxes_xyxy: jax.Array) -> jax.Array:
    return jnp.prod(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], -1)
