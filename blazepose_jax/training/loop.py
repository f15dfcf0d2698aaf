"""The training loop: an experiment to checkpoints, metrics and weights."""

import os
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path

import jax

from blazepose_jax.data.protocols import Reader, StreamingReader
from blazepose_jax.data.readers import open_readers
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.interrupts import interruptible
from blazepose_jax.models import spec_of
from blazepose_jax.training.best import Best
from blazepose_jax.training.checkpoints import Checkpoints
from blazepose_jax.training.config import Config, check_config
from blazepose_jax.training.experiments import NO_OWN_PARTS, OwnParts
from blazepose_jax.training.initialise import begin, write_start
from blazepose_jax.training.log import MetricLog
from blazepose_jax.training.processes import agreed, wait_for_all
from blazepose_jax.training.report import write_report
from blazepose_jax.training.resume import NAME as CONFIG
from blazepose_jax.training.resume import check_resumed, record
from blazepose_jax.training.run_control import check_finite, locked
from blazepose_jax.training.step import TrainState
from blazepose_jax.training.trainer import Trainer

LAST = "last"  # folder of the weights of the last step, where others are the best


def train(
    config: Config,
    workdir: Path,
    *,
    init: str | None = None,
    allow_changes: bool = False,
    own: OwnParts = NO_OWN_PARTS,
) -> TrainState:
    """Train until the last step; go on where the workdir's last run stopped.

    Args:
      config: the experiment.
      workdir: for checkpoints, metrics, curves and, at the end, weights.
      init: weights directory to start from.
      allow_changes: go on with another config than the workdir's run began with.
      own: networks and an objective that the experiment file brings.

    Returns:
      The last state.

    Raises:
      BlazePoseError: bad data or config, a workdir in use, a started run that is to go on as
        another one, a loss that is not finite.
    """
    check_config(config)
    check_sources((init, config.teacher.weights), workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    leads = jax.process_index() == 0
    with ExitStack() as stack:
        stack.enter_context(locked(workdir) if leads else nullcontext())
        interrupted = stack.enter_context(interruptible())
        spec = spec_of(own.network(config.model.name))
        checkpoints = Checkpoints(workdir / "checkpoints")
        stack.callback(checkpoints.close)
        done = max(checkpoints.steps(), default=0)
        check_weights(workdir, done)
        changes = check_resumed(workdir, config, done, init=init, allow_changes=allow_changes)
        learn, held_out = open_readers(config.data, spec.kind)
        start = begin(workdir, init, spec.kind, learn.skeleton, own.file)
        trainer = Trainer(config, learn, held_out, start, own)
        state = trainer.fresh_state(None if done else start.weights or None)
        if leads and init is not None:
            write_start(workdir, start)
        # Rendering and compiling take them apart; the next lines communicate.
        wait_for_all("set up")
        first, state, position = checkpoints.restore(state) or (0, state, None)
        if position and isinstance(learn, StreamingReader):
            learn.restore(position)
        o = config.optimizer
        log = MetricLog(workdir, first, o.steps, o.batch_size, config.log_every, silent=not leads)
        stack.callback(log.close)
        if leads:
            record(workdir, config, first, changes)
            announce(trainer, first)
        best = Best(workdir) if leads else None
        state, done = run_steps(trainer, state, first, checkpoints, log, workdir, interrupted, best)
        if best is not None:
            finish(trainer, state, done, best, workdir)
        return state


def finish(trainer: Trainer, state: TrainState, done: int, best: Best, workdir: Path) -> None:
    """Write the report, the last weights, and the weights where no validation has; or say how to
    go on.

    Of few held-out people the best validation is half chance: the last weights may be better.

    Args:
      trainer: the network and its data.
      state: after ``done`` steps.
      done: steps.
      best: the best validation.
      workdir: of the run.
    """
    if done < trainer.config.optimizer.steps:
        without = " without --init" if trainer.start.weights else ""
        print(f"interrupted: step {done} is saved; the same command{without} goes on from there")
        return
    if best.step is None:
        trainer.export(state, workdir / "weights")
    else:
        print(best.describe(done))
        if best.step != done:
            trainer.export(state, workdir / LAST)
            print(f"wrote those of step {done} to {workdir / LAST}")
    write_report(workdir)
    print(f"wrote {workdir / 'weights'} and {workdir / 'report.html'}")


def check_sources(sources: tuple[str | None, ...], workdir: Path) -> None:
    """Refuse weights that the run itself will write.

    Raises:
      BlazePoseError: one of them.
    """
    for source in sources:
        ours = {os.path.realpath(workdir / name) for name in ("weights", LAST)}
        if source and os.path.realpath(source) in ours:
            raise BlazePoseError(
                f"{source!r} is where this run writes its own weights: name another --workdir"
            )


def check_weights(workdir: Path, done: int) -> None:
    """Refuse to write over weights that this run has not made, or that it can't go on from.

    Raises:
      BlazePoseError: there are such.
    """
    names = [name for name in ("weights", LAST) if (workdir / name).exists()]
    if done or not names:
        return
    if not (workdir / CONFIG).is_file():
        raise BlazePoseError(
            f"{workdir / names[0]} exists and is of no run in {workdir}: name another --workdir"
        )
    # None: nobody was held out, and they are those of the last step.
    if (step := Best(workdir).step) != 0:
        of = "the last step" if step is None else f"step {step}"
        raise BlazePoseError(
            f"{workdir} holds the weights of {of} and no checkpoint to go on from: name a"
            f" new --workdir, or remove {workdir / names[0]} and best.json to begin again"
        )


def announce(trainer: Trainer, first: int) -> None:
    """Print what is about to be trained, on what."""
    config, skeleton = trainer.config, trainer.task.skeleton
    print(
        f"{config.model.name}: {len(trainer.learn)} records to learn from, "
        f"{len(trainer.held_out)} held out, steps {first} to {config.optimizer.steps}, "
        f"{jax.device_count()} {jax.default_backend()} device(s)",
        flush=True,
    )
    if not len(trainer.held_out) and config.data.held_out:
        print(
            "nobody is held out, so the last weights will be kept: there are too few records, or"
            " too few groups of pictures",
            flush=True,
        )
    if skeleton is not None and not skeleton.mirrors and config.augment.flip:
        print(skeleton.describe_sides(), flush=True)


def run_steps(
    trainer: Trainer,
    state: TrainState,
    first: int,
    checkpoints: Checkpoints,
    log: MetricLog,
    workdir: Path,
    interrupted: Callable[[], bool],
    best: Best | None,
) -> tuple[TrainState, int]:
    """Train from step ``first`` to the last one, or to an interruption.

    A step is dispatched before the metrics of the one before it are read, so that the device never
    waits. Before a state is saved or measured its own metrics are read, too: what is not finite
    must not be kept.

    Args:
      trainer: the network and its data.
      state: after ``first`` steps.
      first: steps done before.
      checkpoints: get the state at every ``checkpoint_every``, at the end and when interrupted.
      log: gets all metrics.
      workdir: gets what a step that is not finite leaves.
      interrupted: whether to stop.
      best: keeps the weights of the best validation; None where this process leads nothing.

    Returns:
      The last state, and the number of steps done.

    Raises:
      BlazePoseError: a loss that is not finite.
    """
    config, steps, pending = trainer.config, trainer.config.optimizer.steps, None
    # What a run that goes on was stopped before: the best weights are those of one that was not.
    owes = best is not None and first not in log.validated
    if agreed(owes and due(first, config) and (first > 0 or bool(trainer.start.weights))):
        validate(trainer, state, first, log, best, workdir)
    for step in range(first + 1, steps + 1):
        batch = trainer.batch(step - 1)
        state, metrics = trainer.step(state, batch, step - 1)
        if pending is not None:
            log.step(*check_finite(*pending, state, workdir))
        pending = (step, batch, metrics)
        stop = agreed(interrupted()) and step < steps
        saves = stop or step % config.checkpoint_every == 0 or step == steps
        validates = not stop and due(step, config)
        if saves or validates:
            log.step(*check_finite(*pending, state, workdir))
            pending = None
        if saves:
            checkpoints.save(step, state, position_of(trainer.learn))
        if stop:
            return state, step
        if validates:
            validate(trainer, state, step, log, best, workdir)
    return state, steps


def due(step: int, config: Config) -> bool:
    """Whether the state after a step is measured."""
    return step % config.validate_every == 0 or step == config.optimizer.steps


def validate(
    trainer: Trainer,
    state: TrainState,
    step: int,
    log: MetricLog,
    best: Best | None,
    workdir: Path,
) -> None:
    """Measure the averaged parameters on held-out data, and write them if they are the best.

    Args:
      trainer: the network and its data.
      state: after ``step`` steps.
      step: steps done.
      log: gets the rates.
      best: knows the best so far; None where this process leads nothing.
      workdir: gets the weights.
    """
    if not len(trainer.held_out):
        return
    rates = trainer.validate(state)
    log.validation(step, rates)
    score = trainer.task.score(rates)
    if best is not None and best.beaten(step, score):
        trainer.export(state, workdir / "weights")
        best.keep(step, score)


def position_of(reader: Reader) -> dict | None:
    """Where a reader that streams has got to; None where batches are functions of the step."""
    return reader.position() if isinstance(reader, StreamingReader) else None
