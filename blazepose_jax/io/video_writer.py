"""Videos written as H.264 that browsers play."""

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import Output, is_special
from blazepose_jax.io.video import DEFAULT_FPS, import_av

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import OutputContainer

# Containers that keep the times of frames.
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mkv": "matroska", ".mov": "mov"}
TIME_BASE = Fraction(1, 90000)  # seconds of a tick, as in MPEG-2 (ISO/IEC 13818-1)
MAX_DENOMINATOR = 1001  # of the frame rate, such as 30000/1001
MOST = 16384  # px of a side, by x264
QUALITY = "23"  # x264's default constant rate factor
THREADS = 4  # whatever the machine: the bytes depend on it


class VideoWriter:
    """An H.264 video in yuv420p, of even sizes, with the original times from the first frame on.

    Frames of another size are scaled to that of the first. The file takes its name when it is
    complete.
    """

    def __init__(self, path: str | Path, fps: float):
        """Open a video for writing.

        Args:
          path: its suffix selects the container; MP4 for a pipe or device.
          fps: nominal; each frame keeps its time.

        Raises:
          BlazePoseError: PyAV is missing, the file cannot be written, or its name ends otherwise.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in FORMATS and not is_special(Path(path)):
            raise BlazePoseError(
                f"video {str(path)!r} ends in {suffix!r}: known are {', '.join(FORMATS)}"
            )
        self._format = FORMATS.get(suffix, "mp4")
        self._av = import_av("writing")
        self._out = Output(path)
        self._fps = Fraction(fps if fps > 0 else DEFAULT_FPS).limit_denominator(MAX_DENOMINATOR)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._last, self._began = -1, 0.0

    def write(self, image: np.ndarray, time: float) -> None:
        """Append a frame.

        Args:
          image: (H, W, 3) uint8 RGB.
          time: seconds; a time that does not grow is moved by a tick.

        Raises:
          BlazePoseError: a side has less than 2 px.
        """
        height, width = image.shape[0] & ~1, image.shape[1] & ~1
        if not (height and width):
            raise BlazePoseError(
                f"a video of {image.shape[1]}x{image.shape[0]} pixels cannot be written: "
                "each side needs at least 2"
            )
        if max(width, height) > MOST:
            raise BlazePoseError(
                f"a video of {width}x{height} pixels cannot be written: its sides are {MOST} at"
                " most; scale it down, or name a .png"
            )
        if self._container is None or self._stream is None:
            self._began = time
            self._container, self._stream = self._open(width, height)
        frame = self._av.VideoFrame.from_ndarray(
            np.ascontiguousarray(image[:height, :width]), format="rgb24"
        )
        frame = frame.reformat(self._stream.width, self._stream.height, "yuv420p")
        self._last = max(round((time - self._began) / TIME_BASE), self._last + 1)
        frame.pts, frame.time_base = self._last, TIME_BASE
        self._container.mux(self._stream.encode(frame))

    def _open(self, width: int, height: int) -> "tuple[OutputContainer, VideoStream]":
        format = self._format
        # What cannot be rewound is written in pieces.
        flags = "frag_keyframe+empty_moov" if is_special(self._out.path) else "+faststart"
        options = {"movflags": flags} if format in ("mp4", "mov") else {}
        container = self._av.open(str(self._out.part), "w", format=format, options=options)
        stream = container.add_stream("libx264", rate=self._fps, options={"crf": QUALITY})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.thread_count = THREADS
        return container, stream

    def close(self) -> None:
        """Finish the file and give it its name; without a frame there is no file."""
        if self._container is None or self._stream is None:
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
