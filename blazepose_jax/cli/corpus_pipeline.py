"""The Beam pipeline of ``blazepose corpus``: match, shuffle, track, sum up."""

import contextlib
import json
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.fileio import EmptyMatchTreatment, MatchAll
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from blazepose_jax.cli.corpus_clip import (
    BEFORE,
    FAILED,
    Job,
    Outcome,
    load_tracker,
    result_paths,
    track_clip,
    warning_path,
)
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.cache import use_compilation_cache

SUMMARY, FAILURES = "summary.json", "failed.jsonl"
# The end of the name that a file has until it is complete.
PART = re.compile(r"\.[0-9a-f]{32}\.part$")


class Worker:
    """What a worker's process keeps: one tracker, which takes one clip at a time.

    Attributes:
      tracker: with its networks.
      busy: held while it is at work; the threads of a process wait for each other, since one clip
        occupies all the cores that the process was given.
    """

    def __init__(self, tracker: Tracker):
        """Free."""
        self.tracker, self.busy = tracker, threading.Lock()


class TrackClips(beam.DoFn):
    """Clip's name -> Outcome; the results lie in the output folder before it is known."""

    def __init__(self, job: Job):
        """Remember what to do; ``setup`` loads the networks, once a process."""
        self._job, self._shared = job, Shared()
        self._worker: Worker | None = None

    def setup(self) -> None:
        """Load the networks, or take those that this process has."""
        self._worker = self._shared.acquire(self._load)

    def _load(self) -> Worker:
        use_compilation_cache()
        return Worker(load_tracker(self._job))

    def process(self, clip: str) -> Iterator[Outcome]:
        """Track a clip that has no results yet."""
        assert self._worker is not None
        targets = result_paths(self._job, clip)
        # The last one is written last.
        if FileSystems.exists(targets[-1]):
            yield Outcome(clip, BEFORE)
            return
        with tempfile.TemporaryDirectory(prefix="blazepose-") as place:
            try:
                source = at_hand(clip, Path(place))
                with self._worker.busy:
                    outcome = track_clip(self._worker.tracker, self._job, clip, source, Path(place))
                if outcome.warnings:
                    publish_text(f"{outcome.warnings}\n", warning_path(self._job, clip))
                if outcome.status != FAILED:
                    for suffix, target in zip(self._job.formats, targets, strict=True):
                        publish(Path(place) / f"result.{suffix}", target)
            # Whatever a clip does, it must not stop the others, now and at every restart.
            except Exception as error:
                outcome = Outcome(clip, FAILED, error=f"{type(error).__name__}: {error}")
        yield outcome


class Totals(beam.CombineFn):
    """Outcomes -> their sums, as ``summary.json`` has them."""

    def create_accumulator(self) -> dict[str, float]:
        """Nothing yet."""
        names = ("clips", "done", "before", "failed", "warned", "frames", "occupied")
        names += ("people", "seconds")
        return dict.fromkeys(names, 0)

    def add_input(
        self, mutable_accumulator: dict[str, float], element: Outcome
    ) -> dict[str, float]:
        """One clip more."""
        sums = mutable_accumulator
        sums["clips"] += 1
        sums[element.status] += 1
        sums["warned"] += bool(element.warnings)
        for name in ("frames", "occupied", "people", "seconds"):
            sums[name] += getattr(element, name)
        return sums

    def merge_accumulators(self, accumulators: Iterable[dict[str, float]]) -> dict[str, float]:
        """The sums of several."""
        total = self.create_accumulator()
        for sums in accumulators:
            total = {name: total[name] + sums[name] for name in total}
        return total

    def extract_output(self, accumulator: dict[str, float]) -> dict[str, float]:
        """The sums."""
        return accumulator


def run_pipeline(words: Sequence[str], pattern: str, job: Job) -> None:
    """Build the pipeline, run it and wait for its end.

    Args:
      words: Beam's options.
      pattern: as for ``build``.
      job: what to do with each clip.

    Raises:
      RuntimeError: a worker stopped.
    """
    with beam.Pipeline(options=PipelineOptions(words)) as pipeline:
        build(pipeline, pattern, job)


