"""Summaries of heatmaps: a few numbers that tell how sure they are, and where of."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.codecs.soft_argmax import REACH, windows
from blazepose_jax.structs import Array

SMALL = 1e-4  # weight of the regressed point in mean places


@dataclasses.dataclass(frozen=True)
class HeatmapSummary:
    """What is taken from K' heatmaps, averaged over 2 x 2 cells; all probabilities.

    Attributes:
      peak: (K',) the largest.
      mass: (K',) the sum.
      sharp: (K',) the sum of 4th powers.
      near_peak: (K',) the largest near the regressed point (a bump of ``soft_argmax.REACH``).
      near_sharp: (K',) the sum of 4th powers there.
      center: (K', 2) crop frame, the mean place weighted by the 4th powers.
      near_center: (K', 2) likewise near the regressed point.
    """

    peak: Array
    mass: Array
    sharp: Array
    near_peak: Array
    near_sharp: Array
    center: Array
    near_center: Array


jax.tree_util.register_dataclass(
    HeatmapSummary, [field.name for field in dataclasses.fields(HeatmapSummary)], []
)


def summarise(points_crop: Array, heatmap_logits: Array) -> HeatmapSummary:
    """Summarise heatmaps.

    Args:
      points_crop: (K', 2) regressed, crop frame.
      heatmap_logits: (G, G, K'), G even.
    """
    points_crop, grid = jnp.asarray(points_crop), heatmap_logits.shape[0] // 2
    places = (jnp.arange(grid, dtype=jnp.float32) + 0.25) / grid
    maps = jnp.asarray(heatmap_logits)
    pooled = 0.25 * (maps[::2, ::2] + maps[1::2, ::2] + maps[::2, 1::2] + maps[1::2, 1::2])
    mass, sharp, center = _sums(pooled, jnp.ones(()))
    # Beyond the reach the bump is 0.
    cells = min(grid, 2 * (int(REACH * grid) + 1))
    near, start = windows(points_crop, pooled, cells)
    step = start / grid
    apart = (places[:cells, None, None] + step - points_crop) / REACH  # (cells, K', 2)
    bump = jnp.maximum(1 - apart**2, 0) ** 2
    bump = bump[None, ..., 0] * bump[:, None, :, 1]
    _, near_sharp, near_center = _sums(near, bump)

    def mean(total: jax.Array, moment: jax.Array) -> jax.Array:
        return (moment + SMALL * points_crop) / (total + SMALL)[:, None]

    return HeatmapSummary(
        jax.nn.sigmoid(pooled.max((0, 1))),
        mass,
        sharp,
        (jax.nn.sigmoid(near) * bump).max((0, 1)),
        near_sharp,
        mean(sharp, center / grid + 0.25 / grid * sharp[:, None]),
        mean(near_sharp, near_center / grid + (step + 0.25 / grid) * near_sharp[:, None]),
    )


def _sums(logits: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sums over (h, w, K') logits as probabilities, weighted.

    As matrix products, whose operands XLA's CPU backend computes but once.

    Returns:
      (K',) of probabilities, (K',) of their 4th powers, (K', 2) of these times column and row.
    """
    height, width, count = logits.shape
    p = jax.nn.sigmoid(logits)
    rows, columns = np.mgrid[:height, :width].reshape(2, -1)
    sums = np.stack([np.ones_like(rows), columns, rows]).astype(np.float32)
    total, x, y = sums @ ((p * p) ** 2 * weights).reshape(-1, count)
    return (sums[:1] @ (p * weights).reshape(-1, count))[0], total, jnp.stack([x, y], -1)
