"""The weights on the way from those that a fine-tuning began with to those that it ended with.

    python tools/average_weights.py lite RUN/weights --share 0.65 --output weights/averaged

Half way is often better than either end on pictures unlike the training's (arXiv 2109.01903).
Choose the share on people whom no run has seen.
"""

import argparse
import dataclasses
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.cli.options import locate
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import FOLDED, create_model
from blazepose_jax.weights import StoredNetwork, read_stored, save_weights


def average(start: StoredNetwork, end: StoredNetwork, share: float) -> StoredNetwork:
    """A folded network whose variables lie between two.

    Args:
      start: what the run began with.
      end: what it ended with.
      share: of ``end``, from 0 to 1.

    Raises:
      BlazePoseError: networks of other architectures, or a share outside.
    """
    if not 0 <= share <= 1:
        raise BlazePoseError(f"--share is {share}: it must lie between 0 and 1")
    start, end = start.folded(), end.folded()
    shapes = [jax.tree.map(np.shape, net.variables) for net in (start, end)]
    # As modules: one of the two may state arguments that are its network's defaults.
    same = [
        (net.model, create_model(net.spec, FOLDED, **net.arguments), net.skeleton)
        for net in (start, end)
    ]
    if same[0] != same[1] or shapes[0] != shapes[1]:
        raise BlazePoseError(
            f"{start.model} and {end.model} differ in their variables or points: average a net"
            " with the one that its training began with"
        )
    variables = jax.tree.map(
        lambda a, b: (1 - share) * np.asarray(a, np.float32) + share * np.asarray(b, np.float32),
        start.variables,
        end.variables,
    )
    source = f"{share:g} of {end.source}; {1 - share:g} of {start.source}"
    return dataclasses.replace(end, variables=variables, tflite=None, source=source)


def main(argv: list[str] | None = None) -> None:
    """Average the pose nets, beside the start's detector; else the detectors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start")
    parser.add_argument("end")
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(argv)
    if args.output.exists():
        parser.error(f"--output {args.output} exists: name a new folder")
    start, end = (read_stored(locate(path)) for path in (args.start, args.end))
    shared = [kind for kind in ("pose", "detector") if kind in start and kind in end]
    if not shared:
        parser.error("one of the weights has a pose net alone, the other a detector alone")
    kind = shared[0]
    save_weights(args.output, {**start, kind: average(start[kind], end[kind], args.share)})


if __name__ == "__main__":
    main()
