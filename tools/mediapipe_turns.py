"""MediaPipe and this package taking turns on the same pictures, each in a process of its own."""

import contextlib
import dataclasses
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.bundle import task_bytes
from blazepose_jax.export.metadata import add_normalization
from blazepose_jax.weights import read_tflite_files

WORKER = Path(__file__).with_name("mediapipe_stills.py")
CHUNK = 20  # pictures


@dataclasses.dataclass(frozen=True)
class Answers:
    """What one of those compared answers on N pictures.

    Attributes:
      points: (33, 2) px in each picture; None where nobody is found.
      seconds: (N,) of the call.
      processor: (N,) seconds of all threads in the call.
    """

    points: list[np.ndarray | None]
    seconds: np.ndarray
    processor: np.ndarray


class Worker:
    """A process of mediapipe_stills.py; leaving the context ends it.

    Attributes:
      version: of what runs.
    """

    def __init__(self, python: Path, job: Mapping[str, Any]):
        """Start it, and wait until it has loaded."""
        with contextlib.ExitStack() as stack:
            self._said = stack.enter_context(
                tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
            )
            self._process = stack.enter_context(
                subprocess.Popen(
                    [str(python), str(WORKER), json.dumps(job)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._said,
                    encoding="utf-8",
                )
            )
            self.version = self._line()
            self._stack = stack.pop_all()

    def ask(self, paths: list[Path]) -> dict[str, list]:
        """Its answer on .npy pictures."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([str(path) for path in paths]) + "\n")
            self._process.stdin.flush()
        return json.loads(self._line())

    def _line(self) -> str:
        if line := self._process.stdout.readline():
            return line.strip()
        self._process.wait()
        self._said.seek(0)
        raise BlazePoseError(f"{WORKER.name} ended: {last_line(self._said.read())}")

    def __enter__(self) -> "Worker":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._stack.close()


def last_line(text: str) -> str:
    """The last line of what a process said."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it said nothing")


def in_turns(workers: Mapping[str, Worker], pictures: Iterable[np.ndarray]) -> dict[str, Answers]:
    """Show pictures to all, a chunk at a time, so that the load of the machine meets all alike.

    Who begins changes from chunk to chunk. The first picture is shown once more before, as
    programs are compiled then.

    Args:
      workers: by name.
      pictures: (H, W, 3) uint8 each; they are drawn once, and a chunk is kept at a time.

    Returns:
      The answers by name, in the order of the pictures.
    """
    names, found = list(workers), {name: [] for name in workers}
    pictures = iter(pictures)
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / f"{i:03d}.npy" for i in range(CHUNK)]
        for turn in itertools.count():
            chunk = list(itertools.islice(pictures, CHUNK))
            if not chunk:
                break
            for path, picture in zip(places, chunk, strict=False):
                np.save(path, picture)
            if turn == 0:
                for one in workers.values():
                    one.ask(places[:1])
            for i in range(len(names)):
                name = names[(turn + i) % len(names)]
                found[name].append(workers[name].ask(places[: len(chunk)]))
    return {name: _joined(parts) for name, parts in found.items()}


def _joined(parts: list[dict[str, list]]) -> Answers:
    points, seconds, processor = (
        [value for part in parts for value in part[field]]
        for field in ("points", "seconds", "processor")
    )
    return Answers(
        [None if one is None else np.array(one, np.float32) for one in points],
        np.array(seconds),
        np.array(processor),
    )


@contextlib.contextmanager
def started(jobs: Mapping[str, tuple[Path, Mapping[str, Any]]]) -> Iterator[dict[str, Worker]]:
    """Workers by name, of (python, job) by name."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Worker(*job)) for name, job in jobs.items()}


def google_task(weights: str) -> bytes:
    """Google's own .tflite files of a weights directory, bundled for MediaPipe."""
    files = read_tflite_files(weights)
    return task_bytes(
        add_normalization(files["detector"].data, 127.5, 127.5),
        add_normalization(files["pose"].data, 0.0, 255.0),
    )


def export_task(weights: str, path: Path) -> None:
    """Write our .task of the same weights, which answers with the heatmaps' points.

    Raises:
      BlazePoseError: the export failed.
    """
    # A process of its own, which gives the memory back.
    command = ["-m", "blazepose_jax.cli", "export", "--weights", weights, "--decode", "heatmap"]
    done = subprocess.run(
        [sys.executable, *command, "--output", str(path)], capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise BlazePoseError(f"the export of {weights} failed: {last_line(done.stderr)}")
