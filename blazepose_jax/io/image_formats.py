"""Image file formats: which ones are read, and opening a file by its content."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.frames import LARGEST_CAPACITY

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

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
# Formats whose frames follow each other in time; a TIFF's pages need not.
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
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


class TooLargeError(BlazePoseError):
    """A picture of more pixels than are supported."""


def is_picture(path: Path) -> bool:
    """Whether a file holds a picture or an animation, by its content."""
    if _is_iso_picture(path):
        return True
    try:
        with opened(path):
            return True
    except TooLargeError:
        return True
    except BlazePoseError:
        return False


@contextlib.contextmanager
def opened(path: Path) -> Iterator["PILImage"]:
    """Open a picture by its content; its pixels are not decoded yet.

    Raises:
      BlazePoseError: not a readable picture.
    """
    from PIL import Image

    Image.init()  # all formats, as "formats" below must know them
    heif = _register_heif()
    _silence()
    try:
        image = Image.open(path, formats=[f for f in FORMATS if f in Image.OPEN])
    except FileNotFoundError as error:
        raise BlazePoseError(f"{path} does not exist: give a picture") from error
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"{path} is too large ({error}): scale it down") from error
    except Exception as error:
        # Decoders raise what they like: struct.error, SyntaxError, zlib.error, ...
        if not heif and _is_iso_picture(path):
            raise BlazePoseError(
                f"{path} is a HEIC picture: pip install 'blazepose_jax[video]', or convert it to "
                "JPEG"
            ) from error
        raise unreadable(path, error) from error
    with image:
        width, height = image.size
        if width * height > LARGEST_CAPACITY:
            raise TooLargeError(
                f"{path} has {width}x{height} pixels: at most {LARGEST_CAPACITY} are supported;"
                " scale it down"
            )
        yield image


def _silence() -> None:
    """Ignore Pillow's warnings: of sizes, which are bounded here, and of unusual metadata.

    By their module: what ``catch_warnings`` saves is the whole process's, and pictures are read by
    several threads.
    """
    warnings.filterwarnings("ignore", module=r"(PIL|pi_heif)(\.|$)")


def unreadable(path: Path, error: BaseException) -> BlazePoseError:
    """The error that a picture cannot be read, with the decoder's reason."""
    reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
    return BlazePoseError(f"{path} is no readable image ({reason}): convert it to JPEG or PNG")


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
