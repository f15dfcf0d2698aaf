"""Outputs of ``blazepose track``."""

import collections
import contextlib
import warnings
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.draw import (
    check_picture_name,
    draw_parts,
    draw_poses,
    save_image,
    write_image,
)
from blazepose_jax.io.files import OutputFolder
from blazepose_jax.io.image_formats import SUFFIXES
from blazepose_jax.io.media import Media, Picture
from blazepose_jax.io.results import CsvWriter, JsonWriter
from blazepose_jax.io.video_writer import VideoWriter
from blazepose_jax.structs import NO_PARTS, Parts, Poses


class Sink(Protocol):
    """Something that is written frame by frame.

    Attributes:
      path: of the file or folder.
    """

    path: Path

    def write(self, picture: Picture, poses: Poses, parts: Parts = NO_PARTS) -> None:
        """Append one frame."""

    def close(self) -> None:
        """Finish it and give it its name."""

    def discard(self) -> None:
        """Leave nothing behind."""


@contextlib.contextmanager
def open_sinks(args: Namespace, media: Media, tracker: Tracker) -> Iterator[list[Sink]]:
    """Open whatever the options say to write; finish it at the end, or leave nothing behind.

    Args:
      args: the options.
      media: what is tracked.
      tracker: by what.

    Raises:
      OSError: of the system, such as a full disk; it names the file.
    """
    # One by one, so that what is open is known when the next one fails.
    sinks: list[Sink] = []
    try:
        if args.json:
            sinks.append(
                JsonWriter(args.json, media.name, media.fps, tracker.model, tracker.skeleton)
            )
        if args.csv:
            sinks.append(CsvWriter(args.csv, tracker.skeleton, args.world))
        if args.video:
            sinks.append(OverlaySink(args.video, media.fps, tracker))
        if args.mask:
            sinks.append(MaskSink(args.mask, tracker, media))
        yield sinks
        for sink in list(sinks):
            with outliving(sinks, sink), naming(sink.path):
                sink.close()
                sinks.remove(sink)
    finally:
        # Whatever could not be finished.
        for sink in sinks:
            sink.discard()


def write_frame(sinks: list[Sink], picture: Picture, poses: Poses, parts: Parts) -> None:
    """Append one frame to every output."""
    for sink in list(sinks):
        with outliving(sinks, sink), naming(sink.path):
            sink.write(picture, poses, parts)


@contextlib.contextmanager
def outliving(sinks: list[Sink], sink: Sink) -> Iterator[None]:
    """Leave an output out whose reader has gone, such as a pipe's, while there are others."""
    try:
        yield
    except BrokenPipeError:
        if sinks == [sink]:
            raise
        warnings.warn(
            f"{sink.path}: whoever read it has stopped reading; the other outputs go on",
            stacklevel=2,
        )
        sinks.remove(sink)
        sink.discard()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the system, such as a full disk, say which file it struck."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, error.filename or str(path)) from error


class OverlaySink:
    """Draws the poses into a video, or, for a name like ``.png``, into one picture."""

    def __init__(self, path: str, fps: float, tracker: Tracker):
        """Open the output."""
        self.path, self._skeleton = Path(path), tracker.skeleton
        self._image: np.ndarray | None = None
        self._writer = None
        if self.path.suffix.lower() in SUFFIXES:
            check_picture_name(self.path)
        else:
            self._writer = VideoWriter(path, fps or 1.0)

    def write(self, picture: Picture, poses: Poses, parts: Parts = NO_PARTS) -> None:
        """Append one frame."""
        image = draw_poses(picture.image, poses, self._skeleton)
        if parts:
            image = draw_parts(image, parts)
        if self._writer is not None:
            self._writer.write(image, picture.time)
        elif self._image is None:
            self._image = image
        else:
            raise BlazePoseError(
                f"{str(self.path)!r} holds one picture and the input has several: name a .mp4"
            )

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._writer is not None:
            self._writer.close()
        if self._image is not None:
            save_image(self._image, self.path)

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            self._writer.discard()


class MaskSink:
    """Writes one grey PNG per frame: 255 where a person is."""

    def __init__(self, path: str, tracker: Tracker, media: Media):
        """Open a folder under a temporary name."""
        self.path, self._tracker, self._out = Path(path), tracker, OutputFolder(path)
        self._names = mask_names([file.name for file in media.files])

    def write(self, picture: Picture, poses: Poses, parts: Parts = NO_PARTS) -> None:
        """Append one frame."""
        found = self._tracker.masks(picture.image, poses)
        total = np.max(list(found.values()), 0) if found else np.zeros(picture.image.shape[:2])
        name = self._names[picture.file] if picture.file else f"{picture.index:06d}.png"
        write_image((total * 255 + 0.5).astype(np.uint8), self._out.part / name, self.path / name)

    def close(self) -> None:
        """Give the folder its name."""
        self._out.finish()

    def discard(self) -> None:
        """Leave nothing behind."""
        self._out.discard()


def mask_names(files: list[str]) -> dict[str, str]:
    """Names of masks, {file name: its mask's}.

    The stem where that is unique whatever the case, else the whole name and a number.
    """
    stems = collections.Counter(Path(file).stem.casefold() for file in files)
    names: dict[str, str] = {}
    taken: set[str] = set()
    for file in files:
        base = Path(file).stem if stems[Path(file).stem.casefold()] == 1 else file
        name = next(
            n
            for n in (base, *(f"{base}_{i}" for i in range(2, len(files) + 2)))
            if n.casefold() not in taken
        )
        taken.add(name.casefold())
        names[file] = f"{name}.png"
    return names
