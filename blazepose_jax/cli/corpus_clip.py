"""One clip of a corpus: where its results lie, and the tracking of it."""

import dataclasses
import time
import warnings
from pathlib import Path

from blazepose_jax.cli.track_outputs import Sink
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.media import read_media
from blazepose_jax.io.prefetch import Prefetch
from blazepose_jax.io.results import CsvWriter, JsonWriter
from blazepose_jax.weights.own import ExperimentFile

WILD = "*?["
BEFORE, DONE, FAILED = "before", "done", "failed"


@dataclasses.dataclass(frozen=True)
class Job:
    """What is done with every clip.

    Attributes:
      root: what the names of all clips begin with.
      output: folder of the results, whose names are those of the clips without ``root``.
      formats: of the results, suffixes; the last one is written last.
      weights: for ``Tracker``, as are the next ones.
      detector: another source of the detector, or None.
      settings: whom to look for, and how.
      runtime: ``jax`` or ``litert``.
      threads: of LiteRT, or None.
      experiment: the file that brings the networks, or None.
    """

    root: str
    output: str
    formats: tuple[str, ...]
    weights: str
    detector: str | None
    settings: Settings
    runtime: str
    threads: int | None
    experiment: ExperimentFile | None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one clip.

    Attributes:
      clip: its name.
      status: ``done``, ``before`` (an earlier run has its results) or ``failed``.
      frames: tracked.
      occupied: frames with people.
      people: in all frames together.
      seconds: that tracking took, with reading and writing.
      error: why it failed.
      warnings: lines, such as that the clip is cut.
    """

    clip: str
    status: str
    frames: int = 0
    occupied: int = 0
    people: int = 0
    seconds: float = 0.0
    error: str = ""
    warnings: str = ""


def root_of(pattern: str) -> str:
    """What all names begin with that match a pattern, to the last slash before a wildcard.

    Examples:
      >>> root_of("clips/2024/*/cam?.mp4")
      'clips/2024/'
    """
    fixed = pattern[: min((pattern.find(c) for c in WILD if c in pattern), default=len(pattern))]
    return fixed[: fixed.rfind("/") + 1]


def result_paths(job: Job, clip: str) -> list[str]:
    """The results of a clip: its own name below the output folder, and a suffix for each format.

    They depend on nothing but the clip, so that a run finds what another one has done.
    """
    return [_beside(job, clip, suffix) for suffix in job.formats]


def warning_path(job: Job, clip: str) -> str:
    """Where the warnings of a clip lie, if there are any."""
    return _beside(job, clip, "warnings.txt")


def _beside(job: Job, clip: str, suffix: str) -> str:
    return f"{job.output.rstrip('/')}/{clip.removeprefix(job.root)}.{suffix}"


def load_tracker(job: Job) -> Tracker:
    """The tracker of a worker.

    Raises:
      BlazePoseError: as for ``Tracker``.
    """
    return Tracker(
        job.weights,
        job.detector,
        settings=job.settings,
        runtime=job.runtime,
        threads=job.threads,
        experiment=job.experiment,
    )


def track_clip(tracker: Tracker, job: Job, clip: str, source: Path, folder: Path) -> Outcome:
    """Track one clip from its beginning; warnings of all the process's threads count as its own.

    Args:
      tracker: which forgets whom it followed.
      job: what to write.
      clip: the name that the results and the outcome bear.
      source: where the clip lies on this machine.
      folder: of the results, ``result.SUFFIX``; empty after a failure.

    Returns:
      What came of it.
    """
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", UserWarning)
        outcome = _track(tracker, job, clip, source, folder)
    lines = dict.fromkeys(str(one.message) for one in heard)
    return dataclasses.replace(outcome, warnings="\n".join(lines))


def _track(tracker: Tracker, job: Job, clip: str, source: Path, folder: Path) -> Outcome:
    began, sinks = time.perf_counter(), list[Sink]()
    frames = occupied = people = 0
    try:
        media = read_media(source)
        if not media.is_sequence:
            raise BlazePoseError("a picture is no clip: blazepose track FOLDER takes pictures")
        tracker.reset()
        for suffix in job.formats:
            path = folder / f"result.{suffix}"
            if suffix == "csv":
                sinks.append(CsvWriter(path, tracker.skeleton, job.settings.world))
            else:
                sinks.append(JsonWriter(path, clip, media.fps, tracker.model, tracker.skeleton))
        with Prefetch(media) as pictures:
            for picture in pictures:
                poses = tracker(picture.image, picture.time)
                for sink in sinks:
                    sink.write(picture, poses)
                frames += 1
                occupied += bool(poses.present.any())
                people += int(poses.present.sum())
        while sinks:
            sinks[0].close()
            sinks.pop(0)
    except BlazePoseError as error:
        return Outcome(clip, FAILED, error=str(error))
    finally:
        for sink in sinks:
            sink.discard()
    return Outcome(clip, DONE, frames, occupied, people, time.perf_counter() - began)
