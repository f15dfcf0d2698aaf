"""Video by PyAV: frames as a player shows them, on one clock; overlay videos out."""

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.cropping import NOTHING, Cropping, declared_cropping
from blazepose_jax.io.display import as_shown
from blazepose_jax.io.files import Output, is_special

TIMEOUT = 15.0  # seconds, of what comes over a network
SET_BACK = (
    0.5  # seconds: a stamp that lies farther back than this starts the clock anew from where it is
)
# text and terminal art, which FFmpeg takes for films
TEXT_FORMATS = (
    "tty",
    "bin",
    "xbin",
    "adf",
    "idf",
)
# containers that store no presentation times: those of decoding are right, of B-frames, too
NO_ORDER = ("avi",)
FORMATS = {".mkv": "matroska", ".mov": "mov", ".avi": "avi"}  # of overlays; others are MP4


@dataclasses.dataclass
class Film:
    """A film of a container.

    Attributes:
      source: what FFmpeg opens.
      name: for people.
      fps: nominal.
      count: frames that are shown, or None.
      options: of ``av.open``.
      container: what is read once and open already, or None.
      once: it cannot be opened again.
      cropping: stored px that are not shown.
    """

    source: str
    name: str
    fps: float
    count: int | None
    options: dict[str, Any]
    container: Any = None
    once: bool = False
    cropping: Cropping = NOTHING

    def frames(self) -> Generator[tuple[float, np.ndarray]]:
        """Decode: seconds since the first frame, and (H, W, 3) uint8 RGB as it is shown.

        Raises:
          BlazePoseError: no decodable frame, or what can be read once is read again. What is cut
            gives a warning.
        """
        if self.once and self.container is None:
            raise BlazePoseError(f"{self.name!r} can be read once: open it again")
        container, self.container = (
            self.container or _open(self.source, self.name, **self.options),
            None,
        )
        with contextlib.closing(container):
            yield from _decode(container, self.name, self.fps, self.cropping)


class Clock:
    """Presentation stamps to seconds that begin at 0 and grow, whatever the stamps do."""

    def __init__(self, step: float):
        """``step``: seconds that a frame is shown, usually."""
        self._step, self._nudged = step, False
        self._origin: float | None = None
        self._last: float | None = None

    def __call__(self, stamp: float | None) -> float:
        """The time of the next frame; ``stamp`` in seconds, or None where it has none."""
        if stamp is not None and not math.isfinite(stamp):
            stamp = None
        last = -math.inf if self._last is None else self._last
        following = 0.0 if self._last is None else last + self._step
        if stamp is None:
            self._last = following
            return following
        if self._origin is None or stamp - self._origin < last - SET_BACK:
            self._origin = stamp - following
        time, nudged = stamp - self._origin, stamp - self._origin <= last
        if nudged:
            # Half a frame, so that a stamp that repeats once does not move those after it.
            time = following if self._nudged else last + self._step / 2
        self._last, self._nudged = time, nudged
        return time


def open_film(source: str, *, name: str = "", once: bool = False, **options: Any) -> Film:
    """Open what FFmpeg reads.

    Args:
      source: path, URL, ``pipe:0`` or device.
      name: for people; the source by default.
      once: it cannot be opened again, so it stays open until ``frames``.
      options: of ``av.open``.

    Raises:
      BlazePoseError: PyAV is missing, it cannot be opened, or it holds no film.
    """
    name = name or source
    if "://" in source:
        options["timeout"] = TIMEOUT
        if source.lower().startswith("rtsp"):
            options["options"] = {"rtsp_flags": "prefer_tcp"}
    container = _open(source, name, **options)
    try:
        stream = _film_stream(container, name)
        fps = float(stream.average_rate or stream.guessed_rate or 30)
        number = list(container.streams.video).index(stream)
        cropping = NOTHING if once else declared_cropping(Path(source), number)
        count = _shown_frames(stream, fps)
        if not once:
            container.close()
        return Film(source, name, fps, count, options, container if once else None, once, cropping)
    except BaseException:
        container.close()
        raise


def _import_av(what: str) -> Any:
    try:
        import av
    except ImportError as error:
        raise BlazePoseError(
            f"{what} video needs PyAV: pip install 'blazepose_jax[video]'"
        ) from error
    return av


def _open(source: str, name: str, **options: Any) -> Any:
    av = _import_av("reading")
    # FFmpeg's log stays off, as PyAV leaves it: its handler takes the GIL, and a decoder thread
    # that logs while a container closes waits for ever.
    try:
        return av.open(source, **options)
    except Exception as error:  # of FFmpeg, or of Python where a path is strange
        raise BlazePoseError(
            f"{name!r} cannot be opened as a video or image ({_reason(error)}): "
            "is it complete, and of a usual format?"
        ) from error


