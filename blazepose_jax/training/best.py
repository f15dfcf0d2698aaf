"""The best weights of a run, by what they find on held-out data."""

import json
from pathlib import Path

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import write_text
from blazepose_jax.io.json_files import read_json

NAME = "best.json"


class Best:
    """The best validation so far.

    A run that goes on knows of the validations before it.

    Attributes:
      step: of the best weights; None before the first validation.
      score: theirs.
      start: the score at step 0, or None where that was not measured.
    """

    def __init__(self, workdir: Path):
        """Read what an earlier command left.

        Args:
          workdir: of the run.

        Raises:
          BlazePoseError: a damaged best.json.
        """
        self._path = workdir / NAME
        self.step: int | None = None
        self.score, self.start = 0.0, None
        if not self._path.is_file():
            return
        try:
            found = read_json(self._path)
            self.step, self.score, self.start = found["step"], found["score"], found["start"]
        except (TypeError, KeyError) as error:
            raise BlazePoseError(
                f"{self._path} is damaged ({error}): remove it, and the next validation's weights "
                "are taken for the best"
            ) from error

    def beaten(self, step: int, score: float) -> bool:
        """Whether the weights of a step are better than all before.

        Args:
          step: steps done.
          score: of the validation; higher is better.
        """
        return self.step is None or step <= self.step or score > self.score

    def keep(self, step: int, score: float) -> None:
        """Write down that the weights of a step, which are written already, are the best."""
        self.start = score if step == 0 else self.start
        self.step, self.score = step, score
        described = {"step": step, "score": score, "start": self.start}
        write_text(self._path, json.dumps(described, indent=2) + "\n")

    def describe(self, last: int) -> str:
        """One line on which weights were kept after ``last`` steps."""
        if self.step == 0:
            return (
                f"no step found more on the held-out data than the weights it began with"
                f" ({self.score:.1f}): these are kept; label more people, or train longer"
            )
        start = "" if self.start is None else f", {self.start:.1f} at the start"
        return f"kept the weights of step {self.step} of {last}: {self.score:.1f}{start}"
