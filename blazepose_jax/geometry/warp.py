"""Resampling of images; training and inference share it."""

import jax
import jax.numpy as jnp

from blazepose_jax.structs import ROI, Array, Frame

# MediaPipe's CPU path calls OpenCV's warpPerspective on 8-bit images (docs/mediapipe.md, 3.7). That
# rounds coordinates to 1/32 px and results to whole grey levels. The released nets amplify such
# noise where they are unsure: without it the hidden joints of the astronaut
# (tests/weights/astronaut_mediapipe.json) move by up to 14 px, with it all 33 points stay within a
# fraction of one.
SUBPIXELS = 32


def crop(
    frame: Frame, affine: Array, side: int, *, border: str, rounding: bool = True
) -> jax.Array:
    """Resample a square, bilinearly.

    Args:
      frame: the image.
      affine: (2, 3) from crop px to image px.
      side: S, px of the result.
      border: outside of the image, ``replicate`` repeats its edge and ``zero`` is black.
      rounding: to 1/32 px and to whole grey levels, as MediaPipe does. All gradients are 0 then;
        without it they are right, by the affine map and by pixels that are float32.

    Returns:
      (S, S, 3) float32 in [0, 255], with ``rounding`` whole grey levels.

    Raises:
      ValueError: another border.
    """
    if border not in ("replicate", "zero"):
        raise ValueError(f"border {border!r} is neither 'replicate' nor 'zero'")
    steps = jnp.arange(side, dtype=jnp.float32)
    # (S, S) image px; sums of rows and columns, as a matrix product of all pixels takes longer than
    # the rest of the crop.
    x, y = (row[0] * steps + row[1] * steps[:, None] + row[2] for row in jnp.asarray(affine))
    # XLA would compute the taps anew for each channel: a quarter of the speed.
    taps = jax.lax.optimization_barrier(_taps(x, y, frame.size, border, rounding))
    grey = jnp.zeros(())
    for index, weight in taps:
        colours = jnp.take(frame.pixels, index, axis=0, mode="clip").astype(jnp.float32)
        grey = grey + weight[..., None] * colours
    return jnp.floor(grey + 0.5) if rounding else grey


def _taps(
    x: jax.Array, y: jax.Array, size: Array, border: str, rounding: bool
) -> list[tuple[jax.Array, jax.Array]]:
    """The four pixels round each point: (S, S) row of ``Frame.pixels``, and (S, S) weight."""
    if rounding:
        x, y = (jnp.round(v * SUBPIXELS) / SUBPIXELS for v in (x, y))
    # Far outside everything is border; the clip keeps the integer conversion defined.
    x, y = (jnp.clip(v, -1e6, 1e6) for v in (x, y))
    low_x, low_y = jnp.floor(x), jnp.floor(y)
    fx, fy = x - low_x, y - low_y

    def tap(dx: int, dy: int, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        column, line = low_x.astype(jnp.int32) + dx, low_y.astype(jnp.int32) + dy
        inside_x, inside_y = jnp.clip(column, 0, size[0] - 1), jnp.clip(line, 0, size[1] - 1)
        if border == "zero":
            weight = weight * ((column == inside_x) & (line == inside_y))
        return inside_y * size[0] + inside_x, weight

    return [
        tap(0, 0, (1 - fx) * (1 - fy)),
        tap(1, 0, fx * (1 - fy)),
        tap(0, 1, (1 - fx) * fy),
        tap(1, 1, fx * fy),
    ]


def paste_mask(mask: Array, roi: ROI, frame: Frame) -> jax.Array:
    """Bring a mask from the crop back to the whole image, bilinearly, 0 outside of the ROI.

    Args:
      mask: (M, M) float32, crop frame.
      roi: scalar.
      frame: the image that the ROI lies in.

    Returns:
      (P,) float32 in the order of ``frame.pixels``; entries after the first width * height are
      padding.
    """
    mask, side = jnp.asarray(mask), mask.shape[0]
    index = jnp.arange(frame.pixels.shape[0])
    xy = jnp.stack([index % frame.size[0], index // frame.size[0]], -1).astype(jnp.float32)
    cos, sin = jnp.cos(roi.angle), jnp.sin(roi.angle)
    turned = (xy - roi.center) @ jnp.array([[cos, -sin], [sin, cos]])  # by -angle
    points = jnp.clip((turned / roi.side + 0.5) * side, -2, side + 1)
    low = jnp.floor(points)
    fx, fy = (points - low)[:, 0], (points - low)[:, 1]
    low = low.astype(jnp.int32)

    def tap(dx: int, dy: int) -> jax.Array:
        cell = low + jnp.array([dx, dy])
        inside = jnp.clip(cell, 0, side - 1)
        return mask[inside[:, 1], inside[:, 0]] * (cell == inside).all(-1)

    top = tap(0, 0) * (1 - fx) + tap(1, 0) * fx
    return top * (1 - fy) + (tap(0, 1) * (1 - fx) + tap(1, 1) * fx) * fy
