"""Sources of pictures.

Videos, images, animations, folders, cameras, URLs and pipes as one stream of Pictures.
"""

import contextlib
import dataclasses
import os
import platform
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io import images, video

CAMERAS = {
    "Linux": ("v4l2", "/dev/video{}"),
    "Darwin": ("avfoundation", "{}"),
    "Windows": ("dshow", "video={}"),
}
URL_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")
FOLDER_FPS = 30.0  # of a folder's pictures that follow each other
# what systems leave in folders, besides names that begin with a dot
IGNORED = (
    "thumbs.db",
    "desktop.ini",
)
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
MAX_LISTED = 10


@dataclasses.dataclass(frozen=True)
class Picture:
    """One frame of a source."""

    index: int  # 0-based, in the source
    time: float  # seconds since the source's first frame; grows
    image: np.ndarray  # (H, W, 3) uint8 RGB, as it is shown: upright, square pixels
    file: str | None = None  # of pictures in a folder


@dataclasses.dataclass(frozen=True)
class Media:
    """A source that has been opened.

    Attributes:
      name: of the source.
      fps: frames per second; 0 where time means nothing.
      count: frames to expect, or None.
      is_sequence: whether the pictures follow each other in time.
      pictures: opens a stream from the beginning.
      files: what is read.
    """

    name: str
    fps: float
    count: int | None
    is_sequence: bool
    pictures: Callable[[], Iterator[Picture]]
    files: tuple[Path, ...] = ()

    def __iter__(self) -> Iterator[Picture]:
        return self.pictures()


def read_media(
    source: str | Path, *, start: float = 0.0, end: float | None = None, sequence: bool = False
) -> Media:
    """Open a source; what it is is told by its content, not by its suffix.

    Args:
      source: a video file, an image or animation, a folder of images (in natural order: 2 before
        10), ``camera:0``, a URL such as ``rtsp://...``, or ``-`` for standard input.
      start: seconds since the first frame; earlier ones are skipped.
      end: seconds; frames from then on are left out. None for all.
      sequence: a folder's pictures, or a TIFF's pages, follow each other at 30 per second; else
        each stands alone.

    Returns:
      Media: iterate over it for Pictures; a video is streamed, never held.

    Raises:
      BlazePoseError: missing, empty or unreadable, or a range of something that has no time.
    """
    if not (start >= 0 and (end is None or end > start)):
        raise BlazePoseError(
            f"the range {start} to {end} s is empty: start must be at least 0 and below end"
        )
    media = _open(str(source), sequence)
    if start == 0 and end is None:
        return media
    if not media.is_sequence:
        raise BlazePoseError(
            f"{media.name!r} has no time, so no range {start} to {end} s: leave out --start and"
            " --end" + (", or add --sequence" if Path(source).is_dir() else "")
        )
    return dataclasses.replace(media, count=None, pictures=lambda: _between(media, start, end))


def _open(name: str, sequence: bool) -> Media:
    if name.startswith("camera:"):
        return _camera(name)
    if name == "-":
        return _stream("pipe:0", "standard input")
    scheme, separator, _ = name.partition("://")
    if separator and scheme.lower() == "file":
        name = url2pathname(urlsplit(name).path)
    elif separator:
        if scheme.lower() not in URL_SCHEMES:
            raise BlazePoseError(
                f"URLs of the kind {scheme}:// are not supported: give {', '.join(URL_SCHEMES)}, or"
                " a file"
            )
        return _stream(name, name)
    path = Path(name)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise BlazePoseError(
            f"input {name!r} does not exist: give a video, an image, a folder, a URL or camera:0"
        ) from error
    if stat.S_ISDIR(mode):
        return _folder(path, sequence)
    if not stat.S_ISREG(mode):
        return _stream(name, name)
    if path.stat().st_size == 0:
        raise BlazePoseError(f"input {name!r} is empty (0 bytes): give a video or an image")
    if images.is_picture(path):
        return _image(path, sequence)
    try:
        # A relative name with a colon would be a protocol of FFmpeg's.
        film = video.open_film(os.path.abspath(path), name=name)
    except BlazePoseError:
        if path.suffix.lower() in images.SUFFIXES:
            images.picture_size(path)  # raises what is wrong with the picture
        raise
    return Media(path.name, film.fps, film.count, True, lambda: _numbered(film.frames()), (path,))


def _numbered(frames: Iterator[tuple[float, np.ndarray]]) -> Iterator[Picture]:
    for i, (time, image) in enumerate(frames):
        yield Picture(i, time, image)


