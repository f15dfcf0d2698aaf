"""What more keypoints cost: a pose net with 33, 133 and 500 points.

    .venv/bin/python tools/keypoint_cost.py [--model full] [--counts 33,133,500] [--rounds 9]

Each net is drawn at random, exported and run by LiteRT on two threads, once with the regression
alone and once with heatmaps too. Nets take turns; ratios are to the first, of the same round.
"""

import argparse
import sys

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.cli.main import Parser
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.convert import to_native_tflite
from blazepose_jax.inference.litert import open_interpreter
from blazepose_jax.inference.timing import median_ms
from blazepose_jax.models import LayerConfig, create_model
from blazepose_jax.models.summary import conv_calls, count_macs, count_parameters
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.weights import StoredNetwork

HEADS = {"regression": (), "regression and heatmaps": ("heatmap",)}
THREADS = 2


def run(words: list[str]) -> None:
    """Build, time, print.

    Raises:
      BlazePoseError: an unknown model.
    """
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="full")
    parser.add_argument("--counts", default="33,133,500")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args(words)
    counts = [int(word) for word in args.counts.split(",")]
    for kind, heads in HEADS.items():
        nets = [drawn_net(args.model, count, heads) for count in counts]
        calls = [runner(net) for net in nets]
        rounds = np.array([[median_ms(call, 20) for call in calls] for _ in range(args.rounds)])
        ratios = rounds / rounds[:, :1]
        for i, (count, net) in enumerate(zip(counts, nets, strict=True)):
            model = create_model(args.model, LayerConfig("folded"), **net.arguments)
            layers = conv_calls(model, 256)
            low, middle, high = np.percentile(ratios[:, i], [0, 50, 100])
            print(
                f"{args.model}, {kind}, {count} points: {count_parameters(layers):,} parameters,"
                f" {count_macs(layers) / 1e6:.0f} M multiply-adds,"
                f" {np.median(rounds[:, i]):.2f} ms, ratio {middle:.2f} ({low:.2f} to {high:.2f})"
            )


def drawn_net(name: str, count: int, heads: tuple[str, ...]) -> StoredNetwork:
    """A net of so many points, whose weights are random."""
    names = tuple(f"point_{i}" for i in range(count))
    skeleton = Skeleton("many", names, (), names[:1], names[1:2])
    rows = count + len(skeleton.auxiliary)
    arguments = {"keypoints": rows, "heads": heads}
    model = create_model(name, LayerConfig("folded"), **arguments)
    image = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.normal(0, 0.05, leaf.shape).astype(np.float32), shapes
    )
    return StoredNetwork(name, "folded", variables, arguments, "drawn", "none", skeleton)


def runner(net: StoredNetwork):
    """A call of the exported net on noise."""
    interpreter = open_interpreter(to_native_tflite(net), net.model, THREADS)
    place = interpreter.get_input_details()[0]
    rng = np.random.default_rng(0)
    interpreter.set_tensor(place["index"], rng.uniform(size=place["shape"]).astype(np.float32))
    return interpreter.invoke


if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except BlazePoseError as error:
        sys.exit(f"keypoint_cost: {error}")
