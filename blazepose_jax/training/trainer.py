"""The trainer: a network, its jitted step on all devices, its validation and its export."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from blazepose_jax.data.labels import Batch
from blazepose_jax.data.protocols import HeldOut, Reader
from blazepose_jax.models import create_model, spec_of
from blazepose_jax.structs import Variables
from blazepose_jax.training.config import Config
from blazepose_jax.training.experiments import NO_OWN_PARTS, OwnParts
from blazepose_jax.training.initialise import Start, start_from
from blazepose_jax.training.optimizer import make_optimizer, stop_frozen
from blazepose_jax.training.row_rates import scale_rows
from blazepose_jax.training.run_control import return_freed_memory
from blazepose_jax.training.step import (
    TrainState,
    check_batch_size,
    create_train_state,
    keep_if_sound,
    train_step,
)
from blazepose_jax.training.tasks import DetectorTask, PoseTask, Task, layer_config
from blazepose_jax.weights import StoredNetwork, save_weights

# LLVM's costly passes double the seconds to compile a step.
QUICK = {"xla_backend_optimization_level": 1, "xla_llvm_disable_expensive_passes": True}
# Inputs on which folded weights' statistics are measured.
UNFOLDED_ON = 2048


class Trainer:
    """The network, its jitted functions and their shardings."""

    _is_compiled = False  # the step

    def __init__(
        self,
        config: Config,
        learn: Reader,
        held_out: HeldOut,
        start: Start,
        own: OwnParts = NO_OWN_PARTS,
    ):
        """Build everything that a step closes over.

        Args:
          config: the experiment.
          learn: training data.
          held_out: validation data.
          start: what the run began with.
          own: networks and an objective that the experiment file brings.

        Raises:
          BlazePoseError: a batch that the devices cannot share, or a bad config.
        """
        self.config, self.learn, self.held_out, self.start = config, learn, held_out, start
        self.own, network = own, own.network(config.model.name)
        self.spec = spec_of(network)
        self.task: Task = (
            PoseTask(config, learn, start, own)
            if self.spec.kind == "pose"
            else DetectorTask(config, start, own)
        )
        self.model = create_model(network, layer_config(config.model), **self.task.arguments)
        o = config.optimizer
        self.optimizer = make_optimizer(
            o.learning_rate,
            o.steps,
            warmup=o.warmup,
            weight_decay=o.weight_decay,
            clip=o.clip,
            rule=o.rule,
            groups=o.groups,
        )
        if self.task.skeleton is not None:
            fresh = start.fresh_in(self.task.skeleton)
            if fresh.any():
                self.optimizer = optax.chain(self.optimizer, scale_rows(fresh, o.fresh_rows))
        check_batch_size(o.batch_size, jax.device_count(), o.accumulate)
        mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
        self.replicated = NamedSharding(mesh, PartitionSpec())
        self.split = NamedSharding(mesh, PartitionSpec("data"))
        same = self.replicated
        quick = config.quick_compile and jax.default_backend() == "cpu"
        options = QUICK if quick else None
        self._jitted_step = jax.jit(
            self._step,
            donate_argnums=0,
            in_shardings=(same, self.split, same, same, same),
            out_shardings=same,
            compiler_options=options,
        )
        self._count = jax.jit(partial(self.task.count, self._apply), compiler_options=options)
        self._key = jax.jit(lambda: jax.random.key(config.seed), out_shardings=same)()
        self._teacher = self._everywhere(self.task.teacher)

    def _step(self, state, batch, key, teacher, number):
        """``train_step``; a step that is not finite, and all after it, change nothing."""
        new, metrics = train_step(
            state,
            batch,
            key,
            objective=self.task.objective(self._apply_in_training, teacher),
            optimizer=self.optimizer,
            ema_decay=self.config.optimizer.ema_decay,
            accumulate=self.config.optimizer.accumulate,
        )
        return keep_if_sound(new, state, metrics, number), metrics

    def _apply_in_training(self, variables: Variables, pixels: jax.Array) -> tuple[Any, Any]:
        images = self.spec.normalise(pixels)
        learning = stop_frozen(variables["params"], self.config.optimizer.groups)
        variables = {**variables, "params": learning}
        outputs, updated = self.model.apply(variables, images, train=True, mutable=["batch_stats"])
        return outputs, updated.get("batch_stats", variables["batch_stats"])

    def _apply(self, variables: Variables, pixels: jax.Array) -> Any:
        return self.model.apply(variables, self.spec.normalise(pixels), train=False)

    def _everywhere(self, tree: Any) -> Any:
        if jax.process_count() == 1:
            return jax.device_put(tree, self.replicated)
        return jax.jit(lambda t: t, out_shardings=self.replicated)(jax.device_get(tree))

    def _as_global(self, batch: Batch) -> Batch:
        """This process's rows of a batch become its part of the global arrays."""
        if jax.process_count() == 1:
            return jax.device_put(batch, self.split)
        return jax.tree.map(
            lambda a: jax.make_array_from_process_local_data(self.split, np.asarray(a)), batch
        )

    def fresh_state(self, init: str | None) -> TrainState:
        """Step 0: random variables, or those of a weights directory."""
        model, side = self.config.model, self.task.side
        images = jnp.zeros((1, side, side, 3))
        # It compiles several times faster than threefry.
        key = jax.random.key(self.config.seed, impl="rbg")
        variables = dict(jax.jit(lambda k: self.model.init(k, images, train=False))(key))
        if init is not None:
            variables = start_from(
                init,
                self.task.kind,
                variables,
                model.name,
                model.norm,
                self._inputs(),
                skeleton=self.task.skeleton,
                fields=model.fields,
                side=side,
                experiment=self.own.file,
            )
            if jax.process_count() > 1:  # each may have unfolded on records of its own
                variables = multihost_utils.broadcast_one_to_all(variables)
        return self._everywhere(create_train_state(variables, self.optimizer))

    def _inputs(self, size: int = 32) -> Iterator[jax.Array]:
        """Undisturbed, normalised inputs of the training data."""
        look = jax.jit(lambda batch: self.spec.normalise(self.task.inputs(batch)))
        reader = self.learn.apart()
        for step in range(max(1, min(UNFOLDED_ON, len(self.learn)) // size)):
            yield look(reader.batch(step, size, self.config.seed))

    def batch(self, step: int) -> Batch:
        """This process's share of the step's records."""
        size, count = self.config.optimizer.batch_size, jax.process_count()
        rows = range(jax.process_index() * size // count, (jax.process_index() + 1) * size // count)
        return self.learn.batch(step, size, self.config.seed, rows=rows)

    def step(
        self, state: TrainState, batch: Batch, number: int
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """One training step on every device; ``number`` of them were done before."""
        given = state, self._as_global(batch), self._key, self._teacher, np.int32(number)
        if not self._is_compiled:
            # The call below finds what is compiled here.
            self._jitted_step.lower(*given).compile()
            return_freed_memory()
            self._is_compiled = True
        return self._jitted_step(*given)

    def validate(self, state: TrainState) -> dict[str, float]:
        """What the averaged parameters find on the held-out data, in percent."""
        total: dict[str, float] = {}
        size, ema = self.config.optimizer.batch_size, jax.device_get(state.ema)
        for start in range(0, len(self.held_out), size):
            rows = np.arange(start, start + size)
            batch = self.held_out.take(np.minimum(rows, len(self.held_out) - 1))
            batch = batch.replace(weight=(rows < len(self.held_out)).astype(np.float32))
            counts = jax.device_get(self._count(ema, batch))
            total = {name: total.get(name, 0.0) + float(value) for name, value in counts.items()}
        return self.task.rates(total)

    def export(self, state: TrainState, directory: Path) -> None:
        """Write the averaged parameters as a weights directory.

        The licence of the weights that the run began with stays theirs.
        """
        network = StoredNetwork(
            self.config.model.name,
            layer_config(self.config.model).norm,
            {name: tree for name, tree in jax.device_get(state.ema).items() if tree},
            self.task.arguments,
            f"trained by blazepose_jax on {self.learn.name}, step {int(state.step)}"
            + (f", from: {self.start.source}" if self.start.source else ""),
            f"{self.start.licence}, and that of its training data"
            if self.start.licence
            else "that of its training data",
            self.task.skeleton,
            own=self.own.networks.get(self.config.model.name),
        )
        save_weights(directory, {self.task.kind: network})
