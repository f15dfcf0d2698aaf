"""What `make bench` measures: ratios within one run, on this machine.

    make bench

The networks have random parameters, which cost the same time; stage times need real weights.
"""

import argparse
import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.cli.demo.clip import read_photograph
from blazepose_jax.cli.options import locate
from blazepose_jax.data.records import write_records
from blazepose_jax.data.rendered import Rendered, RenderedScenes, rendered_rows
from blazepose_jax.data.resident import read_records
from blazepose_jax.data.streams import open_stream
from blazepose_jax.inference.timing import median_ms, stage_times
from blazepose_jax.models import FIELDS, MODELS, LayerConfig, create_model
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.training import (
    AugmentConfig,
    LossConfig,
    create_train_state,
    make_optimizer,
    pose_objective,
    train_step,
)
from blazepose_jax.training.detector_loss import detector_objective
from blazepose_jax.training.detector_targets import DetectorConfig

# A training step without arguments, and the MiB that it allocates.
Compiled = tuple[Callable[[], Any], float]
# In which the two forms of a training step take turns.
ROUNDS = 7


def network_times(name: str) -> dict[str, float]:
    """Inference of one image, ms, by lowering.

    Our CPU form, and grouped convolutions as XLA has them.
    """
    spec = MODELS[name]
    images = jnp.asarray(
        np.random.default_rng(0).uniform(0, 1, (1, spec.side, spec.side, 3)), jnp.float32
    )
    shapes = jax.eval_shape(
        lambda x: create_model(name, LayerConfig("folded", convolution="xla")).init(
            jax.random.key(0), x, train=False
        ),
        images,
    )
    variables = jax.tree.map(lambda s: jnp.full(s.shape, 0.01), shapes)
    times = {}
    for lowering in ("cpu", "xla"):
        model = create_model(name, LayerConfig("folded", convolution=lowering))
        run = jax.jit(lambda v, x, model=model: model.apply(v, x, train=False))
        times[lowering] = median_ms(lambda run=run: run(variables, images))
    return times


def pose_step(lowering: str, batch_size: int) -> Compiled:
    """A paper_full step at 256 px."""
    records = Rendered(batch_size, 320).take(np.arange(batch_size))
    objective = partial(
        pose_objective,
        skeleton=BLAZEPOSE,
        fields=FIELDS,
        side=256,
        augmentation=AugmentConfig(),
        weights=LossConfig(),
    )
    return compile_step("paper_full", LayerConfig(convolution=lowering), objective, records)


def detector_step(lowering: str, batch_size: int) -> Compiled:
    """A step of the released detector at 224 px, its normalisation frozen, as it is fine-tuned."""
    scenes = RenderedScenes(batch_size, 256).take(np.arange(batch_size))
    objective = partial(detector_objective, side=MODELS["detector"].side, config=DetectorConfig())
    return compile_step(
        "detector", LayerConfig(convolution=lowering, frozen=True), objective, scenes
    )


def compile_step(
    name: str, config: LayerConfig, objective: Callable[..., Any], records: Any
) -> Compiled:
    """A training step as a call without arguments, and its MiB.

    Args:
      name: of the network.
      config: how its layers are computed.
      objective: (apply, variables, batch, key) -> (loss, ...).
      records: a batch.

    Returns:
      The call, and what the step allocates beside its arguments and results.
    """
    spec, model = MODELS[name], create_model(name, config)
    optimizer = make_optimizer(1e-3, 100, warmup=0.1, weight_decay=0.01, clip=1.0)

    def apply(variables, pixels):
        outputs, updated = model.apply(
            variables, spec.normalise(pixels), train=True, mutable=["batch_stats"]
        )
        return outputs, updated.get("batch_stats", variables["batch_stats"])

    step = partial(
        train_step, objective=partial(objective, apply), optimizer=optimizer, ema_decay=0.9
    )
    images = jnp.zeros((1, spec.side, spec.side, 3))
    init = jax.jit(lambda key: model.init(key, images, train=False))
    state = create_train_state(dict(init(jax.random.key(0, impl="rbg"))), optimizer)
    compiled = jax.jit(step).lower(state, records, jax.random.key(0)).compile()
    memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
    return partial(compiled, state, records, jax.random.key(0)), memory


def print_training(title: str, make: Callable[[str, int], Compiled], batch_size: int) -> float:
    """Print a training step's speed and memory by lowering; each takes its turn in every round.

    Args:
      title: of the table.
      make: (lowering, batch size) -> step and MiB.
      batch_size: records a step.

    Returns:
      Milliseconds per image of our CPU form.
    """
    steps = {lowering: make(lowering, batch_size) for lowering in ("cpu", "xla")}
    rounds = [
        {name: median_ms(run, repeats=1) / batch_size for name, (run, _) in steps.items()}
        for _ in range(ROUNDS)
    ]
    medians = {name: float(np.median([row[name] for row in rounds])) for name in steps}
    print(f"\n| {title}, batch {batch_size} | ms per image | images/s | MiB |\n|---|---|---|---|")
    for name, label in (("cpu", "ours"), ("xla", "grouped nn.Conv")):
        ms, memory = medians[name], steps[name][1]
        print(f"| {label} | {ms:.0f} | {1e3 / ms:.1f} | {memory:.0f} |")
    ratio = np.median([row["xla"] / row["cpu"] for row in rounds])
    print(f"\nratio {ratio:.2f} (median of {ROUNDS} rounds)", flush=True)
    return medians["cpu"]


def data_times(count: int = 32) -> dict[str, float]:
    """Milliseconds per record of each source: resident, grain (JPEGs decoded by threads), rendered.

    320 or 256 px.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "records"
        write_records(
            rendered_rows(64, 320), BLAZEPOSE, path, size=320, source="rendered", dropped={}
        )
        resident, (stream, _) = read_records(path), open_stream(path, 0)
        stream.batch(0, count, 0)
        rendered = Rendered(1000, 256)
        return {
            name: median_ms(run, repeats=5) / count
            for name, run in (
                ("resident", lambda: resident.batch(1, count, 0).pixels),
                ("grain", lambda: stream.batch(0, count, 0).pixels),
                ("rendered", lambda: rendered.batch(0, count, 0)),
            )
        }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--weights",
        default="released-full",
        help="weights with Google's .tflite files (default: released-full)",
    )
    args = parser.parse_args()
    weights = locate(args.weights)
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, jax {jax.__version__},"
        f" {jax.default_backend()}\n"
    )
    print("| network | ms | ms, grouped convolutions | ratio |\n|---|---|---|---|")
    for name in MODELS:
        times = network_times(name)
        print(
            f"| {name} | {times['cpu']:.1f} | {times['xla']:.1f} |"
            f" {times['xla'] / times['cpu']:.1f} |"
        )
    print_training("detector training step, 224 px", detector_step, 16)
    pose_ms = print_training("paper_full training step, 256 px", pose_step, 8)
    print("\n| data | ms per record | times the paper_full step's speed |\n|---|---|---|")
    for name, ms in data_times().items():
        print(f"| {name} | {ms:.2f} | {pose_ms / ms:.1f} |")
    print("\n| stage | jax, ms | litert, ms |\n|---|---|---|")
    jax_ms, litert_ms = (
        stage_times(weights, read_photograph(), runtime) for runtime in ("jax", "litert")
    )
    for stage, value in jax_ms.items():
        print(f"| {stage} | {value:.2f} | {litert_ms[stage]:.2f} |")


if __name__ == "__main__":
    main()