def _film_stream(container: Any, name: str) -> Any:
    """The stream that a player shows: not a cover picture; of several the one that is marked."""
    from av.stream import Disposition

    if container.format.name in TEXT_FORMATS:
        raise BlazePoseError(
            f"{name!r} is a text, which FFmpeg would draw as a terminal: give a video or an image"
        )
    aside = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.dependent
    films = [stream for stream in container.streams.video if not stream.disposition & aside]
    if not films:
        raise BlazePoseError(f"{name!r} has no video stream: give a file with pictures")
    marked = [stream for stream in films if stream.disposition & Disposition.default]
    chosen = (marked or films)[0]
    if len(films) > 1:
        why = "marked as default" if marked else "the first"
        warnings.warn(
            f"{Path(name).name} holds {len(films)} films: number {films.index(chosen)} is read,"
            f" {why}",
            stacklevel=3,
        )
    return chosen


def _shown_frames(stream: Any, fps: float) -> int | None:
    """Frames that a player shows: an edit list may hide some of those that are stored."""
    stored = int(stream.frames) or None
    if stored is None or stream.duration is None or stream.time_base is None:
        return stored
    return min(stored, max(1, round(float(stream.duration * stream.time_base) * fps)))


def _decode(
    container: Any, name: str, fps: float, cropping: Cropping
) -> Iterator[tuple[float, np.ndarray]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # several films: said when it was opened
        stream = _film_stream(container, name)
    stream.thread_type = "AUTO"
    by_order = container.format.name in NO_ORDER
    clock, shown, stored, end, broken = Clock(1 / fps), 0, 0, None, ""
    try:
        for packet in container.demux(stream):
            stored += packet.size > 0
            for frame in packet.decode():
                ticks = frame.dts if by_order else frame.pts
                stamp = (
                    None
                    if ticks is None or frame.time_base is None
                    else float(ticks * frame.time_base)
                )
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


def _ends_early(stream: Any, end: float | None, fps: float) -> bool:
    """Whether the last frame lies before the end that the container declares.

    One with an edit list does not.
    """
    if end is None or stream.duration is None:
        return True
    beginning = float((stream.start_time or 0) * stream.time_base)
    return end - beginning + 1.5 / fps < float(stream.duration * stream.time_base)


def _is_short(container: Any, stream: Any, end: float | None) -> bool:
    """Whether a container that counts no frames says that it lasts much longer than its frames.

    Sound may, a little.
    """
    if stream.frames or end is None or not container.duration or container.format.name == "mpegts":
        return False
    lasts, lasted = container.duration / 1e6, end - (container.start_time or 0) / 1e6
    return lasts - lasted > max(1.0, 0.1 * lasts)


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__


class VideoWriter:
    """Writes H.264 that browsers play.

    Yuv420p, even sizes, the original times from the first frame on.

    Frames of another size are scaled to that of the first. The file takes its name when it is
    complete.
    """

    def __init__(self, path: str | Path, fps: float):
        """Open a video for writing; ``fps`` is nominal, each frame keeps its time."""
        _import_av("writing")
        self._out = Output(path)
        self._fps = Fraction(fps if fps > 0 else 30).limit_denominator(1001)
        self._base = Fraction(1, 90000)
        self._container: Any = None
        self._last, self._began = -1, 0.0

    def write(self, image: np.ndarray, time: float) -> None:
        """Append (H, W, 3) uint8 RGB at ``time`` seconds.

        Times that do not grow are moved by a tick.
        """
        av = _import_av("writing")
        height, width = image.shape[0] & ~1, image.shape[1] & ~1
        if not (height and width):
            raise BlazePoseError(
                f"a video of {image.shape[1]}x{image.shape[0]} pixels cannot be written: "
                "each side needs at least 2"
            )
        if self._container is None:
            self._began = time
            form = FORMATS.get(self._out.path.suffix.lower(), "mp4")
            # What cannot be rewound is written in pieces.
            flags = "frag_keyframe+empty_moov" if is_special(self._out.path) else "+faststart"
            self._container = av.open(
                str(self._out.part),
                "w",
                format=form,
                options={"movflags": flags} if form in ("mp4", "mov") else {},
            )
            self._stream = self._container.add_stream(
                "libx264", rate=self._fps, options={"crf": "23"}
            )
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
            self._stream.codec_context.time_base = self._base
            self._stream.codec_context.thread_count = (
                4  # whatever the machine: the bytes depend on it
            )
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(image[:height, :width]), format="rgb24"
        )
        frame = frame.reformat(self._stream.width, self._stream.height, "yuv420p")
        self._last = max(round((time - self._began) / self._base), self._last + 1)
        frame.pts, frame.time_base = self._last, self._base
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file and give it its name; without a frame there is no file."""
        if self._container is None:
            self._out.discard()
            return
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._out.finish()

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._container is not None:
            with contextlib.suppress(Exception):  # a full disk, which is why this is called
                self._container.close()
        self._out.discard()
