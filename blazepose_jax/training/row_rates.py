"""Learning rates of single rows of the heads: those of new keypoints learn faster."""

from typing import Any

import jax
import numpy as np
import optax

from blazepose_jax.weights.rows import ROW_HEADS


def scale_rows(
    fresh: np.ndarray, factors: tuple[tuple[str, float], ...]
) -> optax.GradientTransformation:
    """Multiply the updates of the rows of new keypoints.

    Adam moves a weight by about its rate a step, whatever the gradient. Landmarks are in input px,
    logits are not: each head has its own factor.

    Args:
      fresh: (K',) bool, the rows that no weights knew.
      factors: (head, factor).

    Returns:
      The transformation; it keeps no state.
    """
    by_head = dict(factors)

    def scale(path: Any, update: jax.Array) -> jax.Array:
        names = [part.key for part in path]
        if names[0] != "heads" or names[1] not in ROW_HEADS or not fresh.any():
            return update
        rows = np.where(fresh, by_head.get(names[1], 1.0), 1.0).astype(np.float32)
        return update * np.repeat(rows, update.shape[-1] // len(fresh))

    return optax.stateless(lambda updates, _: jax.tree_util.tree_map_with_path(scale, updates))
