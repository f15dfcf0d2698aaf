"""MediaPipe and this package on the same photographs: the accuracy mode of compare_mediapipe.py.

Ours is the Tracker on stills, as apps call it: one person a picture, and nobody where presence
stays below 0.5, as in MediaPipe. ``blazepose evaluate --roi detector --search none`` differs: it
keeps poses of low presence.
"""

import dataclasses
import json
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mediapipe_counts import (
    MEDIAPIPE,
    TORSO,
    count,
    example,
    largest,
    photographs,
    shared_names,
    sum_up,
    table,
)
from mediapipe_skeletons import skeleton_sheet
from mediapipe_turns import Answers, export_task, google_task, in_turns, started
from person_free import CLEAR, CORNERS, RENDERED, choose_corners, rendered_backgrounds

from blazepose_jax.cli.options import locate
from blazepose_jax.cli.progress import progress
from blazepose_jax.data.annotations import Annotations, true_roi
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.evaluation.report import describe_torso
from blazepose_jax.inference.settings import SEARCHES
from blazepose_jax.io.draw import check_picture_name, save_image
from blazepose_jax.io.files import write_text
from blazepose_jax.io.images import read_image
from blazepose_jax.io.output_checks import check_outputs

NETS = ("released-full", "released-lite")
OUR_TASK = "MediaPipe, our .task"


def add_arguments(parser: ArgumentParser) -> None:
    """The options of this mode alone."""
    group = parser.add_argument_group("accuracy mode")
    group.add_argument("--data", metavar="DIR", help="annotated people, in COCO's format")
    group.add_argument("--images", metavar="DIR", help="where their pictures lie, if not there")
    group.add_argument("--limit", type=int, metavar="N", help="the first N people alone")
    group.add_argument(
        "--person-free",
        type=int,
        default=300,
        metavar="N",
        help="pictures of nobody (default: 300)",
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of the pictures of nobody")
    group.add_argument(
        "--threads", type=int, default=1, metavar="N", help="of LiteRT (default: 1, as MediaPipe)"
    )
    group.add_argument(
        "--pictures", metavar="FILE", help="the largest gains and losses, without pixels"
    )


def run(args: Namespace, python: Path) -> None:
    """Compare, write what is asked for, and print the table.

    Args:
      args: of compare_mediapipe.py.
      python: of MediaPipe's environment.

    Raises:
      BlazePoseError: bad input.
    """
    check(args)
    data = read_people(args.data, args.images, args.limit)
    nets = {Path(name).name: locate(name) for name in args.weights or NETS}
    if len(nets) < len(args.weights or NETS):
        raise BlazePoseError("two --weights end in the same name: compare them in two runs")
    check_outputs((args.json, args.pictures), (*nets.values(), *data.inputs))
    nobody = person_free(args)
    report, examples = describe(data, nobody, args), {}
    for name, weights in nets.items():
        found, report["mediapipe"] = ask_all(name, weights, python, data, nobody, args.threads)
        counts = {row: count(data, one, report["person_free"]) for row, one in found.items()}
        report["nets"][name] = sum_up(counts, found, report["photographs"])
        for title, chosen in largest(counts).items():
            examples[f"{name}: {title}"] = [example(data, i, counts, found) for i in chosen]
    # Before anything is printed: whoever reads it may hang up.
    if args.json:
        write_text(Path(args.json), json.dumps(report, indent=2) + "\n")
    if args.pictures:
        save_image(skeleton_sheet(examples), Path(args.pictures))
    print(table(report))


def check(args: Namespace) -> None:
    """Check values that argparse does not."""
    least = {"limit": 1, "person_free": 0, "seed": 0, "threads": 1}
    for name, bound in least.items():
        value = getattr(args, name)
        if value is not None and value < bound:
            option = name.replace("_", "-")
            raise BlazePoseError(f"--{option} is {value}: it must be at least {bound}")
    if args.pictures:
        check_picture_name(Path(args.pictures))


def read_people(folder: str, images: str | None, limit: int | None) -> Annotations:
    """The people whom ``blazepose evaluate`` measures, or the first of them."""
    data = read_annotations(folder, evaluation=True, images=images)
    people = [person for person in data.people if true_roi(person, data.names) is not None]
    if not people:
        raise BlazePoseError(
            f"nobody in {folder!r} has shoulders and hips labelled: there is no torso to measure by"
        )
    return dataclasses.replace(data, people=tuple(people[:limit]))


def person_free(args: Namespace) -> dict[str, list]:
    """Pictures of nobody by kind: half are corners, or as many as there are."""
    everybody = read_annotations(args.data, images=args.images).people
    corners = choose_corners(everybody, args.person_free // 2, args.seed)
    rendered = rendered_backgrounds(args.person_free - len(corners), args.seed)
    return {RENDERED: rendered, CORNERS: corners}


def describe(data: Annotations, nobody: dict[str, list], args: Namespace) -> dict[str, Any]:
    """What is measured on."""
    rows = [data.names.index(name) for name in shared_names(data)]
    return {
        "data": Path(args.data).name,
        "people": len(data.people),
        "points": sum(int((p.visibility_flags[rows] > 0).sum()) for p in data.people),
        "photographs": len(photographs(data)),
        "torso": describe_torso(TORSO),
        "person_free": {kind: len(pictures) for kind, pictures in nobody.items()},
        "clear": CLEAR,
        "seed": args.seed,
        "litert_threads": args.threads,
        "nets": {},
    }


def ask_all(
    name: str,
    weights: str,
    python: Path,
    data: Annotations,
    nobody: dict[str, list],
    threads: int,
) -> tuple[dict[str, Answers], str]:
    """Answers on the photographs and then on the pictures of nobody; and MediaPipe's version.

    Args:
      name: of the net, for the progress bar.
      weights: their directory.
      python: of MediaPipe's environment.
      data: whose photographs are shown.
      nobody: of ``person_free``.
      threads: of LiteRT.

    Returns:
      By row of the table.
    """
    total = len(photographs(data)) + sum(len(pictures) for pictures in nobody.values())

    def pictures() -> Iterator[np.ndarray]:
        yield from (read_image(path) for path in photographs(data))
        yield from nobody[RENDERED]
        yield from (corner.pixels() for corner in nobody[CORNERS])

    with tempfile.TemporaryDirectory() as folder:
        google, ours = Path(folder) / "google.task", Path(folder) / "ours.task"
        google.write_bytes(google_task(weights))
        export_task(weights, ours)
        jobs: dict[str, tuple[Path, dict[str, str | int]]] = {
            MEDIAPIPE: (python, {"task": str(google)}),
            OUR_TASK: (python, {"task": str(ours)}),
        }
        for search in SEARCHES:
            job = {"weights": weights, "search": search, "threads": threads}
            jobs[f"ours, search {search}"] = (Path(sys.executable), job)
        with started(jobs) as workers:
            found = in_turns(workers, progress(pictures(), total, name, "pictures"))
            return found, workers[MEDIAPIPE].version
