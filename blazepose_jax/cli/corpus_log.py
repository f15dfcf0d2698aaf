"""What is seen of a running Beam pipeline: how many clips are done, and why it stopped."""

import os
import tempfile
import threading
from pathlib import Path
from types import ModuleType

from blazepose_jax.cli.corpus_clip import Job
from blazepose_jax.cli.progress import LOG_SECONDS
from blazepose_jax.errors import BlazePoseError

LOG = "beam.log"


class BeamLog:
    """What Beam and its workers write to standard error; ``beam.log`` in the output folder holds it
    if the pipeline fails. Instead a line every ten seconds says how many clips have results.
    """

    def __init__(self, pattern: str, job: Job, pipeline: ModuleType, *, is_quiet: bool):
        """Nothing yet.

        Args:
          pattern: of the clips' names.
          job: with the folder of the results.
          pipeline: the module that knows Beam's file systems.
          is_quiet: on this machine alone; other runners say what their users are to see.
        """
        self._pattern, self._job, self._pipeline = pattern, job, pipeline
        self._is_quiet, self._over = is_quiet, threading.Event()

    def __enter__(self) -> None:
        """Take standard error, of this process and of those that it starts."""
        self._file = tempfile.NamedTemporaryFile(prefix="blazepose-")
        self._stderr = os.dup(2)
        if self._is_quiet:
            os.dup2(self._file.fileno(), 2)
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()

    def _watch(self) -> None:
        expected = self._pipeline.expected_results(self._pattern, self._job)
        while not self._over.wait(LOG_SECONDS):
            done = len(expected & self._pipeline.present_results(self._job))
            line = f"corpus: {done} of {len(expected)} clips have results\n"
            os.write(self._stderr, line.encode())

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Give it back.

        Raises:
          BlazePoseError: a worker stopped.
        """
        self._over.set()
        if self._is_quiet:
            self._watcher.join()
        os.dup2(self._stderr, 2)
        os.close(self._stderr)
        with self._file:
            # A RuntimeError is what Beam raises for whatever becomes of a worker.
            if not isinstance(error, RuntimeError):
                return
            self._file.seek(0, os.SEEK_END)
            self._file.write(f"\n{error}\n".encode())
            self._file.flush()
            target = f"{self._job.output.rstrip('/')}/{LOG}"
            self._pipeline.publish(Path(self._file.name), target)
        raise BlazePoseError(
            f"a worker stopped ({target} has Beam's report): what is done is kept, and the"
            " same command goes on"
        ) from error
