"""Soft argmax: the mean place of each heatmap round its regressed point, by convolutions alone.

The same function stands in exported graphs, whose readers look at the landmark tensor only, and in
``landmarks.decode``.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from blazepose_jax.structs import Array

# Chosen on the 500 people of experiments/lsp_held_out.txt by PCK@0.2 of Full and Lite
# (docs/results.md, Decodes).
REACH = 12 / 64  # crop sides; farther from the regressed point a map counts nothing
# Squarings of the probabilities: to the 4th power, which leaves little of broad tails.
SQUARINGS = 2
# Cells a side of the windows that logits are averaged over first. Pooling after the powers would be
# a little more exact, but MediaPipe's web GPU then refuses the graph ("divide by zero").
POOL = 2
# Weight of the regressed point itself: where no cell's probability reaches about 0.1, as of hidden
# points and those outside of the crop, it stays.
FLOOR = 1e-3

# Sums over windows of (B, H, W, C) maps, weighted by an (h, w) kernel; windows do not overlap.
Depthwise = Callable[[Array, np.ndarray], jax.Array]


def _depthwise(maps: Array, kernel: np.ndarray) -> jax.Array:
    """As sums of slices and as matrix products, on CPU much faster than a grouped convolution.

    Of a product XLA computes the operands once; what it sums it would compute anew for each sum.
    """
    maps, kernel = jnp.asarray(maps), kernel.astype(np.float32)
    height, width = kernel.shape
    if width == 1:
        return jnp.einsum("h,bhwc->bwc", kernel[:, 0], maps)[:, None]
    if height == 1:
        return jnp.einsum("w,bhwc->bhc", kernel[0], maps)[:, :, None]
    places = ((row, column) for row in range(height) for column in range(width))
    return sum(
        (maps[:, row::height, column::width] * kernel[row, column] for row, column in places),
        jnp.zeros(()),
    )


def soft_argmax(
    x: Array,
    y: Array,
    heatmap_logits: Array,
    depthwise: Depthwise = _depthwise,
    reach: float = REACH,
) -> tuple[jax.Array, jax.Array]:
    """Where the heatmaps say that points lie, as steps from the regressed points.

    The mean of the cells' places, weighted by probability^4 and by a bump round the regressed
    point, (1 - d^2 / REACH^2)^2 in x times the same in y, with the regressed point itself as one
    more place of weight ``FLOOR``.

    Args:
      x: (B, 1, 1, K) regressed, crop frame.
      y: (B, 1, 1, K) likewise.
      heatmap_logits: (B, G, G, K), G even.
      depthwise: computes sums over windows; exported graphs need real convolutions.
      reach: sides of the map from which it counts nothing.

    Returns:
      (B, 1, 1, K) steps in x, and in y; crop frame.
    """
    cells = heatmap_logits.shape[1] // POOL
    mean = np.full((POOL, POOL), 1 / POOL**2)
    weights = jax.nn.sigmoid(depthwise(heatmap_logits, mean))  # (B, G/2, G/2, K)
    for _ in range(SQUARINGS):
        weights = weights * weights
    # The middle of a pooled cell, as cell i lies at i / G.
    places = ((np.arange(cells) + (POOL - 1) / (2 * POOL)) / cells).astype(np.float32)
    # Places from the middle of the crop are small enough for half precision.
    ones, apart = np.ones(cells), places - 0.5
    weights = weights * _bump(places.reshape(1, -1, 1, 1), y, reach)
    bump_x = _bump(places.reshape(1, 1, -1, 1), x, reach)
    by_column = depthwise(weights, ones[:, None]) * bump_x  # (B, 1, G/2, K)
    total = depthwise(by_column, ones[None])  # (B, 1, 1, K)
    sum_x = depthwise(by_column, apart[None])
    sum_y = depthwise(depthwise(weights, apart[:, None]) * bump_x, ones[None])
    weight = total + FLOOR
    return (sum_x - (x - 0.5) * total) / weight, (sum_y - (y - 0.5) * total) / weight


def _bump(places: np.ndarray, points: Array, reach: float) -> jax.Array:
    """1 at the points, 0 from ``reach`` on, smooth between."""
    apart = (places - points) * (1 / reach)
    inside = jax.nn.relu(1 - apart * apart)
    return inside * inside


def decode(points_crop: Array, heatmap_logits: Array) -> jax.Array:
    """Move points to where the heatmaps say that they lie.

    Only the part of each map within reach is read, which gives what the whole map would.

    Args:
      points_crop: (K, 2) regressed, crop frame.
      heatmap_logits: (G, G, K).

    Returns:
      (K, 2) crop frame.
    """
    points_crop, grid = jnp.asarray(points_crop), heatmap_logits.shape[0]
    # Pooled cells are those of the whole map.
    cells = min(grid, 2 * POOL * (int(REACH * grid) // POOL + 1))
    logits, start = windows(points_crop, heatmap_logits, cells, POOL)
    within = ((points_crop * grid - start) / cells).T[:, None, None, None]  # (2, 1, 1, 1, K)
    steps = soft_argmax(within[0], within[1], logits[None], reach=REACH * grid / cells)
    return points_crop + jnp.stack(steps, -1)[0, 0, 0] * (cells / grid)


def windows(
    points_crop: Array, maps: Array, cells: int, multiple: int = 1
) -> tuple[jax.Array, jax.Array]:
    """Cut windows out of maps, round points or as near to them as the map's border allows.

    Args:
      points_crop: (K, 2) crop frame.
      maps: (G, G, K).
      cells: of a window's side.
      multiple: windows begin at multiples of so many cells.

    Returns:
      (cells, cells, K), and (K, 2) int32, the column and row where each begins.
    """
    maps, grid = jnp.asarray(maps), maps.shape[0]
    corner = jnp.clip(points_crop * grid - cells / 2, 0, grid - cells)
    nearest = jnp.floor(corner / multiple + 0.5).astype(jnp.int32)
    start = multiple * jnp.minimum(nearest, (grid - cells) // multiple)

    def cut(corner: jax.Array, one: jax.Array) -> jax.Array:
        return lax.dynamic_slice(one, (corner[1], corner[0]), (cells, cells))

    return jax.vmap(cut, (0, 2), 2)(start, maps), start
