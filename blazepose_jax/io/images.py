"""Picture files: what a file holds by its content, upright 8-bit RGB whatever it stores, frames
of animations.
"""

import contextlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.frames import LARGEST_CAPACITY, as_rgb

# What Pillow may open, and nothing else: EPS, say, would start another program.
FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "BMP",
    "DIB",
    "WEBP",
    "TIFF",
    "PPM",
    "AVIF",
    "HEIF",
    "JPEG2000",
    "TGA",
    "PCX",
    "SGI",
    "QOI",
    "DDS",
    "ICO",
)
# their frames follow each other in time; a TIFF's pages need not
ANIMATED = (
    "GIF",
    "PNG",
    "WEBP",
    "AVIF",
)
# Brands of ISO files that hold pictures, ISO/IEC 23008-12; FFmpeg would give the first tile of a
# grid.
PICTURE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"avif", b"avis")
# Suffixes of pictures: only to name outputs by, and to tell people what a folder is searched for.
SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jfif",
    ".png",
    ".bmp",
    ".webp",
    ".tif",
    ".tiff",
    ".gif",
    ".ppm",
    ".pgm",
    ".avif",
    ".heic",
)
LONGEST_FRAME = 60.0  # seconds; an animation's frame is not shown longer
DEFAULT_FRAME = 0.1  # seconds, of frames that say 0, as browsers show them
ORIENTATION = 0x0112  # EXIF and TIFF
# TIFF tags of the range of values. MaxSampleValue, 281, is none: it may be what the picture happens
# to hold.
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT, SMIN_SAMPLE, SMAX_SAMPLE = 258, 262, 339, 340, 341
WHITE_IS_ZERO = 0
SIGNED = 2  # a SAMPLE_FORMAT
_TRANSPOSED = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


class TooLargeError(BlazePoseError):
    """A picture of more pixels than are supported."""


def is_picture(path: Path) -> bool:
    """Whether a file holds a picture or an animation, by its content."""
    if _is_iso_picture(path):
        return True
    try:
        with _opened(path):
            return True
    except TooLargeError:
        return True
    except BlazePoseError:
        return False


def picture_size(path: str | Path) -> tuple[int, int]:
    """Width and height of a picture as it is shown; only its header is read.

    Raises:
      BlazePoseError: not a readable picture.
    """
    with _opened(Path(path)) as image:
        width, height = image.size
        return (height, width) if _turn_to_do(image) >= 5 else (width, height)


def is_turned(path: str | Path) -> bool:
    """Whether a picture is stored on its side, with width and height the other way round than it
    is shown.

    Raises:
      BlazePoseError: not a readable picture.
    """
    with _opened(Path(path)) as image:
        return _orientation(image) >= 5


def count_frames(path: Path) -> int:
    """How many frames an animation, or pages a TIFF has; 1 for any other picture.

    Raises:
      BlazePoseError: not a readable picture.
    """
    with _opened(path) as image:
        if image.format not in (*ANIMATED, "TIFF"):
            return 1  # the further pictures of an .mpo are previews and depth
        try:
            with _quiet():
                return max(1, int(getattr(image, "n_frames", 1)) - _hidden(image))
        except Exception as error:  # whatever a damaged file makes the decoder raise
            raise _unreadable(path, error) from error


