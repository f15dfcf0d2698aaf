"""Videos read by PyAV: frames as a player shows them, on one clock."""

import contextlib
import dataclasses
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.clock import Clock
from blazepose_jax.io.cropping import NOTHING, Cropping, declared_cropping
from blazepose_jax.io.display import as_shown

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

TIMEOUT = 15.0  # seconds, of what comes over a network
DEFAULT_FPS = 30.0  # of a container that names no rate
# FFmpeg's formats of text and terminal art, which it takes for videos.
TEXT_FORMATS = ("tty", "bin", "xbin", "adf", "idf")
# Containers that store no presentation times: those of decoding are right, of B-frames, too.
NO_ORDER = ("avi",)


@dataclasses.dataclass
class Video:
    """A video stream of a container.

    Attributes:
      source: what FFmpeg opens.
      name: for people.
      fps: nominal.
      count: frames that are shown, or None.
      format: FFmpeg's name of the format, or None to detect it.
      container: what is read once and open already, or None.
      once: it cannot be opened again.
      cropping: stored px that are not shown.
    """

    source: str
    name: str
    fps: float
    count: int | None
    format: str | None = None
    container: "InputContainer | None" = None
    once: bool = False
    cropping: Cropping = NOTHING

    def frames(self) -> Generator[tuple[float, np.ndarray]]:
        """Decode the frames; what is cut gives a warning.

        Yields:
          Seconds since the first frame, and (H, W, 3) uint8 RGB as it is shown.

        Raises:
          BlazePoseError: no decodable frame, or what can be read once is read again.
        """
        if self.once and self.container is None:
            raise BlazePoseError(f"{self.name!r} can be read once: open it again")
        container = self.container or _open(self.source, self.name, self.format)
        self.container = None
        with contextlib.closing(container):
            yield from _decode(container, self.name, self.fps, self.cropping)


def open_video(
    source: str, *, name: str = "", once: bool = False, format: str | None = None
) -> Video:
    """Open what FFmpeg reads.

    Args:
      source: path, URL, ``pipe:0`` or device.
      name: for people; the source by default.
      once: it cannot be opened again, so it stays open until ``frames``.
      format: FFmpeg's name of the format; None to detect it.

    Raises:
      BlazePoseError: PyAV is missing, it cannot be opened, or it holds no video.
    """
    name = name or source
    container = _open(source, name, format)
    try:
        stream = _video_stream(container, name)
        fps = float(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)
        number = list(container.streams.video).index(stream)
        cropping = NOTHING if once else declared_cropping(Path(source), number)
        count = _shown_frames(stream, fps)
        if not once:
            container.close()
        return Video(source, name, fps, count, format, container if once else None, once, cropping)
    except BaseException:
        container.close()
        raise


def import_av(purpose: str) -> ModuleType:
    """Import PyAV, which is an extra.

    Args:
      purpose: "reading" or "writing", for the error.

    Raises:
      BlazePoseError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise BlazePoseError(
            f"{purpose} video needs PyAV: pip install 'blazepose_jax[video]'"
        ) from error
    return av


def _open(source: str, name: str, format: str | None) -> "InputContainer":
    av = import_av("reading")
    timeout, options = None, {}
    if "://" in source:
        timeout = TIMEOUT
        if source.lower().startswith("rtsp"):
            options = {"rtsp_flags": "prefer_tcp"}
    # FFmpeg's log stays off, as PyAV leaves it: its handler takes the GIL, and a decoder thread
    # that logs while a container closes waits for ever.
    try:
        return av.open(source, format=format, options=options, timeout=timeout)
    except Exception as error:  # of FFmpeg, or of Python where a path is strange
        raise BlazePoseError(
            f"{name!r} cannot be opened as a video or image ({_reason(error)}): "
            "is it complete, and of a usual format?"
        ) from error


def _video_stream(container: "InputContainer", name: str, *, warn: bool = True) -> "VideoStream":
    """The stream that a player shows: not a cover picture; of several the one that is marked."""
    from av.stream import Disposition

    if container.format.name in TEXT_FORMATS:
        raise BlazePoseError(
            f"{name!r} is a text, which FFmpeg would draw as a terminal: give a video or an image"
        )
    aside = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
    streams = [stream for stream in container.streams.video if not stream.disposition & aside]
    if not streams:
        raise BlazePoseError(f"{name!r} has no video stream: give a file with pictures")
    marked = [stream for stream in streams if stream.disposition & Disposition.default]
    chosen = (marked or streams)[0]
    if warn and len(streams) > 1:
        why = "marked as default" if marked else "the first"
        warnings.warn(
            f"{Path(name).name} holds {len(streams)} films: number {streams.index(chosen)} is read,"
            f" {why}",
            stacklevel=3,
        )
    return chosen


def _shown_frames(stream: "VideoStream", fps: float) -> int | None:
    """Frames that a player shows: an edit list may hide some of those that are stored."""
    stored = int(stream.frames) or None
    if stored is None or stream.duration is None or stream.time_base is None:
        return stored
    return min(stored, max(1, round(float(stream.duration * stream.time_base) * fps)))


def _decode(
    container: "InputContainer", name: str, fps: float, cropping: Cropping
) -> Iterator[tuple[float, np.ndarray]]:
    from av.codec.context import ThreadType

    stream = _video_stream(container, name, warn=False)  # open_video has warned
    stream.thread_type = ThreadType.AUTO
    by_order = container.format.name in NO_ORDER
    clock, shown, stored, end, broken = Clock(1 / fps), 0, 0, None, ""
    try:
        for packet in container.demux(stream):
            stored += packet.size > 0
            for frame in packet.decode():
                stamp = _stamp(frame, by_order)
                end = end if stamp is None else stamp
                yield clock(stamp), as_shown(frame, stream, cropping)
                shown += 1
    except Exception as error:  # of FFmpeg, or PyAV on what it does not expect
        broken = _reason(error)
    if shown == 0:
        raise BlazePoseError(
            f"{name!r} has no decodable frame ({broken or 'it is empty'}): record or convert it"
            " again"
        )
    declared = int(stream.frames)
    if (
        broken
        or (stored < declared and _ends_early(stream, end, fps))
        or _is_short(container, stream, end)
    ):
        warnings.warn(
            f"{Path(name).name} is cut: {shown} of {declared or 'unknown'} frames could be decoded"
            + (f" ({broken})" if broken else "")
            + "; results cover these",
            stacklevel=2,
        )


def _stamp(frame: "VideoFrame", by_order: bool) -> float | None:
    """Presentation time of a frame, seconds; with ``by_order`` that of decoding."""
    ticks = frame.dts if by_order else frame.pts
    return None if ticks is None or frame.time_base is None else float(ticks * frame.time_base)


def _ends_early(stream: "VideoStream", end: float | None, fps: float) -> bool:
    """Whether the last frame lies before the end that the container declares.

    A video that an edit list trims does not end early.
    """
    if end is None or stream.duration is None or stream.time_base is None:
        return True
    beginning = float((stream.start_time or 0) * stream.time_base)
    return end - beginning + 1.5 / fps < float(stream.duration * stream.time_base)


def _is_short(container: "InputContainer", stream: "VideoStream", end: float | None) -> bool:
    """Whether a container that counts no frames declares to last much longer than its frames.

    Sound may last a little longer.
    """
    if stream.frames or end is None or not container.duration or container.format.name == "mpegts":
        return False
    lasts, lasted = container.duration / 1e6, end - (container.start_time or 0) / 1e6
    return lasts - lasted > max(1.0, 0.1 * lasts)


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
