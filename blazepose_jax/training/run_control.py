"""What a run shares with the world: its workdir's lock, and its failures."""

import ctypes
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from blazepose_jax.data.labels import Batch
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import write_text, written
from blazepose_jax.training.step import TrainState


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold the workdir; the lock dies with the process.

    Raises:
      BlazePoseError: another run holds it, or filelock is not installed.
    """
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise BlazePoseError(
            "training needs filelock: pip install 'blazepose_jax[train]'"
        ) from error
    lock = FileLock(workdir / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise BlazePoseError(
            f"workdir {str(workdir)!r} is in use by another run: wait for it, or name another"
        ) from error
    try:
        yield
    finally:
        lock.release()


def check_finite(
    step: int, batch: Batch, metrics: dict[str, jax.Array], state: TrainState, workdir: Path
) -> tuple[int, dict[str, float]]:
    """Fetch the metrics of a step.

    Args:
      step: its number, from 1.
      batch: what it learned from.
      metrics: of the step.
      state: of any later step; after one that is not finite it is still the one before it.
      workdir: gets ``failure-STEP/`` with state.npz, batch.npz and batch.json.

    Returns:
      The number, and the metrics.

    Raises:
      BlazePoseError: the loss or its gradient is not finite; no checkpoint is written.
    """
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    if math.isfinite(values["loss"]) and math.isfinite(values["gradient_norm"]):
        return step, values
    folder, process = workdir / f"failure-{step}", jax.process_index()
    folder.mkdir(exist_ok=True)
    if process == 0:
        save_leaves(folder / "state.npz", state)
    name = "batch" if jax.process_count() == 1 else f"batch-{process}"
    save_leaves(folder / f"{name}.npz", batch)
    described = {"step": step, "ids": np.asarray(batch.ids).tolist()}
    described |= {name: str(value) for name, value in values.items()}
    write_text(folder / f"{name}.json", json.dumps(described, indent=2) + "\n")
    what = "loss" if not math.isfinite(values["loss"]) else "gradient_norm"
    raise BlazePoseError(
        f"the {what} of step {step} is {values[what]}: the state before it and its batch, with the"
        f" pictures of your records, are in {folder}; lower optimizer.learning_rate, or look at"
        " these records"
    )


def save_leaves(path: Path, tree: Any) -> None:
    """Write a pytree as .npz, each array under its path in the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(tree))
    with written(path) as part:
        np.savez(part, **{jax.tree_util.keystr(place): leaf for place, leaf in leaves})


def return_freed_memory() -> None:
    """Give freed memory back to the system.

    Compiling a detector's step leaves 1 GB in glibc's heaps, free but held, to which the step's own
    memory would be added.
    """
    if sys.platform != "linux":
        return
    # Other C libraries have no such function, and hold back less.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
