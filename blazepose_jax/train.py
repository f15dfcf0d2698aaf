"""An experiment comes in; checkpoints, metrics and a weights directory leave: the loop."""

import dataclasses
import fcntl
import json
import math
import signal
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from blazepose_jax import objectives, training
from blazepose_jax.configs import Config, load_experiment, override
from blazepose_jax.curves import write_report
from blazepose_jax.data.records import Resident, read_records
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import Form, create_model
from blazepose_jax.results import write_text
from blazepose_jax.structs import PoseBatch
from blazepose_jax.training import TrainState
from blazepose_jax.weights import read_stored, save_weights
from blazepose_jax.weights.checkpoints import Checkpoints
from blazepose_jax.weights.directory import StoredNetwork


def run(args: Namespace) -> None:
    """``blazepose train``."""
    config = override(load_experiment(args.experiment), args.overrides)
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
    workdir.mkdir(parents=True, exist_ok=True)
    with locked(workdir), interruptible() as interrupted:
        records = read_records(config.data.records)
        learn, held_out = records.split(config.data.held_out)
        setup = Setup(config, learn, held_out)
        state = setup.fresh_state(init)
        checkpoints = Checkpoints(workdir / "checkpoints")
        first, state = checkpoints.restore(state) or (0, state)
        write_text(workdir / "config.json", json.dumps(dataclasses.asdict(config), indent=2) + "\n")
        log = MetricLog(workdir / "metrics.jsonl", first, config.optimizer.steps)
        print(f"{config.model.name}: {len(learn)} people to learn from, {len(held_out)} held out, "
              f"steps {first} to {config.optimizer.steps}, {jax.device_count()} {jax.default_backend()} device(s)")
        # Steps are dispatched one ahead: the metrics of the step before are read while this one runs.
        before: tuple[int, PoseBatch, Any] | None = None
        for step in range(first, config.optimizer.steps):
            batch = learn.batch(step, config.optimizer.batch_size, config.seed)
            state, metrics = setup.step(state, batch)
            if before is not None:
                log.step(*check_finite(*before, state, workdir), config)
            before = (step + 1, batch, metrics)
            due = (step + 1) % config.checkpoint_every == 0 or step + 1 == config.optimizer.steps
            if due or interrupted():
                log.step(*check_finite(*before, state, workdir), config)
                before = None
                checkpoints.save(step + 1, state)
                if interrupted():
                    print(f"interrupted: step {step + 1} is saved; the same command goes on from there")
                    return state
            if (step + 1) % config.validate_every == 0 or step + 1 == config.optimizer.steps:
                log.validation(step + 1, setup.validate(state))
        checkpoints.close()
        setup.export(state, workdir / "weights")
        write_report(workdir)
        print(f"wrote {workdir / 'weights'} and {workdir / 'report.html'}")
        return state


class Setup:
    """The network, its jitted steps and their shardings."""

    def __init__(self, config: Config, learn: Resident, held_out: Resident):
        """Build everything that a step closes over."""
        self.config, self.skeleton, self.held_out = config, learn.skeleton, held_out
        model = config.model
        self.arguments = {"keypoints": len(self.skeleton.keypoints) + len(self.skeleton.auxiliary), "side": model.side,
                          "fields": model.fields, "heads": model.heads}
        form = Form(dtype=jnp.bfloat16 if model.bfloat16 else jnp.float32)
        self.model = create_model(model.name, form, **self.arguments)
        o = config.optimizer
        self.optimizer = training.make_optimizer(o.learning_rate, o.steps, warmup=o.warmup,
                                                 weight_decay=o.weight_decay, clip=o.clip)
        mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
        self.replicated = NamedSharding(mesh, PartitionSpec())
        self.split = NamedSharding(mesh, PartitionSpec("data"))
        if o.batch_size % jax.device_count():
            raise BlazePoseError(f"optimizer.batch_size is {o.batch_size}: it must be a multiple of the "
                                 f"{jax.device_count()} devices")
        known = {"skeleton": self.skeleton, "fields": model.fields, "side": model.side}
        objective = partial(objectives.pose_objective, self._apply_in_training, augmentation=config.augment,
                            weights=config.loss, **known)
        step = partial(training.train_step, objective=objective, optimizer=self.optimizer, ema_decay=o.ema_decay)
        self._step = jax.jit(step, donate_argnums=0, in_shardings=(self.replicated, self.split, self.replicated),
                             out_shardings=self.replicated)
        self._hits = jax.jit(partial(objectives.pose_hits, self._apply, **known))
        self.key = jax.device_put(jax.random.key(config.seed), self.replicated)

    def _apply_in_training(self, variables: Any, images: jax.Array) -> tuple[Any, Any]:
        outputs, updated = self.model.apply(variables, images, train=True, mutable=["batch_stats"])
        return outputs, updated["batch_stats"]

    def _apply(self, variables: Any, images: jax.Array) -> Any:
        return self.model.apply(variables, images, train=False)

    def fresh_state(self, init: str | None) -> TrainState:
        """Step 0: random variables, or those of a weights directory; heads that differ start fresh, and are named."""
        images = jnp.zeros((1, self.config.model.side, self.config.model.side, 3))
        key = jax.random.key(self.config.seed, impl="rbg")  # compiles several times faster than threefry
        variables = dict(jax.jit(lambda k: self.model.init(k, images, train=False))(key))
        if init is not None:
            variables = take_over(variables, read_stored(init)["pose"], self.config.model.name)
        return jax.device_put(training.create_train_state(variables, self.optimizer), self.replicated)

    def step(self, state: TrainState, batch: PoseBatch) -> tuple[TrainState, dict[str, jax.Array]]:
        """One training step on every device."""
        return self._step(state, jax.device_put(batch, self.split), self.key)

    def validate(self, state: TrainState) -> dict[str, float]:
        """PCK of the averaged parameters on the held-out people, regression decode, true ROI."""
        hits, total = {"pck@0.2": 0.0, "pck@0.1": 0.0}, 0.0
        size = self.config.optimizer.batch_size
        for start in range(0, len(self.held_out), size):
            rows = np.arange(start, start + size)
            batch = self.held_out.take(np.minimum(rows, len(self.held_out) - 1))
            batch = batch.replace(weight=(rows < len(self.held_out)).astype(np.float32))
            found, count = jax.device_get(self._hits(state.ema, jax.device_put(batch, self.split)))
            hits = {name: value + float(found[name]) for name, value in hits.items()}
            total += float(count)
        return {name: 100 * value / max(total, 1.0) for name, value in hits.items()}

    def export(self, state: TrainState, directory: Path) -> None:
        """Write the averaged parameters as a weights directory."""
        variables = jax.device_get(state.ema)
        records = Path(self.config.data.records).name
        save_weights(directory, {"pose": StoredNetwork(
            self.config.model.name, "batch", variables, self.arguments,
            f"trained by blazepose_jax on {records}, step {int(state.step)}", "that of its training data",
            self.skeleton)})


