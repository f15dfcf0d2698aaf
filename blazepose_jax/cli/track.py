"""What the command line does once its words are understood.

Arguments come in, files and lines leave.
"""

import collections
import contextlib
import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.cli.progress import progress
from blazepose_jax.errors import BlazePoseError, Interrupted
from blazepose_jax.inference import Settings
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.draw import check_picture_name, draw_poses, save_image
from blazepose_jax.io.files import OutputFolder, check_outputs
from blazepose_jax.io.images import SUFFIXES
from blazepose_jax.io.interrupts import interruptible
from blazepose_jax.io.media import Media, Picture, read_media
from blazepose_jax.io.results import CsvWriter, JsonWriter
from blazepose_jax.io.video import VideoWriter
from blazepose_jax.models import MODELS, LayerConfig, create_model
from blazepose_jax.models.summary import conv_calls, count_macs, count_parameters
from blazepose_jax.structs import Poses
from blazepose_jax.weights import import_weights


def list_models(args: Namespace) -> None:
    """``blazepose models``."""
    rows = []
    for name, spec in MODELS.items():
        model = create_model(name, LayerConfig("folded", convolution="xla"))
        calls = conv_calls(model, spec.side)
        rows.append(
            {
                "name": name,
                "input": [spec.side, spec.side, 3],
                "parameters": count_parameters(calls),
                "macs": count_macs(calls),
                "keypoints": getattr(model, "keypoints", 4),
                "weights": "import" if name in ("detector", "lite", "full", "heavy") else "train",
            }
        )
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'name':<15}{'input':>11}{'parameters':>13}{'MACs':>10}{'keypoints':>11}  weights")
    for row in rows:
        side = row["input"][0]
        macs = row["macs"] / 1e6
        print(
            f"{row['name']:<15}{f'{side}x{side}x3':>11}{row['parameters']:>13,}{macs:>8.0f} M"
            f"{row['keypoints']:>11}  {row['weights']}"
        )


def import_files(args: Namespace) -> None:
    """``blazepose import``."""
    for source in args.sources:
        if os.path.isfile(source) and Path(os.path.realpath(source)).is_relative_to(
            os.path.realpath(args.output)
        ):
            raise BlazePoseError(
                f"output {args.output!r} holds the input {source!r}, which would be lost: name "
                "another"
            )
    for kind, net in import_weights(args.sources, args.output).items():
        print(f"{kind}: {net.model} from {net.source}")
    print(f"wrote {args.output}")


def settings_of(args: Namespace) -> Settings:
    """The tracking options as Settings."""
    return Settings(
        max_people=args.max_people,
        min_detection_confidence=args.min_detection_confidence,
        min_presence_confidence=args.min_presence_confidence,
        decode=args.decode,
        flip=args.flip,
        smoothing=not args.no_smoothing,
        world=args.world,
        mask=args.mask is not None,
    )


def track(args: Namespace) -> None:
    """``blazepose track``."""
    media = read_media(args.input, start=args.start, end=args.end, sequence=args.sequence)
    check_outputs((args.json, args.csv, args.video), (*media.files, args.weights, args.detector))
    _check_mask_folder(args.mask, (args.json, args.csv, args.video))
    tracker = Tracker(args.weights, args.detector, settings=settings_of(args), runtime=args.runtime)
    frames = occupied = runs = 0
    began, stopped, sinks = time.perf_counter(), False, []
    try:
        open_sinks(sinks, args, media, tracker)
        with interruptible() as interrupted:
            for picture in progress(media, media.count, media.name, "frames"):
                if not media.is_sequence:
                    tracker.reset()
                poses = tracker(picture.image, picture.time)
                runs = tracker.detector_runs if media.is_sequence else runs + 1
                for sink in sinks:
                    with naming(sink.path):
                        sink.write(picture, poses)
                frames, occupied = frames + 1, occupied + bool(poses.present.any())
                if stopped := interrupted():
                    break
        while sinks:
            with naming(sinks[0].path):
                sinks[0].close()
            sinks.pop(0)
    finally:
        for sink in sinks:  # whatever could not be finished
            sink.discard()
    seconds = time.perf_counter() - began
    # What goes to standard output is nothing but the result.
    piped = any(
        path and os.path.exists(path) and os.path.samefile(path, "/dev/stdout")
        for path in (args.json, args.csv)
        if os.path.exists("/dev/stdout")
    )
    print(
        f"{frames} frames, {occupied} with people, {runs} detector runs, {frames / seconds:.1f}"
        " frames/s with compilation, reading and writing",
        file=sys.stderr if piped else sys.stdout,
    )
    if stopped:
        raise Interrupted(f"interrupted: the results of the first {frames} frames are kept")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the system, such as a full disk, say which file it struck."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, error.filename or str(path)) from error


def _check_mask_folder(path: str | None, outputs: tuple[str | None, ...]) -> None:
    if path is None:
        return
    if Path(path).exists() and (not Path(path).is_dir() or any(Path(path).iterdir())):
        raise BlazePoseError(f"mask folder {path!r} exists and is not empty: name a new one")
    for output in outputs:
        if output is not None and os.path.realpath(path) in (
            os.path.realpath(output),
            os.path.dirname(os.path.realpath(output)),
        ):
            raise BlazePoseError(
                f"output {output!r} is, or lies in, the mask folder {path!r}: name another place"
            )


def open_sinks(sinks: list[Any], args: Namespace, media: Media, tracker: Tracker) -> None:
    """Open whatever the options say to write, each with write(picture, poses), close() and
    discard().

    Args:
      sinks: gets them one by one, so that what is open is known when the next one fails.
      args: the options.
      media: what is tracked.
      tracker: by what.
    """
    if args.json:
        sinks.append(JsonWriter(args.json, media.name, media.fps, tracker.model, tracker.skeleton))
    if args.csv:
        sinks.append(CsvWriter(args.csv, tracker.skeleton, args.world))
    if args.video:
        sinks.append(OverlaySink(args.video, media.fps, tracker))
    if args.mask:
        sinks.append(MaskSink(args.mask, tracker, media))


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

    def write(self, picture: Picture, poses: Poses) -> None:
        """Append one frame."""
        image = draw_poses(picture.image, poses, self._skeleton)
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

    def write(self, picture: Picture, poses: Poses) -> None:
        """Append one frame."""
        found = self._tracker.masks(picture.image, poses)
        total = np.max(list(found.values()), 0) if found else np.zeros(picture.image.shape[:2])
        name = self._names[picture.file] if picture.file else f"{picture.index:06d}.png"
        save_image((total * 255 + 0.5).astype(np.uint8), self._out.part / name)

    def close(self) -> None:
        """Give the folder its name."""
        self._out.finish()

    def discard(self) -> None:
        """Leave nothing behind."""
        self._out.discard()


def mask_names(files: list[str]) -> dict[str, str]:
    """{file name: its mask's}.

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
