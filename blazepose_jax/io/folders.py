"""Folders of pictures."""

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.image_formats import SUFFIXES, is_picture
from blazepose_jax.io.images import count_frames, read_image

# What systems leave in folders, besides names that begin with a dot.
IGNORED = ("thumbs.db", "desktop.ini")
# Pictures that are not read; named where they lie in a folder, even if they are text.
OTHER_PICTURES = (
    ".svg",
    ".eps",
    ".ps",
    ".pdf",
    ".jxl",
    ".jp2",
    ".psd",
    ".raw",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".dng",
    ".exr",
    ".hdr",
    ".heif",
)
MAX_LISTED = 10  # names in a warning


def list_pictures(folder: Path) -> tuple[Path, ...]:
    """List a folder's pictures in natural order: 2 before 10.

    Files that are no pictures give a warning, but for notes, labels and results.

    Raises:
      BlazePoseError: no picture is there.
    """
    files = sorted(
        (
            path
            for path in folder.iterdir()
            if not path.is_dir()
            and not path.name.startswith(".")
            and path.name.lower() not in IGNORED
        ),
        key=natural_order,
    )
    pictures = tuple(
        path
        for path in files
        if path.is_file() and (path.suffix.lower() in SUFFIXES or is_picture(path))
    )
    if not pictures:
        raise BlazePoseError(
            f"the folder {str(folder)!r} holds no images: they are known by their content, such as "
            "JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF"
        )
    chosen = set(pictures)
    if other := [path.name for path in files if path not in chosen and not _is_text(path)]:
        warnings.warn(
            f"{folder.name}: {len(other)} files are no pictures and are left out: {_listed(other)}"
            + (", ..." if len(other) > MAX_LISTED else ""),
            stacklevel=2,
        )
    return pictures


def read_pictures(folder: Path, files: Sequence[Path]) -> Iterator[tuple[int, np.ndarray]]:
    """Read a folder's pictures one after another; what cannot be read gives a warning.

    Args:
      folder: for errors.
      files: of ``list_pictures``.

    Yields:
      The row in ``files``, and (H, W, 3) uint8 RGB upright.

    Raises:
      BlazePoseError: none of them can be read.
    """
    several, read = [], 0
    for i, file in enumerate(files):
        try:
            image = read_image(file)
            several += [file.name] if count_frames(file) > 1 else []
        except BlazePoseError as error:
            warnings.warn(f"skipped: {error}", stacklevel=3)
            continue
        read += 1
        yield i, image
    if not read:
        raise BlazePoseError(
            f"none of the {len(files)} pictures in {str(folder)!r} could be read: convert them to"
            " JPEG or PNG"
        )
    if several:
        warnings.warn(
            f"of {len(several)} files only the first frame was read"
            f" ({_listed(several)}): track each of them alone for all",
            stacklevel=3,
        )


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Sort key of file names: numbers by value, so that frame2 comes before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [
        (1, int(part), part) if i % 2 else (0, 0, part.casefold()) for i, part in enumerate(parts)
    ]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:MAX_LISTED])


def _is_text(path: Path) -> bool:
    """Notes, labels and results, which nobody takes for pictures."""
    if path.suffix.lower() in SUFFIXES + OTHER_PICTURES or not path.is_file():
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        return b"\0" not in file.read(1024)
    return False
