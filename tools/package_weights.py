"""Weights of a run as those that ship with the package: folded, float16, with their card.

    python tools/package_weights.py RUN/weights --kind detector --name detector.lsp --card CARD.md

Writes blazepose_jax/weights/packaged/NAME. The name must stand in blazepose_jax/weights/names.py.
"""

import argparse
import dataclasses
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.weights import read_stored, save_weights
from blazepose_jax.weights.description import KINDS
from blazepose_jax.weights.find import PACKAGED
from blazepose_jax.weights.names import RELEASES

CARD = "card.md"
MOST = 16_000_000  # bytes of all that ships


def main(argv: list[str] | None = None) -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--kind", choices=KINDS, required=True)
    names = [name for name, release in RELEASES.items() if not release.files]
    parser.add_argument("--name", choices=names, required=True)
    parser.add_argument("--card", type=Path, required=True)
    args = parser.parse_args(argv)
    net = read_stored(args.weights)[args.kind].folded()
    release = RELEASES[args.name]
    half = jax.tree.map(lambda a: np.asarray(a, np.float16), net.variables)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(half)):
        raise SystemExit("a weight is beyond float16's range")
    kept = dataclasses.replace(
        net,
        variables=half,
        source=release.trained_on,
        licence=release.licence,
        changes=release.changes,
    )
    place, card = PACKAGED / args.name, args.card.read_bytes()  # which may lie in that place
    save_weights(place, {args.kind: kept})
    (place / CARD).write_bytes(card)
    for path in place.iterdir():
        path.chmod(0o644)  # a wheel keeps it, and safetensors are written for their owner alone
    total = sum(path.stat().st_size for path in PACKAGED.rglob("*.safetensors"))
    print(f"wrote {place}; all that ships has {total / 1e6:.1f} MB")
    if total > MOST:
        raise SystemExit(f"more than the {MOST / 1e6:.0f} MB that the package may have")


if __name__ == "__main__":
    main()
