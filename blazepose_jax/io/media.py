"""Sources of pictures: videos, images, animations, folders, cameras, URLs and pipes.

Each is one stream of ``Picture``.
"""

import contextlib
import dataclasses
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.cameras import PREFIX, find_camera
from blazepose_jax.io.folders import list_pictures, read_pictures
from blazepose_jax.io.image_formats import SUFFIXES, is_picture
from blazepose_jax.io.images import (
    DEFAULT_DURATION,
    count_frames,
    is_animated,
    picture_size,
    read_frames,
    read_image,
)
from blazepose_jax.io.video import DEFAULT_FPS, open_video

URL_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")
SEQUENCE_FPS = 30.0  # of a folder's pictures, or a TIFF's pages, that follow each other


@dataclasses.dataclass(frozen=True)
class Picture:
    """One frame of a source."""

    index: int  # 0-based, in the source
    time: float  # seconds since the source's first frame; grows
    image: np.ndarray  # (H, W, 3) uint8 RGB, as it is shown: upright, square pixels
    file: str | None = None  # of pictures


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
    """Open a source of any kind; the kind is detected by its content, not by its suffix.

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


def _open(name: str, sequence: bool) -> Media:
    if name.startswith(PREFIX):
        return _camera(name)
    if name == "-":
        return _stream("pipe:0", "standard input")
    local = local_path(name)
    if local is not None:
        return _path(local, sequence)
    scheme, _, _ = name.partition("://")
    if scheme.lower() not in URL_SCHEMES:
        raise BlazePoseError(
            f"URLs of the kind {scheme}:// are not supported: give {', '.join(URL_SCHEMES)}, or"
            " a file"
        )
    return _stream(name, public_name(name))


def local_path(name: str) -> str | None:
    """The file or folder that an input names; None for a camera, a URL and standard input.

    Raises:
      BlazePoseError: a file on another machine, which two slashes alone mean.
    """
    scheme, separator, rest = name.partition("://")
    if separator and scheme.lower() == "file":
        machine, slash, _ = rest.partition("/")
        if machine.lower() not in ("", "localhost") or not slash:
            raise BlazePoseError(
                f"{name!r} names a machine where a path is meant: write file:///path, with three"
                " slashes"
            )
        return url2pathname(urlsplit(name).path)
    return None if separator or name == "-" or name.startswith(PREFIX) else name


def public_name(name: str) -> str:
    """A URL without user, password and query, which may be secrets; any other name as it is."""
    if "://" not in name:
        return name
    try:
        parts = urlsplit(name)
    except ValueError:  # such as a bracket of no address
        return name.partition("://")[0] + "://"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def is_sequence(name: str, *, sequence: bool = False) -> bool:
    """Whether an input's pictures follow each other in time, without opening a video.

    Args: as for ``read_media``.

    Raises:
      BlazePoseError: a folder without pictures, a damaged picture, or a bad name.
    """
    local = local_path(name)
    if local is None:
        return True
    if not os.path.exists(local):  # which is said when it is read
        return Path(local).suffix.lower() not in SUFFIXES
    if not os.path.isdir(local) and not (os.path.isfile(local) and is_picture(Path(local))):
        return True
    return read_media(local, sequence=sequence).is_sequence


def _path(name: str, sequence: bool) -> Media:
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
    return _image(path, sequence) if is_picture(path) else _video(path, name)


def _video(path: Path, name: str) -> Media:
    try:
        # A relative name with a colon would be a protocol of FFmpeg's.
        video = open_video(os.path.abspath(path), name=name)
    except BlazePoseError:
        if path.suffix.lower() in SUFFIXES:
            picture_size(path)  # raises what is wrong with the picture
        raise
    return Media(
        path.name, video.fps, video.count, True, lambda: _numbered(video.frames()), (path,)
    )


def _image(path: Path, sequence: bool) -> Media:
    count = count_frames(path)
    if count == 1:
        return Media(path.name, 0.0, 1, False, lambda: _single(path), (path,))
    animated = is_animated(path)
    scale = 1.0 if animated or not sequence else 1 / SEQUENCE_FPS

    def pictures() -> Iterator[Picture]:
        for i, (time, image) in enumerate(read_frames(path)):
            yield Picture(i, time * scale, image)

    fps = 1 / DEFAULT_DURATION if animated else SEQUENCE_FPS if sequence else 0.0
    return Media(path.name, fps, count, animated or sequence, pictures, (path,))


def _single(path: Path) -> Iterator[Picture]:
    yield Picture(0, 0.0, read_image(path), path.name)


def _folder(path: Path, sequence: bool) -> Media:
    files = list_pictures(path)

    def pictures() -> Iterator[Picture]:
        for i, image in read_pictures(path, files):
            yield Picture(i, i / SEQUENCE_FPS if sequence else float(i), image, files[i].name)

    return Media(
        path.name, SEQUENCE_FPS if sequence else 0.0, len(files), sequence, pictures, files
    )


def _stream(address: str, name: str) -> Media:
    """What can be read once, from its beginning: opened now, so that errors appear now."""
    video = open_video(address, name=name, once=True)
    return Media(name, video.fps, None, True, lambda: _numbered(video.frames()))


def _camera(name: str) -> Media:
    format, device = find_camera(name)

    def pictures() -> Iterator[Picture]:
        video = open_video(device, name=name, once=True, format=format)
        with contextlib.closing(video.frames()) as frames:
            yield from _numbered(frames)

    return Media(name, DEFAULT_FPS, None, True, pictures)


def _numbered(frames: Iterator[tuple[float, np.ndarray]]) -> Iterator[Picture]:
    for i, (time, image) in enumerate(frames):
        yield Picture(i, time, image)
