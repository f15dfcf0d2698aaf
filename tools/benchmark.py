"""What `make bench` measures: ratios within one run, on this machine.

    make bench

The networks have random parameters, which cost the same time; stage times need real weights.
"""

import argparse
import os
import platform
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.cli.demo.clip import read_photograph
from blazepose_jax.cli.options import locate
from blazepose_jax.data.records import write_records
from blazepose_jax.data.rendered import Rendered, rendered_rows
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


def training_times(batch_size: int = 8, rounds: int = 7) -> dict[str, np.ndarray]:
    """(rounds,) milliseconds per image of a paper_full step at 256 px.

    Our CPU form, and grouped convolutions as XLA has them, taking turns.
    """
    records = Rendered(batch_size, 320).take(np.arange(batch_size))
    steps = {}
    for lowering in ("cpu", "xla"):
        model = create_model("paper_full", LayerConfig(convolution=lowering))
        optimizer = make_optimizer(1e-3, 100, warmup=0.1, weight_decay=0.01, clip=1.0)

        def apply(variables, pixels, model=model):
            outputs, updated = model.apply(
                variables, pixels / 255, train=True, mutable=["batch_stats"]
            )
            return outputs, updated["batch_stats"]

        objective = partial(
            pose_objective,
            apply,
            skeleton=BLAZEPOSE,
            fields=FIELDS,
            side=256,
            augmentation=AugmentConfig(),
            weights=LossConfig(),
        )
        step = jax.jit(partial(train_step, objective=objective, optimizer=optimizer, ema_decay=0.9))
        init = jax.jit(
            lambda key, model=model: model.init(key, jnp.zeros((1, 256, 256, 3)), train=False)
        )
        state = create_train_state(dict(init(jax.random.key(0, impl="rbg"))), optimizer)
        steps[lowering] = partial(step, state, records, jax.random.key(0))
    found = [
        {name: median_ms(run, repeats=1) / batch_size for name, run in steps.items()}
        for _ in range(rounds)
    ]
    return {name: np.array([row[name] for row in found]) for name in steps}


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
    rounds = training_times()
    steps = {name: float(np.median(values)) for name, values in rounds.items()}
    print(
        "\n| paper_full training step, 256 px | ms per image | images/s |\n|---|---|---|\n| ours |"
        f" {steps['cpu']:.0f} | {1e3 / steps['cpu']:.1f} |\n| grouped nn.Conv | {steps['xla']:.0f}"
        f" | {1e3 / steps['xla']:.1f} |\n\nratio {np.median(rounds['xla'] / rounds['cpu']):.2f}"
        f" (median of {len(rounds['cpu'])} rounds)\n\n| data | ms per record | times the step's"
        " speed |\n|---|---|---|"
    )
    for name, ms in data_times().items():
        print(f"| {name} | {ms:.2f} | {steps['cpu'] / ms:.1f} |")
    print("\n| stage | jax, ms | litert, ms |\n|---|---|---|")
    jax_ms, litert_ms = (
        stage_times(weights, read_photograph(), runtime) for runtime in ("jax", "litert")
    )
    for stage, value in jax_ms.items():
        print(f"| {stage} | {value:.2f} | {litert_ms[stage]:.2f} |")


if __name__ == "__main__":
    main()
