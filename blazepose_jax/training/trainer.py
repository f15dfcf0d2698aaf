"""An experiment and its records come in.

A fresh state, the jitted step on all devices and the validation leave.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.models import LayerConfig, create_model, spec_of
from blazepose_jax.training import step as steps
from blazepose_jax.training.config import Config
from blazepose_jax.training.initialise import start_from
from blazepose_jax.training.step import TrainState
from blazepose_jax.training.tasks import DetectorTask, PoseTask
from blazepose_jax.weights import save_weights
from blazepose_jax.weights.directory import StoredNetwork

# LLVM's costly passes double the seconds to compile a step.
QUICK = {"xla_backend_optimization_level": 1, "xla_llvm_disable_expensive_passes": True}
UNFOLDED_ON = 2048  # inputs on which folded weights' statistics are measured


class Trainer:
    """The network, its jitted steps and their shardings."""

    def __init__(self, config: Config, learn: Any, held_out: Any):
        """Build everything that a step closes over."""
        self.config, self.learn, self.held_out = config, learn, held_out
        model, o = config.model, config.optimizer
        check_name(model.norm, ("batch", "frozen", "folded"), "model.norm")
        spec = spec_of(model.name)
        self.task = (
            PoseTask(config, learn) if spec.kind == "pose" else DetectorTask(config, spec.side)
        )
        self.side = model.side if spec.kind == "pose" else spec.side
        layers = LayerConfig(
            "folded" if model.norm == "folded" else "batch",
            jnp.bfloat16 if model.bfloat16 else jnp.float32,
            frozen=model.norm == "frozen",
            momentum=model.momentum,
        )
        self.model = create_model(model.name, layers, **self.task.arguments)
        self.optimizer = steps.make_optimizer(
            o.learning_rate,
            o.steps,
            warmup=o.warmup,
            clip=o.clip,
            weight_decay=o.weight_decay,
            rule=o.rule,
            groups=o.groups,
        )
        mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
        self.replicated = NamedSharding(mesh, PartitionSpec())
        self.split = NamedSharding(mesh, PartitionSpec("data"))
        if o.batch_size % jax.device_count():
            raise BlazePoseError(
                f"optimizer.batch_size is {o.batch_size}: it must be a multiple of the "
                f"{jax.device_count()} devices"
            )

        def step(state, batch, key, teacher, number):
            objective = self.task.objective(self._apply_in_training, teacher)
            new, metrics = steps.train_step(
                state,
                batch,
                key,
                objective=objective,
                optimizer=self.optimizer,
                ema_decay=o.ema_decay,
            )
            return steps.keep_if_sound(new, state, metrics, number), metrics

        same = self.replicated
        options = QUICK if config.quick_compile and jax.default_backend() == "cpu" else None
        self._step = jax.jit(
            step,
            donate_argnums=0,
            in_shardings=(same, self.split, same, same, same),
            out_shardings=same,
            compiler_options=options,
        )
        self._count = jax.jit(partial(self.task.count, self._apply), compiler_options=options)
        self._key = jax.jit(lambda: jax.random.key(config.seed), out_shardings=same)()
        self._taught = self._everywhere(self.task.teacher)

    def _apply_in_training(self, variables: Any, images: jax.Array) -> tuple[Any, Any]:
        outputs, updated = self.model.apply(variables, images, train=True, mutable=["batch_stats"])
        return outputs, updated.get("batch_stats", variables["batch_stats"])

    def _apply(self, variables: Any, images: jax.Array) -> Any:
        return self.model.apply(variables, images, train=False)

    def _everywhere(self, tree: Any) -> Any:
        if jax.process_count() == 1:
            return jax.device_put(tree, self.replicated)
        return jax.jit(lambda t: t, out_shardings=self.replicated)(jax.device_get(tree))

    def _shared_out(self, batch: Any) -> Any:
        """This process's rows of a batch become its part of the global arrays."""
        if jax.process_count() == 1:
            return jax.device_put(batch, self.split)
        return jax.tree.map(
            lambda a: jax.make_array_from_process_local_data(self.split, np.asarray(a)), batch
        )

    def fresh_state(self, init: str | None) -> TrainState:
        """Step 0: random variables, or those of a weights directory."""
        model = self.config.model
        images = jnp.zeros((1, self.side, self.side, 3))
        # compiles several times faster than threefry
        key = jax.random.key(self.config.seed, impl="rbg")
        variables = dict(jax.jit(lambda k: self.model.init(k, images, train=False))(key))
        if init is not None:
            variables = start_from(
                init, self.task.kind, variables, model.name, model.norm, self._inputs()
            )
        return self._everywhere(steps.create_train_state(variables, self.optimizer))

    def _inputs(self, size: int = 32) -> Iterator[jax.Array]:
        """Undisturbed inputs of the training data."""
        look = jax.jit(self.task.inputs)
        for step in range(max(1, min(UNFOLDED_ON, len(self.learn)) // size)):
            yield look(self.learn.batch(step, size, self.config.seed))

    def batch(self, step: int) -> Any:
        """This process's share of the step's records."""
        size, count = self.config.optimizer.batch_size, jax.process_count()
        rows = range(jax.process_index() * size // count, (jax.process_index() + 1) * size // count)
        return self.learn.batch(step, size, self.config.seed, rows=rows)

    def step(
        self, state: TrainState, batch: Any, number: int
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """One training step on every device; ``number`` of them were done before."""
        return self._step(state, self._shared_out(batch), self._key, self._taught, np.int32(number))

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
        """Write the averaged parameters as a weights directory."""
        norm = "folded" if self.config.model.norm == "folded" else "batch"
        variables = {name: tree for name, tree in jax.device_get(state.ema).items() if tree}
        save_weights(
            directory,
            {
                self.task.kind: StoredNetwork(
                    self.config.model.name,
                    norm,
                    variables,
                    self.task.arguments,
                    f"trained by blazepose_jax on {self.learn.name}, step {int(state.step)}",
                    "that of its training data",
                    self.task.skeleton,
                )
            },
        )
