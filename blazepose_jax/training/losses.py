"""Elementwise losses, and the mean that masks and weighs them."""

from typing import Any

import jax
import jax.numpy as jnp

from blazepose_jax.structs import Array


def masked_mean(values: Array, mask: Array) -> jax.Array:
    """Mean of ``values`` weighted by ``mask``; 0 where nothing is labelled.

    Args:
      values: any shape.
      mask: broadcastable to it; may be fractional.

    Returns:
      () float32.
    """
    mask = jnp.broadcast_to(mask, values.shape).astype(values.dtype)
    total = mask.sum()
    return (values * mask).sum() / jnp.where(total > 0, total, 1.0)


def binary_cross_entropy(logits: Array, targets: Array) -> jax.Array:
    """Elementwise BCE of logits against targets in [0, 1]; stable for large logits."""
    return jnp.maximum(logits, 0) - logits * targets + jnp.log1p(jnp.exp(-jnp.abs(logits)))


def bernoulli_kl(logits: Array, target_logits: Array) -> jax.Array:
    """Elementwise KL divergence of two Bernoulli variables given by their logits."""
    targets = jax.nn.sigmoid(target_logits)
    return binary_cross_entropy(logits, targets) - binary_cross_entropy(target_logits, targets)


def smooth_l1(difference: Array, width: float = 1.0) -> jax.Array:
    """Elementwise: quadratic below ``width``, linear above."""
    size = jnp.abs(difference)
    return jnp.where(size < width, 0.5 * difference**2 / width, size - 0.5 * width)


def robust_distance(predicted: Array, true: Array, unit: Array, knee: float) -> jax.Array:
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
    # A finite gradient at 0.
    distance = jnp.sqrt(squared + 1e-12)
    return jnp.log1p(distance / (knee * unit))


def focal(logits: Array, targets: Array, alpha: float, gamma: float) -> jax.Array:
    """Elementwise focal loss: BCE that fades where the answer is right already.

    Args:
      logits: any shape.
      targets: same shape, 0 or 1.
      alpha: weight of the ones; the zeros get 1 - alpha.
      gamma: how fast easy cases fade.

    Returns:
      The same shape. Source: arXiv 1708.02002, equation 5.
    """
    right = jax.nn.sigmoid(jnp.where(targets > 0.5, logits, -logits))
    weight = jnp.where(targets > 0.5, alpha, 1 - alpha)
    return weight * (1 - right) ** gamma * binary_cross_entropy(logits, targets)


def weigh(parts: Any, config: Any) -> tuple[jax.Array, Any]:
    """The sum of losses by their weights.

    Args:
      parts: a struct of () losses.
      config: has a weight by the name of each.

    Returns:
      () loss, and the weighted parts. A loss of weight 0 has no gradient: nothing is computed for
      it.
    """
    weights = {name: getattr(config, name) for name in vars(parts)}
    weighted = parts.replace(
        **{name: w * getattr(parts, name) if w else jnp.float32(0) for name, w in weights.items()}
    )
    return jnp.stack(list(vars(weighted).values())).sum(), weighted


def as_metrics(parts: Any, prefix: str = "") -> dict[str, jax.Array]:
    """The fields of a struct of losses by name, for the log."""
    return {f"{prefix}{name}": value for name, value in vars(parts).items()}
