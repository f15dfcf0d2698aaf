"""Frames: images as flat buffers of few capacities, from arrays of any usual kind."""

import math
import os

import numpy as np
from jax.core import Tracer

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.structs import Array, Frame

SMALLEST_CAPACITY = 2**16  # pixels
ALIGNMENT = 64  # bytes
LARGEST_CAPACITY = 2**29  # pixels; beyond it an int32 could not index the bytes


def as_rgb(image: Array) -> np.ndarray:
    """Turn an image into 8-bit RGB.

    Args:
      image: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); uint8, or uint16 of full range. Alpha is
        dropped. Also an image of PIL's, as its pixels are stored: 8 bits, or ``I;16``.

    Returns:
      (H, W, 3) uint8.

    Raises:
      BlazePoseError: another shape or type, no pixels or too many, a file's name, or a value that
        jax.jit traces.
    """
    if isinstance(image, Tracer):
        raise BlazePoseError(
            "an image is traced by jax.jit, and a Frame is made on the host: call to_frame outside"
            " and pass the Frame in as an argument"
        )
    if isinstance(image, str | os.PathLike):
        raise BlazePoseError(f"an image is the name {str(image)!r}: read it first, by read_image")
    mode = getattr(image, "mode", "RGB") if hasattr(image, "getbands") else "RGB"
    # Others of PIL's modes give an array that is no picture.
    if mode not in ("RGB", "RGBA", "L") and not mode.startswith("I;16"):
        # What PIL makes RGB of whole numbers and floats is white and black.
        remedy = "read" if mode in ("I", "F") else "convert it to RGB, or read"
        raise BlazePoseError(
            f"an image of PIL's has the mode {mode!r}: {remedy} its file by read_image, which also"
            " turns it as EXIF says"
        )
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise BlazePoseError(
            f"an image has the shape {image.shape}: it must be (H, W), (H, W, 1), (H, W, 3) or "
            "(H, W, 4) with H and W at least 1"
        )
    height, width, _ = image.shape
    if height * width > LARGEST_CAPACITY:
        raise BlazePoseError(
            f"an image has {width}x{height} pixels: at most {LARGEST_CAPACITY} are supported; "
            "scale it down"
        )
    if image.dtype.newbyteorder("=") == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise BlazePoseError(
            f"an image has the type {image.dtype}: convert it to uint8 (0 to 255) or uint16"
        )
    if image.shape[2] == 1:
        return np.repeat(image, 3, 2)
    return np.ascontiguousarray(image[:, :, :3])


def capacity(pixels: int) -> int:
    """Round a number of pixels up to the next of 2^k and 1.5 * 2^k, at least 2^16.

    Code is compiled once per capacity, whatever the width and height: at most 19 times for anything
    up to 8K video.
    """
    size = SMALLEST_CAPACITY
    while size < pixels:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def pixel_buffer(*shape: int) -> np.ndarray:
    """Black pixels, (..., 3) uint8, which begin where XLA's CPU takes an array without a copy.

    Of a frame of 1080p the copy takes a third of a millisecond, as long as the crop.
    """
    size = 3 * math.prod(shape)
    room = np.zeros(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].reshape(*shape, 3)


def as_frame(image: Frame | Array) -> Frame:
    """A Frame as it is, or one made of an image.

    Args:
      image: a Frame, also inside of jit; or see ``as_rgb``.

    Returns:
      Frame.

    Raises:
      BlazePoseError: see ``to_frame``; or a Frame of several images.
    """
    if not isinstance(image, Frame):
        return to_frame(image)
    pixels, size = np.shape(image.pixels), np.shape(image.size)
    if len(pixels) != 2 or pixels[1] != 3 or size != (2,):
        raise BlazePoseError(
            f"a frame has pixels of the shape {pixels} and a size of the shape {size}: they must be"
            " (P, 3) and (2,), as to_frame makes them; map several with jax.vmap or jax.lax.scan"
        )
    return image


def to_frame(image: Array) -> Frame:
    """Put an image into a flat, padded buffer; outside of jit.

    Args:
      image: see ``as_rgb``.

    Returns:
      Frame with numpy leaves.

    Raises:
      BlazePoseError: see ``as_rgb``.
    """
    rgb = as_rgb(image)
    height, width, _ = rgb.shape
    pixels = pixel_buffer(capacity(height * width))
    pixels[: height * width] = rgb.reshape(-1, 3)
    return Frame(pixels, np.array([width, height], np.int32))
