"""Videos, images, folders and cameras come in as a stream of pictures; overlay videos leave."""

import contextlib
import dataclasses
import os
import platform
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.frames import as_rgb

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
CAMERAS = {"Linux": ("v4l2", "/dev/video{}"), "Darwin": ("avfoundation", "{}"), "Windows": ("dshow", "video={}")}


@dataclasses.dataclass(frozen=True)
class Picture:
    """One frame of a source."""

    index: int  # 0-based, in the source
    time: float  # seconds, as the source says
    image: np.ndarray  # (H, W, 3) uint8 RGB, upright
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
    """

    name: str
    fps: float
    count: int | None
    is_sequence: bool
    pictures: Callable[[], Iterator[Picture]]

    def __iter__(self) -> Iterator[Picture]:
        return self.pictures()


def read_media(source: str | Path, *, start: float = 0.0, end: float | None = None,
               sequence: bool = False) -> Media:
    """Open a source.

    Args:
      source: a video file, an image, a folder of images (name order), or ``camera:0``.
      start: seconds; earlier frames of a video are skipped.
      end: seconds; frames from then on are left out. None for all.
      sequence: a folder's pictures follow each other at 30 per second; else each stands alone.

    Returns:
      Media: iterate over it for Pictures; a video is streamed, never held.

    Raises:
      BlazePoseError: missing, empty or unreadable.
    """
    name = str(source)
    if name.startswith("camera:"):
        return _camera(name)
    path = Path(source)
    if not path.exists():
        raise BlazePoseError(f"input {name!r} does not exist: give a video, an image, a folder or camera:0")
    if path.is_dir():
        return _folder(path, sequence)
    if path.stat().st_size == 0:
        raise BlazePoseError(f"input {name!r} is empty (0 bytes): give a video or an image")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return Media(path.name, 0.0, 1, False, lambda: iter([Picture(0, 0.0, read_image(path), path.name)]))
    if not (start >= 0 and (end is None or end > start)):
        raise BlazePoseError(f"the range {start} to {end} s is empty: start must be at least 0 and below end")
    return _video(path, start, end)


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file upright: (H, W, 3) uint8 RGB; grey, alpha and 16 bit are converted.

    Raises:
      BlazePoseError: not a readable image.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I") or upright.mode == "F":
                values = np.asarray(upright).astype(np.float64)
                return as_rgb((values / 256 if values.max(initial=0) > 255 else values).clip(0, 255).astype(np.uint8))
            return as_rgb(np.asarray(upright.convert("RGB")))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BlazePoseError(f"{path} is no readable image ({error}): convert it to JPEG or PNG") from error


def _folder(path: Path, sequence: bool) -> Media:
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise BlazePoseError(f"the folder {str(path)!r} holds no images: known suffixes are "
                             f"{', '.join(sorted(IMAGE_SUFFIXES))}")

    def pictures() -> Iterator[Picture]:
        for i, file in enumerate(files):
            try:
                yield Picture(i, i / 30 if sequence else float(i), read_image(file), file.name)
            except BlazePoseError as error:
                warnings.warn(f"skipped: {error}", stacklevel=2)

    return Media(path.name, 30.0 if sequence else 0.0, len(files), sequence, pictures)


def _open(name: str, **options: Any) -> Any:
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        raise BlazePoseError("reading video needs PyAV: pip install 'blazepose_jax[video]'") from error
    # FFmpeg's log stays off, as PyAV leaves it: its handler takes the GIL, and a decoder thread that logs while a
    # container closes waits for ever.
    try:
        container = av.open(name, **options)
    except (FFmpegError, OSError, ValueError) as error:
        raise BlazePoseError(f"{name!r} cannot be opened as a video or image ({error}): "
                             "is it complete, and of a usual format?") from error
    if not container.streams.video:
        container.close()
        raise BlazePoseError(f"{name!r} has no video stream: give a file with pictures")
    return container


def _camera(name: str) -> Media:
    number = name.removeprefix("camera:")
    if not number.isdigit():
        raise BlazePoseError(f"camera {name!r} is no number: write camera:0")
    form, pattern = CAMERAS.get(platform.system(), CAMERAS["Linux"])
    device = pattern.format(number)
    if form == "v4l2" and not os.path.exists(device):
        raise BlazePoseError(f"camera {name!r} does not exist ({device} is missing): plug it in or give a file")

    def pictures() -> Iterator[Picture]:
        with contextlib.closing(_open(device, format=form)) as container:
            for i, frame in enumerate(container.decode(video=0)):
                yield Picture(i, float(frame.time or i / 30), frame.to_ndarray(format="rgb24"))

    return Media(name, 30.0, None, True, pictures)


def _video(path: Path, start: float, end: float | None) -> Media:
    with contextlib.closing(_open(str(path))) as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate or stream.guessed_rate or 30)
        declared = int(stream.frames) or None
    whole = start == 0 and end is None
    count = declared if whole else None
    return Media(path.name, fps, count, True, lambda: _decode(path, fps, start, end, declared))


def _decode(path: Path, fps: float, start: float, end: float | None, declared: int | None) -> Iterator[Picture]:
    from av.error import FFmpegError

    index, yielded, broken, finished = 0, 0, "", True
    with contextlib.closing(_open(str(path))) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            for frame in container.decode(stream):
                time = index / fps if frame.time is None else float(frame.time)
                if end is not None and time >= end:
                    finished = False
                    break
                if time >= start:
                    image = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)
                    yield Picture(index, time, np.ascontiguousarray(image))
                    yielded += 1
                index += 1
        except (FFmpegError, OSError) as error:
            broken = str(error)
    if index == 0 and not broken.startswith("range") and finished:
        raise BlazePoseError(f"{str(path)!r} has no decodable frame ({broken or 'it is empty'}): "
                             "record or convert it again")
    if broken or (finished and declared is not None and index < declared):
        warnings.warn(f"{path.name} is cut: {index} of {declared or 'unknown'} frames could be decoded"
                      + (f" ({broken})" if broken else "") + "; results cover these", stacklevel=2)
    if yielded == 0 and index > 0:
        raise BlazePoseError(f"{str(path)!r} has no frame between {start} and {end} s: it ends at {index / fps:.2f} s")


class VideoWriter:
    """Writes H.264 that browsers play: yuv420p, even sizes, the original times.

    Frames of another size are scaled to that of the first. The file appears under its name when it is complete.
    """

    def __init__(self, path: str | Path, fps: float):
        """Open a video for writing; ``fps`` is nominal, each frame keeps its time."""
        self._path = Path(path)
        self._part = self._path.with_name(f".{self._path.name}.part.mp4")
        self._fps = Fraction(fps if fps > 0 else 30).limit_denominator(1001)
        self._base = Fraction(1, 90000)
        self._container: Any = None
        self._last = -1

    def write(self, image: np.ndarray, time: float) -> None:
        """Append (H, W, 3) uint8 RGB at ``time`` seconds; times that do not grow are moved by a tick."""
        import av

        height, width = image.shape[0] & ~1, image.shape[1] & ~1
        if not (height and width):
            raise BlazePoseError(f"a video of {image.shape[1]}x{image.shape[0]} pixels cannot be written: "
                                 "each side needs at least 2")
        if self._container is None:
            self._container = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
            self._stream = self._container.add_stream("libx264", rate=self._fps, options={"crf": "23"})
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
            self._stream.codec_context.time_base = self._base
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24")
        frame = frame.reformat(self._stream.width, self._stream.height, "yuv420p")
        self._last = max(round(time / self._base), self._last + 1)
        frame.pts, frame.time_base = self._last, self._base
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._container is None:
            return
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._part.replace(self._path)

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._container is not None:
            self._container.close()
        self._part.unlink(missing_ok=True)
