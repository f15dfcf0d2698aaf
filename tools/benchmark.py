"""What `make bench` measures: ratios within one run, on this machine.

    make bench
    python tools/benchmark.py --json new.json --against old.json

The networks have random parameters, which cost the same time; stage times need real weights.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmark_rows import Row, facts, regressions

from blazepose_jax.cli.demo.clip import read_photograph
from blazepose_jax.cli.options import locate
from blazepose_jax.data.records import write_records
from blazepose_jax.data.rendered import Rendered, RenderedScenes, rendered_rows
from blazepose_jax.data.resident import read_records
from blazepose_jax.data.streams import open_stream
from blazepose_jax.inference import Settings
from blazepose_jax.inference.stream_engines import load_stream_engine
from blazepose_jax.inference.streams import Tracked, run_streams
from blazepose_jax.inference.timing import median_ms, stage_times
from blazepose_jax.io.media import Picture
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
STREAMS = (1, 4, 16)
YARDSTICK = "detector net"  # the stage that others of the other runtime are compared with


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


def print_training(title: str, make: Callable[[str, int], Compiled], batch_size: int) -> Row:
    """Print a training step's speed and memory by lowering; each takes its turn in every round.

    Args:
      title: of the table.
      make: (lowering, batch size) -> step and MiB.
      batch_size: records a step.

    Returns:
      Our CPU form beside grouped convolutions, per image.
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
    return Row(title, medians["cpu"], "grouped convolutions", medians["xla"])


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


def stream_times(weights: str, runtime: str) -> dict[int, float]:
    """{streams at a time: ms per frame}, 24 frames of a moving photograph each."""
    photograph = read_photograph()
    height, width, _ = photograph.shape
    shifts = [4 * abs(6 - i % 12) for i in range(24)]
    clip = [
        Picture(i, i / 30, photograph[shift : height - 24 + shift, shift : width - 24 + shift])
        for i, shift in enumerate(shifts)
    ]
    times = {}
    for count in STREAMS:
        engine = load_stream_engine(weights, None, Settings(world=False), runtime, count)
        for _ in range(2):  # the first compiles
            began = time.perf_counter()
            frames = sum(isinstance(e, Tracked) for e in run_streams(engine, [clip] * count))
            times[count] = 1e3 * (time.perf_counter() - began) / frames
    return times


def measure(weights: str) -> list[Row]:
    """Print the tables, and give what they say."""
    rows = []
    print("| network | ms | ms, grouped convolutions | ratio |\n|---|---|---|---|")
    for name in MODELS:
        times = network_times(name)
        rows.append(Row(name, times["cpu"], "grouped convolutions", times["xla"]))
        print(f"| {name} | {times['cpu']:.1f} | {times['xla']:.1f} | {1 / rows[-1].ratio:.1f} |")
    rows.append(print_training("detector training step, 224 px", detector_step, 16))
    rows.append(print_training("paper_full training step, 256 px", pose_step, 8))
    pose_ms = rows[-1].ms
    print("\n| data | ms per record | times the paper_full step's speed |\n|---|---|---|")
    for name, ms in data_times().items():
        rows.append(Row(f"data, {name}", ms, "the paper_full step", pose_ms))
        print(f"| {name} | {ms:.2f} | {pose_ms / ms:.1f} |")
    print("\n| stage | jax, ms | litert, ms |\n|---|---|---|")
    jax_ms, litert_ms = (
        stage_times(weights, read_photograph(), runtime) for runtime in ("jax", "litert")
    )
    for stage, value in jax_ms.items():
        rows.append(Row(f"stage, jax, {stage}", value, "LiteRT's detector", litert_ms[YARDSTICK]))
        rows.append(
            Row(f"stage, litert, {stage}", litert_ms[stage], "JAX's detector", jax_ms[YARDSTICK])
        )
        print(f"| {stage} | {value:.2f} | {litert_ms[stage]:.2f} |")
    print(f"\n| streams at a time | {' | '.join(map(str, STREAMS))} |\n|---|---|---|---|")
    for runtime in ("jax", "litert"):
        times = stream_times(weights, runtime)
        print(f"| {runtime}, frames/s | {' | '.join(f'{1e3 / t:.1f}' for t in times.values())} |")
        for count in STREAMS[1:]:
            rows.append(Row(f"{runtime}, {count} streams", times[count], "one", times[1]))
    return rows


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--weights",
        default="released-full",
        help="weights with Google's .tflite files (default: released-full)",
    )
    parser.add_argument("--json", metavar="FILE", help="write what was measured")
    parser.add_argument(
        "--against", metavar="FILE", help="say what is a tenth slower than in this --json of before"
    )
    args = parser.parse_args()
    before = [] if args.against is None else json.loads(Path(args.against).read_text())["rows"]
    weights = locate(args.weights)
    found = facts()
    print(f"{found['machine']}, {found['versions']}, commit {found['commit']}\n")
    rows = measure(weights)
    if args.json:
        text = json.dumps({**found, "rows": [asdict(row) for row in rows]}, indent=1)
        Path(args.json).write_text(text + "\n")
    slower = regressions(rows, before)
    if args.against:
        print("", f"slower than in {args.against}:", *(slower or ["nothing"]), sep="\n")
    return bool(slower)


if __name__ == "__main__":
    sys.exit(main())
