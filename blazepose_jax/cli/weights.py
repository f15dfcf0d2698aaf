"""``blazepose weights``: weights by name, and whether they are on this machine."""

import json
import os
import shutil
from argparse import ArgumentParser, Namespace
from typing import Any

from blazepose_jax.cli.options import locate, names_help
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.cache import weights_cache
from blazepose_jax.io.temporary_names import hold
from blazepose_jax.weights.description import read_description
from blazepose_jax.weights.find import PACKAGED, place_of
from blazepose_jax.weights.names import ALIASES, NAMES, PROTOCOL, RELEASES, Release, release_of


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "action",
        nargs="?",
        default="list",
        choices=ACTIONS,
        help="list (default); fetch NAME, to the cache; remove NAME, from there",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help=names_help(NAMES))
    parser.add_argument("--json", action="store_true", help="of list: as JSON")


def run(args: Namespace) -> None:
    """``blazepose weights``."""
    if (args.action == "list") != (args.name is None):
        raise BlazePoseError(
            f"weights {args.action} takes {'no name' if args.name else 'a NAME'}: see blazepose"
            " weights --help"
        )
    ACTIONS[args.action](args)


def show(args: Namespace) -> None:
    """``blazepose weights [--json]``."""
    rows = [describe(release) for release in RELEASES.values()]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        short = f" ({row['alias']})" if row["alias"] else ""
        score = "" if row["score"] is None else f", score {row['score']}"
        print(f"{row['name']}{short}: {row['model']}, {row['bytes'] / 1e6:.1f} MB{score}")
        print(f"  licence {row['licence']}; trained on {row['trained_on']}")
        print(f"  {row['path'] or 'not here; fetched from ' + ' and '.join(row['packages'])}")
    print(f"score: {PROTOCOL}")


def describe(release: Release) -> dict[str, Any]:
    """What is known of weights, as plain data."""
    place = place_of(release.name)
    kinds, size = list(release.files), sum(file.size for file in release.files.values())
    if place is not None and place.parent == PACKAGED:
        kinds = list(read_description(place))
        size = sum(path.stat().st_size for path in place.glob("*.safetensors"))
    return {
        "name": release.name,
        "alias": next((short for short, name in ALIASES.items() if name == release.name), None),
        "model": release.model,
        "networks": kinds,
        "detector": release.detector,
        "licence": release.licence,
        "trained_on": release.trained_on,
        "bytes": size,
        "score": release.score,
        "protocol": None if release.score is None else PROTOCOL,
        "packages": [package.requirement for package in release.packages],
        "path": None if place is None else str(place),
    }


def fetch(args: Namespace) -> None:
    """``blazepose weights fetch NAME``."""
    release = release_of(args.name)
    print(f"{release.name} lies in {locate(release.name)}")


def remove(args: Namespace) -> None:
    """``blazepose weights remove NAME``, with what killed runs have left of it."""
    release, cache = release_of(args.name), weights_cache()
    if not release.files:
        raise BlazePoseError(f"{release.name} is part of the package: there is nothing to remove")
    found = [path for path in (cache / release.name,) if path.exists() or path.is_symlink()]
    found += cache.glob(f".{release.name}.*.part")
    if not found:
        raise BlazePoseError(
            f"{release.name} is not in the cache {cache}: blazepose weights lists what is"
        )
    for path in found:
        lock, busy = hold(path)
        if busy:
            print(f"left {path}, which another process is fetching")
            continue
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)
        if lock is not None:
            os.close(lock)
        print(f"removed {path}")


ACTIONS = {"list": show, "fetch": fetch, "remove": remove}
