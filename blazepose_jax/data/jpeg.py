"""JPEG squares of records."""

import io

import numpy as np

from blazepose_jax.errors import BlazePoseError

QUALITY = 92


def encode_jpeg(square: np.ndarray) -> bytes:
    """(R, R, 3) uint8 to a JPEG file's bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(square).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def decode_jpeg(data: bytes) -> np.ndarray:
    """A JPEG file's bytes to (R, R, 3) uint8.

    Raises:
      BlazePoseError: damaged, or no such picture.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            if image.mode != "RGB" or image.width != image.height:
                raise ValueError(f"{image.mode} of {image.width}x{image.height}")
            return np.asarray(image)
    except Exception as error:  # whatever a damaged picture makes the decoder raise
        raise BlazePoseError(
            f"a record's picture is damaged ({error}): prepare the records again"
        ) from error
