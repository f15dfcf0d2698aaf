"""``blazepose models``: the networks and their sizes."""

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from blazepose_jax.models import MODELS, LayerConfig, create_model
from blazepose_jax.models.summary import conv_calls, count_macs, count_parameters

# Networks that Google has released; the others are trained.
RELEASED = ("detector", "lite", "full", "heavy")


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: Namespace) -> None:
    """``blazepose models``."""
    rows = [describe(name) for name in MODELS]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'name':<15}{'input':>11}{'parameters':>13}{'MACs':>10}{'keypoints':>11}  weights")
    for row in rows:
        side = row["input"][0]
        macs = row["macs"] / 1e6
        print(
            f"{row['name']:<15}{f'{side}x{side}x3':>11}{row['parameters']:>13,}{macs:>8.0f} M"
            f"{row['keypoints']:>11}  {row['weights']}"
        )


def describe(name: str) -> dict[str, Any]:
    """Name, input, parameters, macs, keypoints and weights of a network, as plain data."""
    model = create_model(name, LayerConfig("folded", convolution="xla"))
    side = MODELS[name].side
    calls = conv_calls(model, side)
    return {
        "name": name,
        "input": [side, side, 3],
        "parameters": count_parameters(calls),
        "macs": count_macs(calls),
        "keypoints": getattr(model, "keypoints", 4),
        "weights": "fetch" if name in RELEASED else "train",
    }