def _between(media: Media, start: float, end: float | None) -> Iterator[Picture]:
    found, last, whole = False, 0.0, True
    for picture in media.pictures():
        if end is not None and picture.time >= end:
            whole = False
            break
        last = picture.time
        if picture.time >= start:
            found = True
            yield picture
    if not found:
        raise BlazePoseError(
            f"{media.name!r} has no frame between {start} and {end} s: it "
            + (f"ends at {last + 1 / media.fps:.2f} s" if whole else f"has one at {last:.2f} s")
        )


def _image(path: Path, sequence: bool) -> Media:
    count = images.count_frames(path)
    if count == 1:
        return Media(
            path.name,
            0.0,
            1,
            False,
            lambda: iter([Picture(0, 0.0, images.read_image(path), path.name)]),
            (path,),
        )
    animated = images.is_animated(path)
    scale = 1.0 if animated or not sequence else 1 / FOLDER_FPS

    def pictures() -> Iterator[Picture]:
        for i, (time, image) in enumerate(images.read_frames(path)):
            yield Picture(i, time * scale, image)

    fps = 1 / images.DEFAULT_FRAME if animated else FOLDER_FPS if sequence else 0.0
    return Media(path.name, fps, count, animated or sequence, pictures, (path,))


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Sort key of file names: numbers by value, so that frame2 comes before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [
        (1, int(part), part) if i % 2 else (0, 0, part.casefold()) for i, part in enumerate(parts)
    ]


def _folder(path: Path, sequence: bool) -> Media:
    found = sorted(
        (
            p
            for p in path.iterdir()
            if not p.is_dir() and not p.name.startswith(".") and p.name.lower() not in IGNORED
        ),
        key=natural_order,
    )
    files = tuple(
        p
        for p in found
        if p.is_file() and (p.suffix.lower() in images.SUFFIXES or images.is_picture(p))
    )
    if not files:
        raise BlazePoseError(
            f"the folder {str(path)!r} holds no images: they are known by their content, such as "
            "JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF"
        )
    chosen = set(files)
    if other := [p.name for p in found if p not in chosen and not _is_text(p)]:
        listed = ", ".join(other[:MAX_LISTED]) + (", ..." if len(other) > MAX_LISTED else "")
        warnings.warn(
            f"{path.name}: {len(other)} files are no pictures and are left out: {listed}",
            stacklevel=2,
        )

    def pictures() -> Iterator[Picture]:
        several, read = [], 0
        for i, file in enumerate(files):
            try:
                image = images.read_image(file)
                several += [file.name] if images.count_frames(file) > 1 else []
            except BlazePoseError as error:
                warnings.warn(f"skipped: {error}", stacklevel=2)
                continue
            read += 1
            yield Picture(i, i / FOLDER_FPS if sequence else float(i), image, file.name)
        if not read:
            raise BlazePoseError(
                f"none of the {len(files)} pictures in {str(path)!r} could be read: convert them to"
                " JPEG or PNG"
            )
        if several:
            warnings.warn(
                f"of {len(several)} files only the first frame was read"
                f" ({', '.join(several[:MAX_LISTED])}): track each of them alone for all",
                stacklevel=2,
            )

    return Media(path.name, FOLDER_FPS if sequence else 0.0, len(files), sequence, pictures, files)


def _is_text(path: Path) -> bool:
    """Notes, labels and results, which nobody takes for pictures."""
    if path.suffix.lower() in images.SUFFIXES + OTHER_PICTURES or not path.is_file():
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        return b"\0" not in file.read(1024)
    return False


def _stream(address: str, name: str) -> Media:
    """What can be read once, from its beginning: opened now, so that errors are told now."""
    film = video.open_film(address, name=name, once=True)
    return Media(name, film.fps, None, True, lambda: _numbered(film.frames()))


def _camera(name: str) -> Media:
    number = name.removeprefix("camera:")
    form, pattern = CAMERAS.get(platform.system(), CAMERAS["Linux"])
    if form == "dshow" and number.isdecimal():
        raise BlazePoseError(
            f"camera {name!r} is a number, and Windows knows cameras by name: write camera:NAME,"
            " like camera:Integrated Camera"
        )
    if form != "dshow" and not (number.isdecimal() and number.isascii()):
        raise BlazePoseError(f"camera {name!r} is no number: write camera:0")
    device = pattern.format(number)
    if form == "v4l2" and not os.path.exists(device):
        raise BlazePoseError(
            f"camera {name!r} does not exist ({device} is missing): plug it in or give a file"
        )

    def pictures() -> Iterator[Picture]:
        film = video.open_film(device, name=name, once=True, format=form)
        with contextlib.closing(film.frames()) as frames:
            yield from _numbered(frames)

    return Media(name, 30.0, None, True, pictures)
