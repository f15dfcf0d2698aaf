"""Picture files: upright 8-bit RGB whatever they store, and the frames of animations."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.frames import as_rgb
from blazepose_jax.io.image_formats import ANIMATED, opened, unreadable
from blazepose_jax.io.image_values import to_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

MAX_DURATION = 60.0  # seconds; an animation's frame is not shown longer
DEFAULT_DURATION = 0.1  # seconds, of frames that say 0, as browsers show them
ORIENTATION = 0x0112  # the tag in EXIF and TIFF 6.0
# Pillow's operation that undoes an orientation; from 5 on width and height change places.
_TRANSPOSED = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def picture_size(path: str | Path) -> tuple[int, int]:
    """Width and height of a picture as it is shown, px; only its header is read.

    Raises:
      BlazePoseError: not a readable picture.
    """
    with opened(Path(path)) as image:
        width, height = image.size
        return (height, width) if _remaining_orientation(image) >= 5 else (width, height)


def is_turned(path: str | Path) -> bool:
    """Whether a picture is stored on its side, its width as height, and shown upright.

    Raises:
      BlazePoseError: not a readable picture.
    """
    with opened(Path(path)) as image:
        return _orientation(image) >= 5


def has_orientation(path: str | Path) -> bool:
    """Whether a picture is shown otherwise than it is stored: turned, mirrored or both.

    Raises:
      BlazePoseError: not a readable picture.
    """
    with opened(Path(path)) as image:
        return _orientation(image) != 1


def count_frames(path: Path) -> int:
    """Number of an animation's frames or a TIFF's pages; 1 for any other picture.

    Raises:
      BlazePoseError: not a readable picture.
    """
    with opened(path) as image:
        if image.format not in (*ANIMATED, "TIFF"):
            return 1  # the further pictures of an .mpo are previews and depth
        try:
            return max(1, int(getattr(image, "n_frames", 1)) - _hidden(image))
        except Exception as error:  # whatever a damaged file makes the decoder raise
            raise unreadable(path, error) from error


def is_animated(path: Path) -> bool:
    """Whether the frames of a file follow each other in time.

    Raises:
      BlazePoseError: not a readable picture.
    """
    with opened(path) as image:
        return image.format in ANIMATED


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture upright, of an animation the first frame.

    Grey, alpha, float and 16 bit are converted. Float values lie within 0 to 1, whole ones within
    the bits that the file declares, unless its tags say otherwise.

    Returns:
      (H, W, 3) uint8 RGB.

    Raises:
      BlazePoseError: not a readable picture, or values outside of the range.
    """
    path = Path(path)
    with opened(path) as image:
        return _pixels(image, path)


def read_frames(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """Read the frames of an animation, or the pages of a TIFF.

    Yields:
      Seconds from the beginning (pages: their number), and (H, W, 3) uint8 RGB upright.

    Raises:
      BlazePoseError: not a readable picture. What follows a damaged frame is left out, with a
        warning.
    """
    count, time = count_frames(path), 0.0
    with opened(path) as image:
        hidden = _hidden(image)
        for i in range(count):
            try:
                image.seek(i + hidden)
                shown = _pixels(image, path)
                duration = float(image.info.get("duration") or 0) / 1000
            except Exception as error:  # whatever a damaged file makes the decoder raise
                if i == 0 and isinstance(error, BlazePoseError):
                    raise
                if i == 0:
                    raise unreadable(path, error) from error
                warnings.warn(
                    f"{path.name} is cut: {i} of {count} frames could be decoded; results cover"
                    " these",
                    stacklevel=2,
                )
                return
            yield time, shown
            time += min(duration, MAX_DURATION) if duration > 0 else DEFAULT_DURATION
            if image.format == "TIFF":
                time = float(i + 1)


def _hidden(image: "PILImage") -> int:
    """Number of pictures before the frames: an APNG's for programs that show no animations."""
    return int(bool(getattr(image, "default_image", False)))


def _orientation(image: "PILImage") -> int:
    """EXIF's orientation, 1 to 8; the rest of the metadata may be broken."""
    with contextlib.suppress(Exception):
        found = int(image.getexif().get(ORIENTATION, 1))
        if found in _TRANSPOSED:
            return found
    return 1


def _remaining_orientation(image: "PILImage") -> int:
    """The orientation that is left to undo here; Pillow undoes a TIFF's while loading."""
    return 1 if image.format == "TIFF" else _orientation(image)


def _pixels(image: "PILImage", path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright, of the frame that is selected."""
    from PIL import Image

    try:
        # Read first: a converted picture has no format.
        orientation = _remaining_orientation(image)
        if image.mode == "F" or image.mode.startswith("I"):
            image = Image.fromarray(to_bytes(np.asarray(image), image, path))
        else:
            image = image.convert("RGB")
        if orientation != 1:
            image = image.transpose(Image.Transpose[_TRANSPOSED[orientation]])
        return as_rgb(np.asarray(image))
    except BlazePoseError:
        raise
    except Exception as error:  # decoders raise what they like
        raise unreadable(path, error) from error