def build(pipeline: beam.Pipeline, pattern: str, job: Job) -> None:
    """Add all stages to a pipeline.

    Args:
      pipeline: empty.
      pattern: of the clips' names; of a file system that Beam knows.
      job: what to do with each.
    """
    outcomes = (
        pipeline
        | "Pattern" >> beam.Create([pattern])
        | "Match" >> MatchAll(EmptyMatchTreatment.ALLOW)
        | "Name" >> beam.Map(lambda found: found.path)
        # A stage of its own, so that clips are spread over the workers, and one that is lost
        # repeats no more than its own.
        | "Shuffle" >> beam.Reshuffle()
        | "Track" >> beam.ParDo(TrackClips(job))
    )
    _ = (
        outcomes
        | "Sum" >> beam.CombineGlobally(Totals())
        | "Summary" >> beam.Map(write_summary, f"{job.output.rstrip('/')}/{SUMMARY}")
    )
    _ = (
        outcomes
        | "Failed" >> beam.Filter(lambda outcome: outcome.status == FAILED)
        | "List" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        | "Failures" >> beam.Map(write_failures, f"{job.output.rstrip('/')}/{FAILURES}")
    )


def write_summary(sums: dict[str, float], target: str) -> None:
    """The sums as JSON."""
    publish_text(json.dumps(sums, indent=2) + "\n", target)


def write_failures(outcomes: list[Outcome], target: str) -> None:
    """A line of JSON for each clip that failed: ``clip`` and ``error``."""
    lines = sorted(json.dumps({"clip": o.clip, "error": o.error}) for o in outcomes)
    publish_text("".join(f"{line}\n" for line in lines), target)


def check_file_system(path: str) -> None:
    """Refuse what this Beam cannot read or write.

    Raises:
      BlazePoseError: another file system.
    """
    try:
        FileSystems.get_filesystem(path)
    except ValueError as error:
        raise BlazePoseError(
            f"Beam cannot reach {path!r}: pip install 'apache-beam[gcp]' for gs://, [aws] for"
            " s3://, or give a path of this machine"
        ) from error


def unknown_options(words: Sequence[str]) -> list[str]:
    """Names that no option of this Beam has."""
    known = PipelineOptions([]).get_all_options()
    names = [word.lstrip("-").partition("=")[0] for word in words]
    return [name for name in names if name not in known]


def at_hand(clip: str, folder: Path) -> Path:
    """The clip on this machine; from elsewhere it is copied into the folder."""
    if FileSystems.get_scheme(clip) is None:
        return Path(clip)
    copy = folder / f"clip{Path(clip).suffix}"
    with (
        FileSystems.open(clip, compression_type=CompressionTypes.UNCOMPRESSED) as source,
        copy.open("wb") as out,
    ):
        shutil.copyfileobj(source, out)
    return copy


def publish(path: Path, target: str) -> None:
    """Give a complete file its place, on any file system; nobody sees half of it."""
    with path.open("rb") as source:
        _write(source, target)


def publish_text(text: str, target: str) -> None:
    """``publish`` for a text."""
    with tempfile.TemporaryFile() as source:
        source.write(text.encode())
        source.seek(0)
        _write(source, target)


def _write(source: Any, target: str) -> None:
    folder, part = target.rpartition("/")[0], f"{target}.{uuid.uuid4().hex}.part"
    if not FileSystems.exists(folder):
        # Another worker may have made it; else the next lines say what is wrong.
        with contextlib.suppress(OSError):
            FileSystems.mkdirs(folder)
    kind = CompressionTypes.UNCOMPRESSED
    with FileSystems.create(part, compression_type=kind) as out:
        shutil.copyfileobj(source, out)
    FileSystems.rename([part], [target])


def expected_results(pattern: str, job: Job) -> set[str]:
    """The last result of each clip that matches."""
    return {result_paths(job, clip.path)[-1] for clip in _matching(pattern)}


def present_results(job: Job) -> set[str]:
    """What lies in the output folder with the suffix of clips' last results."""
    return {found.path for found in _matching(f"{job.output.rstrip('/')}/**.{job.formats[-1]}")}


def present_targets(pattern: str, job: Job) -> list[str]:
    """What lies in the output folder under the names of the results to come."""
    output = job.output.rstrip("/")
    targets = {f"{output}/{name}" for name in (SUMMARY, FAILURES)}
    for clip in _matching(pattern):
        targets.update(result_paths(job, clip.path))
    return sorted(targets & {found.path for found in _matching(f"{output}/**")})


def _matching(pattern: str) -> list[Any]:
    return FileSystems.match([pattern])[0].metadata_list


def remove_parts(output: str) -> None:
    """Remove what killed workers have left; on a file system where nobody else writes there."""
    left = _matching(f"{output.rstrip('/')}/**.part")
    FileSystems.delete([found.path for found in left if PART.search(found.path)])
