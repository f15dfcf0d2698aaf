"""Predictions and targets come in, elementwise losses leave.

Masking and averaging is ``masked_mean``'s.
"""

import jax
import jax.numpy as jnp


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of ``values`` weighted by ``mask`` (broadcastable, may be fractional).

    0 where nothing is labelled.
    """
    mask = jnp.broadcast_to(mask, values.shape).astype(values.dtype)
    total = mask.sum()
    return (values * mask).sum() / jnp.where(total > 0, total, 1.0)


def binary_cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Elementwise BCE of logits against targets in [0, 1]; stable for large logits."""
    return jnp.maximum(logits, 0) - logits * targets + jnp.log1p(jnp.exp(-jnp.abs(logits)))


def smooth_l1(difference: jax.Array, width: float = 1.0) -> jax.Array:
    """Elementwise: quadratic below ``width``, linear above."""
    size = jnp.abs(difference)
    return jnp.where(size < width, 0.5 * difference**2 / width, size - 0.5 * width)


def robust_distance(
    predicted: jax.Array, true: jax.Array, unit: jax.Array, knee: float
) -> jax.Array:
    """log(1 + d / (knee * unit)): an L1 near the truth whose pull fades far from it.

    About a quarter of LSP Extended's joints are off by more than 0.2 torso; such outliers must not
    steer.

    Args:
      predicted: (..., D).
      true: (..., D).
      unit: (...) e.g. the torso, same frame.
      knee: in units.

    Returns:
      (...).
    """
    squared = ((predicted - true) ** 2).sum(-1)
    distance = jnp.sqrt(squared + 1e-12)  # a finite gradient at 0
    return jnp.log1p(distance / (knee * unit))


def focal(logits: jax.Array, targets: jax.Array, alpha: float, gamma: float) -> jax.Array:
    """Elementwise focal loss.

    BCE that fades where the answer is right already (arXiv 1708.02002, equation 5).

    Args:
      logits: any shape.
      targets: same shape, 0 or 1.
      alpha: weight of the ones; the zeros get 1 - alpha.
      gamma: how fast easy cases fade.
    """
    right = jax.nn.sigmoid(jnp.where(targets > 0.5, logits, -logits))
    weight = jnp.where(targets > 0.5, alpha, 1 - alpha)
    return weight * (1 - right) ** gamma * binary_cross_entropy(logits, targets)
