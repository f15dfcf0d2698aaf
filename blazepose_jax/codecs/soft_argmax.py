"""Soft argmax: the mean place of each heatmap round its regressed point, by convolutions alone.

The same function stands in exported graphs, whose readers look at the landmark tensor only, and in
``landmarks.decode``.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.structs import Array

# Chosen on the 500 people of experiments/lsp_held_out.txt by PCK@0.2 of Full and Lite
# (docs/results.md, Decodes).
REACH = 12 / 64  # crop sides; farther from the regressed point a map counts nothing
# Squarings of the probabilities: to the 4th power, which leaves little of broad tails.
SQUARINGS = 2
# Cells a side of the windows that weights are summed over first, for speed. Probabilities averaged
# before they are raised would quantise the places: points that rest would jitter by a quarter more.
POOL = 2
# Weight of the regressed point itself: where no cell's probability reaches about 0.1, as of hidden
# points and those outside of the crop, it stays.
FLOOR = 1e-3

# Sums over windows of (B, H, W, C) maps, weighted by an (h, w) kernel; windows do not overlap.
Depthwise = Callable[[Array, np.ndarray], jax.Array]


def _depthwise(maps: Array, kernel: np.ndarray) -> jax.Array:
    """As sums, several times faster on CPU than XLA's grouped convolution."""
    (batch, height, width, channels), (h, w) = maps.shape, kernel.shape
    windows = jnp.asarray(maps).reshape(batch, height // h, h, width // w, w, channels)
    return (windows * kernel[:, None, :, None].astype(np.float32)).sum((2, 4))


def soft_argmax(
    x: Array, y: Array, heatmap_logits: Array, depthwise: Depthwise = _depthwise
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

    Returns:
      (B, 1, 1, K) steps in x, and in y; crop frame.
    """
    cells = heatmap_logits.shape[1] // POOL
    weights = jax.nn.sigmoid(jnp.asarray(heatmap_logits))  # (B, G, G, K)
    for _ in range(SQUARINGS):
        weights = weights * weights
    weights = depthwise(weights, np.ones((POOL, POOL)))  # (B, G/2, G/2, K)
    # The middle of a pooled cell, as cell i lies at i / G.
    places = ((np.arange(cells) + (POOL - 1) / (2 * POOL)) / cells).astype(np.float32)
    # Places from the middle of the crop are small enough for half precision.
    ones, apart = np.ones(cells), places - 0.5
    weights = weights * _bump(places.reshape(1, -1, 1, 1), y)
    bump_x = _bump(places.reshape(1, 1, -1, 1), x)
    by_column = depthwise(weights, ones[:, None]) * bump_x  # (B, 1, G/2, K)
    total = depthwise(by_column, ones[None])  # (B, 1, 1, K)
    sum_x = depthwise(by_column, apart[None])
    sum_y = depthwise(depthwise(weights, apart[:, None]) * bump_x, ones[None])
    return tuple(
        (moment - (point - 0.5) * total) / (total + FLOOR)
        for moment, point in ((sum_x, x), (sum_y, y))
    )


def _bump(places: np.ndarray, points: Array) -> jax.Array:
    """1 at the points, 0 from ``REACH`` on, smooth between."""
    apart = (places - points) * (1 / REACH)
    inside = jax.nn.relu(1 - apart * apart)
    return inside * inside