def take_over(fresh: dict[str, Any], stored: StoredNetwork, name: str) -> dict[str, Any]:
    """Copy every tensor of a weights directory that fits, and say which do not.

    Raises:
      BlazePoseError: weights of another network, or folded ones.
    """
    if stored.model != name:
        raise BlazePoseError(f"the weights are of {stored.model!r}, the experiment trains {name!r}: "
                             "name another --init")
    if stored.form != "batch":
        raise BlazePoseError("the weights have batch normalisation folded in, as imported files do: start from weights "
                             "that blazepose train wrote")
    new = []

    def pick(path: Any, leaf: Any) -> Any:
        node: Any = stored.variables
        for part in path:
            node = node.get(part.key) if isinstance(node, dict) else None
        if node is None or node.shape != leaf.shape:
            new.append("/".join(part.key for part in path))
            return leaf
        return jnp.asarray(node)

    variables = jax.tree_util.tree_map_with_path(pick, fresh)
    print(f"took over all but {len(new)} tensors" + (f", fresh: {', '.join(sorted(new))}" if new else ""))
    return variables


def check_finite(step: int, batch: PoseBatch, metrics: Any, state: TrainState,
                 workdir: Path) -> tuple[int, dict[str, float]]:
    """Fetch the metrics of a step.

    Raises:
      BlazePoseError: the loss is not finite; the records' ids and the state are saved first, and no checkpoint is.
    """
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    if math.isfinite(values["loss"]):
        return step, values
    folder = workdir / f"failure-{step}"
    folder.mkdir(exist_ok=True)
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get({"params": state.params, "stats": state.batch_stats}))
    np.savez(folder / "state.npz", **{jax.tree_util.keystr(path): leaf for path, leaf in leaves})
    write_text(folder / "batch.json", json.dumps({"step": step, "ids": np.asarray(batch.ids).tolist(), **{
        k: str(v) for k, v in values.items()}}, indent=2) + "\n")
    raise BlazePoseError(f"the loss of step {step} is {values['loss']}: the state and the records' ids are in "
                         f"{folder}; lower optimizer.learning_rate, or look at these records")


class MetricLog:
    """Metrics as JSON lines and as lines for people."""

    def __init__(self, path: Path, first: int, steps: int):
        """Go on after step ``first``: what an interrupted run wrote beyond it is dropped."""
        kept = []
        if path.is_file():
            kept = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= first]
        write_text(path, "".join(f"{line}\n" for line in kept))
        self._path, self._steps, self._sums, self._count = path, steps, {}, 0
        self._last = (first, time.perf_counter())

    def _write(self, row: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def step(self, step: int, metrics: dict[str, float], config: Config) -> None:
        """Add a step; every ``log_every`` steps their mean is written."""
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in metrics.items()}
        self._count += 1
        if step % config.log_every and step != self._steps:
            return
        means = {name: round(total / self._count, 5) for name, total in self._sums.items()}
        now = time.perf_counter()
        rate = (step - self._last[0]) * config.optimizer.batch_size / max(now - self._last[1], 1e-9)
        left = (self._steps - step) * config.optimizer.batch_size / max(rate, 1e-9)
        self._write({"step": step, "kind": "train", "images_per_second": round(rate, 2), **means})
        print(f"step {step} of {self._steps}: loss {means['loss']:.4f}, PCK@0.2 {means['pck@0.2']:.1f}, "
              f"{rate:.1f} images/s, {left / 60:.0f} min left", flush=True)
        self._sums, self._count, self._last = {}, 0, (step, now)

    def validation(self, step: int, metrics: dict[str, float]) -> None:
        """Add a validation."""
        self._write({"step": step, "kind": "validation", **{k: round(v, 3) for k, v in metrics.items()}})
        print(f"step {step}: held-out PCK@0.2 {metrics['pck@0.2']:.1f}, PCK@0.1 {metrics['pck@0.1']:.1f}", flush=True)
        self._last = (step, time.perf_counter())


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold the workdir; the lock dies with the process.

    Raises:
      BlazePoseError: another run holds it.
    """
    with (workdir / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BlazePoseError(f"workdir {str(workdir)!r} is in use by another run: wait for it, or name another") \
                from error
        yield


@contextmanager
def interruptible() -> Iterator[Any]:
    """Turn the first Ctrl-C into a question that can be asked; the second one stops at once."""
    caught = []

    def note(number: int, frame: Any) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    old = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(caught)
    finally:
        signal.signal(signal.SIGINT, old)
