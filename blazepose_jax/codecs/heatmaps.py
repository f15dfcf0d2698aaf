"""Heatmaps: Gaussians drawn, and decoded by MediaPipe's refinement or by the peak."""

import jax
import jax.numpy as jnp

from blazepose_jax.structs import Array

# docs/mediapipe.md, 3.8.
KERNEL = 7  # cells; window of the centroid
MIN_CONFIDENCE = 0.5  # a window whose peak is lower refines nothing


def encode(points_crop: Array, grid: int, sigma: float) -> jax.Array:
    """Draw a Gaussian round each point.

    Args:
      points_crop: (K, 2) crop frame.
      grid: G, cells per side; column = x * G without half-cell shift, as MediaPipe decodes them.
      sigma: cells.

    Returns:
      (G, G, K) float32 in [0, 1].
    """
    cells = jnp.arange(grid, dtype=jnp.float32)
    distance = (cells[:, None] - points_crop.T.reshape(2, 1, -1) * grid) ** 2  # (2, G, K)
    return jnp.exp(-(distance[0][None] + distance[1][:, None]) / (2 * sigma**2))


def encode_offsets(points_crop: Array, grid: int, radius: float) -> tuple[jax.Array, jax.Array]:
    """The offsets from the cells round each point to the point.

    Args:
      points_crop: (K, 2) crop frame.
      grid: G, cells per side.
      radius: cells.

    Returns:
      (G, G, K, 2) float32, from cell to point, in cells; and (G, G, K) bool, whether the cell lies
      within the radius.
    """
    cells = jnp.arange(grid, dtype=jnp.float32)
    columns, rows = jnp.meshgrid(cells, cells)
    places = jnp.stack([columns, rows], -1)[:, :, None]  # (G, G, 1, 2)
    offsets = jnp.asarray(points_crop) * grid - places  # (G, G, K, 2)
    return offsets, (offsets**2).sum(-1) <= radius**2


def refine(points_crop: Array, heatmap_logits: Array) -> jax.Array:
    """Pull points to the centroid of the heatmap around them.

    Args:
      points_crop: (K, 2) crop frame.
      heatmap_logits: (G, G, K).

    Returns:
      (K, 2): points outside of the map, or where its window stays below 0.5, are unchanged.

    Source: mediapipe/calculators/util/refine_landmarks_from_heatmap_calculator.cc.
    """
    heatmap_logits, grid = jnp.asarray(heatmap_logits), heatmap_logits.shape[0]
    centers = jnp.trunc(jnp.clip(points_crop * grid, -2.0 * grid, 2.0 * grid)).astype(jnp.int32)
    centroid, peak = _centroid(centers, heatmap_logits)
    inside = ((centers >= 0) & (centers < grid)).all(-1)
    return jnp.where((inside & (peak >= MIN_CONFIDENCE))[:, None], centroid, points_crop)


def decode(heatmap_logits: Array) -> jax.Array:
    """The centroid of the window round each map's peak.

    Args:
      heatmap_logits: (G, G, K).

    Returns:
      (K, 2) crop frame.
    """
    heatmap_logits = jnp.asarray(heatmap_logits)
    grid, _, k = heatmap_logits.shape
    best = jnp.argmax(heatmap_logits.reshape(-1, k), 0)
    return _centroid(jnp.stack([best % grid, best // grid], -1), heatmap_logits)[0]


def _centroid(centers: jax.Array, heatmap_logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The centroid of the windows round (K, 2) int32 cells, cut at the map's border.

    Returns:
      (K, 2) crop frame, and the windows' peaks, (K,) probability.
    """
    grid, _, k = heatmap_logits.shape
    reach = jnp.arange(-(KERNEL // 2), KERNEL // 2 + 1)
    columns, rows = centers[:, :1] + reach, centers[:, 1:] + reach  # (K, 7) each
    row_inside, column_inside = (rows >= 0) & (rows < grid), (columns >= 0) & (columns < grid)
    inside = row_inside[:, :, None] & column_inside[:, None]  # (K, 7, 7)
    window = heatmap_logits[
        jnp.clip(rows, 0, grid - 1)[:, :, None],
        jnp.clip(columns, 0, grid - 1)[:, None],
        jnp.arange(k)[:, None, None],
    ]
    weights = jnp.where(inside, jax.nn.sigmoid(window), 0)  # (K, 7, 7)
    total = jnp.maximum(weights.sum((1, 2)), 1e-12)
    x = (weights.sum(1) * columns).sum(1) / total
    y = (weights.sum(2) * rows).sum(1) / total
    return jnp.stack([x, y], -1) / grid, weights.max((1, 2))
