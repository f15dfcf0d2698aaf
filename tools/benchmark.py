"""What `make bench` measures: ratios within one run, on this machine.

    make bench

The networks have random parameters, which cost the same time; stage times need real weights, as `make demo` leaves.
"""

import argparse
import os
import platform
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.models import MODELS, Form, create_model
from blazepose_jax.timing import median_ms, stage_times


def network_times(name: str) -> dict[str, float]:
    """Inference of one image, ms, by lowering: our CPU form, and grouped convolutions as XLA has them."""
    spec = MODELS[name]
    images = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (1, spec.side, spec.side, 3)), jnp.float32)
    shapes = jax.eval_shape(
        lambda x: create_model(name, Form("folded", convolution="xla")).init(jax.random.key(0), x, train=False), images)
    variables = jax.tree.map(lambda s: jnp.full(s.shape, 0.01), shapes)
    times = {}
    for lowering in ("cpu", "xla"):
        model = create_model(name, Form("folded", convolution=lowering))
        run = jax.jit(lambda v, x, model=model: model.apply(v, x, train=False))
        times[lowering] = median_ms(lambda run=run: run(variables, images))
    return times


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("demo/weights"),
                        help="a weights directory with Google's .tflite files (default: what `make demo` left)")
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, {platform.machine()}, jax {jax.__version__}, {jax.default_backend()}\n")
    print("| network | ms | ms, grouped convolutions | ratio |\n|---|---|---|---|")
    for name in MODELS:
        times = network_times(name)
        print(f"| {name} | {times['cpu']:.1f} | {times['xla']:.1f} | {times['xla'] / times['cpu']:.1f} |")
    if args.weights.is_dir():
        from blazepose_jax.demo import read_photograph

        print("\n| stage | jax, ms | litert, ms |\n|---|---|---|")
        jax_ms, litert_ms = (stage_times(args.weights, read_photograph(), runtime) for runtime in ("jax", "litert"))
        for stage, value in jax_ms.items():
            print(f"| {stage} | {value:.2f} | {litert_ms[stage]:.2f} |")


if __name__ == "__main__":
    main()
