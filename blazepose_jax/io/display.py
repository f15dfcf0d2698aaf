"""Decoded frames as a player shows them: cropped, of square pixels, turned and mirrored."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import numpy as np

from blazepose_jax.io.cropping import NOTHING, Cropping

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.sidedata.sidedata import SideData

MAX_ASPECT = 10.0  # of a pixel; more is damage
FIXED_POINT = 65536  # of a display matrix: 16.16, libavutil/display.h


def as_shown(frame: "VideoFrame", stream: "VideoStream", cropping: Cropping) -> np.ndarray:
    """Convert a decoded frame to the image that a player shows.

    Args:
      frame: its display matrix says how to turn and mirror it.
      stream: has the aspect ratio of a pixel.
      cropping: stored px that are not shown.

    Returns:
      (H, W, 3) uint8 RGB.
    """
    stored = (frame.width, frame.height)
    aspect = float(stream.sample_aspect_ratio or 1)
    if 1 / MAX_ASPECT < aspect < MAX_ASPECT and abs(aspect - 1) > 0.001:
        wide = round(frame.width * aspect) if aspect > 1 else frame.width
        high = frame.height if aspect > 1 else round(frame.height / aspect)
        frame = frame.reformat(max(wide, 1), max(high, 1), format="rgb24")
    image = frame.to_ndarray(format="rgb24")
    if cropping != NOTHING:
        across, down = image.shape[1] / stored[0], image.shape[0] / stored[1]
        left, top, right, bottom = cropping
        rows = slice(
            max(round(top * down), 0), max(image.shape[0] - max(round(bottom * down), 0), 0)
        )
        columns = slice(
            max(round(left * across), 0), max(image.shape[1] - max(round(right * across), 0), 0)
        )
        image = image[rows, columns] if image[rows, columns].size else image
    matrix = display_matrix(frame)
    return np.ascontiguousarray(image if matrix is None else turned(image, matrix))


def display_matrix(frame: "VideoFrame") -> np.ndarray | None:
    """Read how a frame is turned and mirrored.

    Returns:
      (2, 2), from the image's axes (x right, y down) to those of the screen; None where the frame
      has no matrix.
    """
    try:
        # PyAV's stubs declare a dictionary.
        side_data = cast("Iterable[SideData]", frame.side_data)
        found = [data for data in side_data if data.type.name == "DISPLAYMATRIX"]
    except ValueError:  # PyAV does not know every kind of side data, such as EXIF's
        turn = np.radians(frame.rotation)
        return np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    if not found:
        return None
    a, b, _, c, d, *_ = np.frombuffer(bytes(found[0]), np.int32) / FIXED_POINT
    return np.array([[a, c], [b, d]])


def turned(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn and mirror an image by the nearest of the eight ways that keep its pixels.

    Args:
      image: (H, W, ...).
      matrix: (2, 2), see ``display_matrix`` and libavutil/display.h.

    Returns:
      (H, W, ...) or (W, H, ...), a view.
    """
    (a, c), (b, d) = matrix
    if abs(a) + abs(d) < abs(b) + abs(c):
        image, a, d = image.swapaxes(0, 1), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
