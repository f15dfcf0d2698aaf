"""Rows of ``benchmark.py``, and what has become slower between two of its runs."""

import dataclasses
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

MAX_GROWTH = 1.1  # of a ratio


@dataclasses.dataclass(frozen=True)
class Row:
    """A time, and another of the same run: machines differ, and are shared.

    Attributes:
      name: of what took the time.
      ms: milliseconds.
      beside: what it is compared with.
      beside_ms: milliseconds of that.
    """

    name: str
    ms: float
    beside: str
    beside_ms: float

    @property
    def ratio(self) -> float:
        """Small is fast."""
        return self.ms / self.beside_ms


def regressions(rows: list[Row], before: list[dict[str, Any]]) -> list[str]:
    """What became more than a tenth slower than it was, by its ratio to another time of its run.

    Args:
      rows: of this run.
      before: of another, as JSON has them.

    Returns:
      A line for each.
    """
    old = {row["name"]: row["ms"] / row["beside_ms"] for row in before}
    found = []
    for row in rows:
        if row.name in old and row.ratio > MAX_GROWTH * old[row.name]:
            found.append(
                f"{row.name}: {row.ratio:.2f} times {row.beside}, {old[row.name]:.2f} before"
            )
    return found


def facts() -> dict[str, Any]:
    """The machine, versions and commit."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    versions = {name: metadata.version(name) for name in ("jax", "flax", "ai-edge-litert")}
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {jax.default_backend()}"
    return {"machine": machine, "versions": versions, "commit": commit}
