"""First squares: where tracking begins in place of a detector."""

import math
from collections.abc import Sequence

import jax
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois
from blazepose_jax.inference.requirements import check_squares
from blazepose_jax.structs import ROI, Array

DETECTOR, WHOLE = "detector", "whole"
RULE = "detector, whole, or a box X,Y,W,H in px with W and H above 0"

_whole_image = jax.jit(lambda size: jax.tree.map(lambda a: a[None], rois.whole_image(size)))


class FirstSquares:
    """Squares that do not depend on what is in the picture, (N,) for N slots."""

    def __init__(self, roi: ROI | Sequence[float] | str, count: int):
        """Check what was asked for.

        Args:
          roi: ``whole``, the letterbox of the image; a box of x, y, width, height in px, or such
            numbers as text, for the smallest upright square round it; an ROI, (N,) or for one
            slot (); image frame.
          count: N.

        Raises:
          BlazePoseError: none of these, or one square for several slots.
        """
        whole = isinstance(roi, str) and roi == WHOLE
        self._squares: ROI | None = None if whole else rows_of(roi)  # None for the whole image
        if count > 1 and (self._squares is None or np.shape(self._squares.side) == (1,)):
            raise BlazePoseError(
                f"roi is one first square and max_people is {count}: follow one person, or give"
                f" Tracker an ROI of {count} rows, one for each"
            )
        if self._squares is not None:
            check_squares(self._squares, "roi", count)
            check_finite(self._squares)

    def __call__(self, size: Array) -> ROI:
        """The squares in an image.

        Args:
          size: (2,) width, height in px.

        Returns:
          (N,) ROI.

        Raises:
          BlazePoseError: a square lies outside of the image.
        """
        if self._squares is None:
            return _whole_image(size)
        check_inside(self._squares, size)
        return self._squares


def rows_of(roi: ROI | Sequence[float] | str) -> ROI:
    """An ROI as (N,), () as (1,); or the square round a box as (1,)."""
    square = roi if isinstance(roi, ROI) else square_round(box_of(roi))
    center, side, angle = (
        np.asarray(leaf, np.float32) for leaf in (square.center, square.side, square.angle)
    )
    one = side.ndim == 0
    return ROI(center[None], side[None], angle[None]) if one else ROI(center, side, angle)


def box_of(roi: Sequence[float] | str) -> tuple[float, ...]:
    """Four numbers, x, y, width, height in px, of a list or of a text like ``10,20,300,400``.

    Raises:
      BlazePoseError: something else.
    """
    try:
        words = roi.split(",") if isinstance(roi, str) else list(roi)
        box = tuple(float(word) for word in words)
    except (TypeError, ValueError):
        box = ()
    if len(box) != 4 or not all(map(math.isfinite, box)) or min(box[2:]) <= 0:
        raise BlazePoseError(f"roi is {roi!r}: it must be {RULE}")
    return box


def square_round(box: Sequence[float]) -> ROI:
    """The smallest upright square round a box, about its middle.

    Args:
      box: x, y, width, height, px.

    Returns:
      ROI, scalar.
    """
    x, y, width, height = box
    center = np.array([x + width / 2, y + height / 2], np.float32)
    return ROI(center, np.array(max(width, height), np.float32), np.zeros((), np.float32))


def check_finite(square: ROI) -> None:
    """Refuse squares without a place or a size.

    Raises:
      BlazePoseError: such a one.
    """
    numbers = np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(square)])
    if not np.isfinite(numbers).all() or not (np.asarray(square.side) > 0).all():
        raise BlazePoseError(
            f"roi has the center {np.asarray(square.center).tolist()} and the side"
            f" {np.asarray(square.side).tolist()}: give finite numbers, sides above 0"
        )


def check_inside(square: ROI, size: Array) -> None:
    """Refuse squares that see nothing of the image.

    Raises:
      BlazePoseError: such a one.
    """
    angle, center = np.asarray(square.angle), np.asarray(square.center)
    reach = np.asarray(square.side) / 2 * (np.abs(np.cos(angle)) + np.abs(np.sin(angle)))
    low, high = center - reach[:, None], center + reach[:, None]
    outside = ((high <= 0) | (low >= np.asarray(size))).any(-1)
    if outside.any():
        n = int(np.argmax(outside))
        x, y, right, bottom = (round(float(v)) for v in (*low[n], *high[n]))
        raise BlazePoseError(
            f"the first square, x {x} to {right} and y {y} to {bottom}, lies outside of the image"
            f" of {int(size[0])}x{int(size[1])} px: give roi a box within it"
        )