def is_animated(path: Path) -> bool:
    """Whether the frames of a file follow each other in time.

    Raises:
      BlazePoseError: not a readable picture.
    """
    with _opened(path) as image:
        return image.format in ANIMATED


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture upright: (H, W, 3) uint8 RGB; grey, alpha, float and 16 bit are converted.

    Of an animation the first frame. Float values lie within 0 to 1, whole ones within the bits that
    the file declares, unless its tags say otherwise.

    Raises:
      BlazePoseError: not a readable picture, or values outside of the range.
    """
    path = Path(path)
    with _opened(path) as image:
        return _pixels(image, path)


def read_frames(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """The frames of an animation, or the pages of a TIFF.

    Yields:
      Seconds from the beginning (pages: their number), and (H, W, 3) uint8 RGB upright.

    Raises:
      BlazePoseError: not a readable picture. What follows a damaged frame is left out, with a
        warning.
    """
    count, time = count_frames(path), 0.0
    with _opened(path) as image:
        hidden = _hidden(image)
        for i in range(count):
            try:
                with _quiet():
                    image.seek(i + hidden)
                shown = _pixels(image, path)
                duration = float(image.info.get("duration") or 0) / 1000
            except Exception as error:  # whatever a damaged file makes the decoder raise
                if i == 0 and isinstance(error, BlazePoseError):
                    raise
                if i == 0:
                    raise _unreadable(path, error) from error
                warnings.warn(
                    f"{path.name} is cut: {i} of {count} frames could be decoded; results cover"
                    " these",
                    stacklevel=2,
                )
                return
            yield time, shown
            time += min(duration, LONGEST_FRAME) if duration > 0 else DEFAULT_FRAME
            if image.format == "TIFF":
                time = float(i + 1)


def _hidden(image: Any) -> int:
    """How many pictures come before the frames: an APNG's for those who cannot show animations."""
    return int(bool(getattr(image, "default_image", False)))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A picture, opened by its content."""
    from PIL import Image

    Image.init()  # all formats, as "formats" below must know them
    heif = _register_heif()
    try:
        with _quiet():
            image = Image.open(path, formats=[f for f in FORMATS if f in Image.OPEN])
    except FileNotFoundError as error:
        raise BlazePoseError(f"{path} does not exist: give a picture") from error
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"{path} is too large ({error}): scale it down") from error
    except (
        Exception
    ) as error:  # decoders raise what they like: struct.error, SyntaxError, zlib.error, ...
        if not heif and _is_iso_picture(path):
            raise BlazePoseError(
                f"{path} is a HEIC picture: pip install 'blazepose_jax[video]', or convert it to "
                "JPEG"
            ) from error
        raise _unreadable(path, error) from error
    with image:
        width, height = image.size
        if width * height > LARGEST_CAPACITY:
            raise TooLargeError(
                f"{path} has {width}x{height} pixels: at most {LARGEST_CAPACITY} are supported;"
                " scale it down"
            )
        yield image


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings: of sizes, which are bounded here, and of unusual metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _register_heif() -> bool:
    try:
        import pi_heif
    except ImportError:
        return False
    pi_heif.register_heif_opener()
    return True


def _is_iso_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError:
        return False
    return head[4:8] == b"ftyp" and head[8:12] in PICTURE_BRANDS


def _unreadable(path: Path, error: BaseException) -> BlazePoseError:
    reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
    return BlazePoseError(f"{path} is no readable image ({reason}): convert it to JPEG or PNG")


def _orientation(image: Any) -> int:
    """EXIF's orientation, 1 to 8; the rest of the metadata may be as broken as it likes."""
    with contextlib.suppress(Exception), _quiet():
        found = int(image.getexif().get(ORIENTATION, 1))
        if found in _TRANSPOSED:
            return found
    return 1


def _turn_to_do(image: Any) -> int:
    """The orientation that Pillow leaves to us; a TIFF's it sees to while loading."""
    return 1 if image.format == "TIFF" else _orientation(image)


def _pixels(image: Any, path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with _quiet():
            upright = _turn_to_do(image)
            if image.mode == "F" or image.mode.startswith("I"):
                image = Image.fromarray(_to_bytes(np.asarray(image), image, path))
            else:
                image = image.convert("RGB")
            if upright != 1:
                image = image.transpose(Image.Transpose[_TRANSPOSED[upright]])
            return as_rgb(np.asarray(image))
    except BlazePoseError:
        raise
    except Exception as error:  # as in _opened
        raise _unreadable(path, error) from error


def _to_bytes(values: np.ndarray, image: Any, path: Path) -> np.ndarray:
    """(H, W) float or whole numbers to uint8 by the range that the file declares, never by what
    it contains.
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
    # Of 16 bit the upper eight.
    grey = (
        255 * share.clip(0, 1) + 0.5
        if image.mode == "F"
        else 256 * (values - low) / (high - low + 1)
    )
    grey = grey.clip(0, 255).astype(np.uint8)
    return 255 - grey if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO else grey


def _declared_range(image: Any) -> tuple[float, float | None]:
    tags = getattr(image, "tag_v2", {})

    def tag(number: int) -> float | None:
        value: Any = tags.get(number)
        value = value[0] if isinstance(value, tuple) and value else value
        return float(value) if value is not None and math.isfinite(value) else None

    low, high = tag(SMIN_SAMPLE) or 0.0, tag(SMAX_SAMPLE)
    if high is not None and high > low:
        return low, high
    if image.mode == "F":
        return 0.0, 1.0
    if image.format == "TIFF":
        bits = int(tag(BITS_PER_SAMPLE) or 16) - (tag(SAMPLE_FORMAT) == SIGNED)
        return 0.0, (2.0**bits - 1 if bits <= 16 else None)
    return 0.0, 65535.0  # Pillow scales 12-bit JPEG 2000 and PGM to 16 bit
