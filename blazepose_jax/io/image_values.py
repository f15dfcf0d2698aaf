"""Ranges of 16-bit, 32-bit and float pictures.

The range is the one that the file declares, never the one that its values happen to have: a dark
frame stays dark.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from blazepose_jax.errors import BlazePoseError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

# TIFF 6.0's tags of the range of values. MaxSampleValue, 281, is none: it may be what the picture
# happens to hold.
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT, SMIN_SAMPLE, SMAX_SAMPLE = 258, 262, 339, 340, 341
WHITE_IS_ZERO = 0  # a value of PHOTOMETRIC
SIGNED = 2  # a value of SAMPLE_FORMAT


def to_bytes(values: np.ndarray, image: "PILImage", path: Path) -> np.ndarray:
    """Scale float or whole numbers to 8 bit by the range that their file declares.

    Args:
      values: (H, W), of any type.
      image: the opened picture that they come from.
      path: its file, for errors.

    Returns:
      (H, W) uint8.

    Raises:
      BlazePoseError: no range is declared, or the values lie outside of it.
    """
    low, high = _declared_range(image)
    if high is None:
        raise BlazePoseError(
            f"{path} holds 32-bit whole numbers of no declared range: convert it to 8 or 16 bit"
        )
    if values.dtype == np.int32 and high > np.iinfo(np.int32).max:
        values = values.view(np.uint32)
    values = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    share = (values - low) / (high - low)
    if share.min(initial=0) < -0.5 or share.max(initial=0) > 1.5:
        raise BlazePoseError(
            f"{path} has values from {values.min():g} to {values.max():g}: they must lie within "
            f"{low:g} to {high:g}; scale it, or set TIFF's SMinSampleValue and SMaxSampleValue"
        )
    if image.mode == "F":
        grey = 255 * share.clip(0, 1) + 0.5
    else:
        # Of 16 bit the upper eight.
        grey = 256 * (values - low) / (high - low + 1)
    grey = grey.clip(0, 255).astype(np.uint8)
    return 255 - grey if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO else grey


def _declared_range(image: "PILImage") -> tuple[float, float | None]:
    """The lowest and the highest value; None for the highest where none is declared."""
    tags = getattr(image, "tag_v2", {})

    def tag(number: int) -> float | None:
        value = tags.get(number)
        if isinstance(value, tuple):
            value = value[0] if value else None
        return float(value) if value is not None and math.isfinite(value) else None

    low, high = tag(SMIN_SAMPLE) or 0.0, tag(SMAX_SAMPLE)
    if high is not None and high > low:
        return low, high
    if image.mode == "F":
        return 0.0, 1.0
    if image.format == "TIFF":
        bits = int(tag(BITS_PER_SAMPLE) or 16) - (tag(SAMPLE_FORMAT) == SIGNED)
        return 0.0, (2.0**bits - 1 if bits <= 16 else None)
    # Pillow scales 12-bit JPEG 2000 and PGM to 16 bit.
    return 0.0, 65535.0
