"""An experiment comes in; checkpoints, metrics and a weights directory leave: the loop."""

import dataclasses
import json
import math
import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np

from blazepose_jax.data.readers import open_readers
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import write_text, written
from blazepose_jax.io.interrupts import interruptible
from blazepose_jax.models import spec_of
from blazepose_jax.training.checkpoints import Checkpoints
from blazepose_jax.training.config import Config, load_experiment, override
from blazepose_jax.training.log import MetricLog
from blazepose_jax.training.report import write_report
from blazepose_jax.training.step import TrainState
from blazepose_jax.training.trainer import Trainer


def run(args: Namespace) -> None:
    """``blazepose train``."""
    config = override(load_experiment(args.experiment), args.overrides)
    join(args.coordinator, args.processes, args.process)
    train(config, Path(args.workdir), init=args.init)


def train(config: Config, workdir: Path, *, init: str | None = None) -> TrainState:
    """Train until the last step; go on where the workdir's last run stopped.

    Args:
      config: the experiment.
      workdir: for checkpoints, metrics, curves and, at the end, weights.
      init: weights directory to start from.

    Returns:
      The last state.

    Raises:
      BlazePoseError: bad data or config, a workdir in use, a loss that is not finite.
    """
    for source in (init, config.teacher.weights):
        if source and os.path.realpath(source) == os.path.realpath(workdir / "weights"):
            raise BlazePoseError(
                f"{source!r} is where this run writes its own weights: name another --workdir"
            )
    workdir.mkdir(parents=True, exist_ok=True)
    leads = jax.process_index() == 0
    with ExitStack() as stack:
        stack.enter_context(locked(workdir) if leads else nullcontext())
        interrupted = stack.enter_context(interruptible())
        learn, held_out = open_readers(config.data, spec_of(config.model.name).kind)
        checkpoints = Checkpoints(workdir / "checkpoints")
        stack.callback(checkpoints.close)
        trainer = Trainer(config, learn, held_out)
        state = trainer.fresh_state(None if checkpoints.steps() else init)
        first, state, position = checkpoints.restore(state) or (0, state, None)
        if position:
            learn.restore(position)
        o = config.optimizer
        log = MetricLog(workdir, first, o.steps, o.batch_size, config.log_every, silent=not leads)
        stack.callback(log.close)
        if leads:
            write_text(
                workdir / "config.json", json.dumps(dataclasses.asdict(config), indent=2) + "\n"
            )
            print(
                f"{config.model.name}: {len(learn)} records to learn from, {len(held_out)} held"
                f" out, steps {first} to {o.steps}, {jax.device_count()} {jax.default_backend()}"
                " device(s)",
                flush=True,
            )
            if (
                trainer.task.skeleton is not None
                and not trainer.task.skeleton.mirrors
                and config.augment.flip
            ):
                print(trainer.task.skeleton.describe_sides(), flush=True)
        # Steps are dispatched one ahead: the metrics of the step before are read while this one
        # runs.
        before: tuple[int, Any, Any] | None = None
        for step in range(first, o.steps):
            batch = trainer.batch(step)
            state, metrics = trainer.step(state, batch, step)
            if before is not None:
                log.step(*check_finite(*before, state, workdir))
            before, stop = (step + 1, batch, metrics), agreed(interrupted())
            if stop or (step + 1) % config.checkpoint_every == 0 or step + 1 == o.steps:
                log.step(*check_finite(*before, state, workdir))
                before = None
                checkpoints.save(
                    step + 1, state, learn.position() if hasattr(learn, "position") else None
                )
                if stop:
                    if leads:
                        print(
                            f"interrupted: step {step + 1} is saved; the same command goes on from"
                            " there"
                        )
                    return state
            if (step + 1) % config.validate_every == 0 or step + 1 == o.steps:
                if before is not None:
                    log.step(*check_finite(*before, state, workdir))
                    before = None
                if len(held_out):
                    log.validation(step + 1, trainer.validate(state))
        if leads:
            trainer.export(state, workdir / "weights")
            write_report(workdir)
            print(f"wrote {workdir / 'weights'} and {workdir / 'report.html'}")
        return state


def join(coordinator: str | None, processes: int, process: int) -> None:
    """Become one of several processes that train together; alone there is nothing to do.

    Raises:
      BlazePoseError: numbers that do not fit together, or nobody answers.
    """
    if processes == 1 and coordinator is None:
        return
    if coordinator is None or not 0 <= process < processes:
        raise BlazePoseError(
            f"--coordinator {coordinator} --processes {processes} --process {process}: several "
            "processes need a coordinator's HOST:PORT, and numbers from 0 below --processes"
        )
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        raise BlazePoseError(
            f"process {process} could not join {coordinator} ({str(error).splitlines()[0]}): start "
            f"all {processes} processes with the same address"
        ) from error


def agreed(stop: bool) -> bool:
    """Whether any process was interrupted; all of them must stop after the same step."""
    if jax.process_count() == 1:
        return stop
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array(stop)).any())


def check_finite(
    step: int, batch: Any, metrics: Any, state: TrainState, workdir: Path
) -> tuple[int, dict[str, float]]:
    """Fetch the metrics of a step.

    Args:
      step: its number, from 1.
      batch: what it learned from.
      metrics: of the step.
      state: of any later step; after one that is not finite it is still the one before it.
      workdir: gets ``failure-STEP/`` with state.npz, batch.npz and batch.json.

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
    write_text(
        folder / f"{name}.json",
        json.dumps(
            {
                "step": step,
                "ids": np.asarray(batch.ids).tolist(),
                **{k: str(v) for k, v in values.items()},
            },
            indent=2,
        )
        + "\n",
    )
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
