"""The metrics' log: JSON lines, TensorBoard events and a progress bar."""

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from blazepose_jax.io.files import write_text
from blazepose_jax.io.json_files import read_json_lines


class MetricLog:
    """What a run tells people and programs.

    In a run of several processes only the first one tells.

    Attributes:
      validated: steps whose validations stand in the log.
    """

    def __init__(
        self,
        workdir: Path,
        first: int,
        steps: int,
        batch_size: int,
        every: int,
        *,
        silent: bool = False,
    ):
        """Go on after step ``first``: what an interrupted run wrote beyond it is dropped.

        Args:
          workdir: metrics.jsonl and tensorboard/ go here.
          first: steps done before.
          steps: of the whole run.
          batch_size: to count images.
          every: steps between two lines.
          silent: write and show nothing.
        """
        self._path, self._steps, self._size, self._every = (
            workdir / "metrics.jsonl",
            steps,
            batch_size,
            every,
        )
        self._sums, self._count, self._silent, self._bar, self._events = {}, 0, silent, None, None
        self._last = (first, time.perf_counter())
        self.validated: set[int] = set()
        if silent:
            return
        kept = []
        if self._path.is_file():
            kept = [row for row in read_json_lines(self._path) if 0 <= _step_of(row) <= first]
        self.validated = {_step_of(row) for row in kept if row.get("kind") == "validation"}
        write_text(self._path, "".join(f"{json.dumps(row)}\n" for row in kept))
        with contextlib.suppress(ImportError):
            from tensorboardX import SummaryWriter

            self._events: Any = SummaryWriter(
                str(workdir / "tensorboard"), purge_step=first + 1 if first else None
            )
        if sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                self._bar: Any = tqdm(
                    total=steps * batch_size,
                    initial=first * batch_size,
                    unit="images",
                    desc="train",
                )

    def _write(self, kind: str, step: int, metrics: dict[str, float]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "kind": kind, **metrics}) + "\n")
        if self._events is not None:
            for name, value in metrics.items():
                self._events.add_scalar(f"{kind}/{name}", value, step)

    def _say(self, line: str) -> None:
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)

    def step(self, step: int, metrics: dict[str, float]) -> None:
        """Add a step; every ``every`` steps their mean is written."""
        if self._silent:
            return
        if self._bar is not None:
            self._bar.update(self._size)
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in metrics.items()}
        self._count += 1
        if step % self._every and step != self._steps:
            return
        means = {name: round(total / self._count, 5) for name, total in self._sums.items()}
        now = time.perf_counter()
        rate = (step - self._last[0]) * self._size / max(now - self._last[1], 1e-9)
        left = (self._steps - step) * self._size / max(rate, 1e-9)
        self._write("train", step, {"images_per_second": round(rate, 2), **means})
        found = ", ".join(
            f"{name} {means[name]:.1f}" for name in ("pck@0.2", "recall") if name in means
        )
        self._say(
            f"step {step} of {self._steps}: loss {means['loss']:.4f}, {found}, {rate:.1f} images/s,"
            f" {left / 60:.0f} min left"
        )
        self._sums, self._count, self._last = {}, 0, (step, now)

    def validation(self, step: int, metrics: dict[str, float]) -> None:
        """Add a validation."""
        if self._silent:
            return
        self._write("validation", step, {k: round(v, 3) for k, v in metrics.items()})
        self._say(f"step {step}: held-out " + ", ".join(f"{k} {v:.1f}" for k, v in metrics.items()))
        self._last = (step, time.perf_counter())

    def close(self) -> None:
        """Finish the events and the bar."""
        for sink in (self._events, self._bar):
            if sink is not None:
                sink.close()


def _step_of(row: dict[str, Any]) -> int:
    """The step of a row; -1 where it has none."""
    step = row.get("step")
    return step if isinstance(step, int) else -1
