"""``blazepose evaluate``: a pose net measured on annotated photographs."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.cli.options import (
    add_decode,
    add_precision,
    add_runtime,
    add_search,
    add_weights,
    experiment_of,
    locate_weights,
    names_help,
)
from blazepose_jax.cli.people_lists import add_people_lists, choose_people
from blazepose_jax.cli.progress import progress
from blazepose_jax.data.annotations import Annotations, describe_changed, describe_renamed
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.errors import check_name
from blazepose_jax.evaluation.predict import Prediction, predict, shared_keypoints
from blazepose_jax.evaluation.report import (
    BOX,
    CENTER,
    TORSOS,
    choose_torso,
    describe_torso,
    hits_by_person,
    report,
)
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.inference.labelled_roi import CANDIDATES
from blazepose_jax.inference.settings import Settings
from blazepose_jax.io.draw import check_picture_name, contact_sheet, draw_points, save_image
from blazepose_jax.io.files import write_text
from blazepose_jax.io.images import read_image
from blazepose_jax.io.output_checks import check_outputs

PICTURES, COLUMNS = 16, 8
WHITE, RED = (255, 255, 255), (255, 60, 60)


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    add_weights(parser)
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="folder with annotations.json in COCO's format"
    )
    parser.add_argument(
        "--images", metavar="DIR", help="where the pictures lie, if not beside the annotations"
    )
    parser.add_argument(
        "--roi", default="truth", metavar="R", help="truth (default), jitter:SEED or detector"
    )
    add_decode(parser, "stills")
    add_search(parser)
    parser.add_argument("--flip", action="store_true", help="average with the mirror image")
    add_runtime(parser)
    add_precision(parser)
    torsos = {name: f"{'+'.join(a)} to {'+'.join(b)}" for name, (a, b) in TORSOS.items()}
    torsos[CENTER] = "the set's own centre to its up points, which sets without those take"
    torsos[BOX] = "the longer side of the box round the labelled points, where there is no torso"
    parser.add_argument("--torso", default="lsp", metavar="NAME", help=names_help(torsos, "lsp"))
    add_people_lists(parser)
    parser.add_argument("--json", metavar="FILE", help="write the report here")
    parser.add_argument(
        "--pictures", metavar="FILE", help="write the best and worst 16 people as one picture"
    )
    parser.add_argument("--strict", action="store_true", help="any unusable annotation is an error")


def run(args: Namespace) -> None:
    """``blazepose evaluate``."""
    check_name(args.torso, (*TORSOS, CENTER, BOX), "torso")
    # Sets whose ROI is a detection choose the one that fits the labels.
    count = 1 if args.roi == "detector" else CANDIDATES
    settings = Settings(
        decode=args.decode,
        flip=args.flip,
        search=args.search,
        max_people=count,
        precision=args.precision,
    )
    locate_weights(args)
    check_outputs((args.json, args.pictures), (args.weights, args.detector))
    if args.pictures:
        check_picture_name(Path(args.pictures))
    engine = load_engine(
        args.weights, args.detector, settings, args.runtime, experiment=experiment_of(args)
    )
    data = read_annotations(
        args.data, strict=args.strict, evaluation=True, images=args.images, skeleton=engine.skeleton
    )
    check_outputs((args.json, args.pictures), (*data.inputs, args.only, args.leave_out))
    data, said = choose_people(data, args)
    names = shared_keypoints(engine, data.names)
    torso = choose_torso(args.torso, data.names, engine.skeleton, data.people)
    people = progress(data.people, len(data.people), Path(args.data).name, "people")
    found = predict(engine, data, args.roi, people)
    rows = {
        "data": Path(args.data).name,
        "model": engine.model,
        "decode": engine.decode,
        "flip": args.flip,
        "roi": args.roi,
        "search": args.search if args.roi == "detector" else None,
        "runtime": args.runtime,
        "precision": args.precision,
        **report(found, data, names, torso, engine.skeleton),
    }
    hits = np.stack(hits_by_person(found, data, names, torso), -1).tolist()
    people_ids = [one.person.label or str(one.person.id) for one in found]
    if len(set(people_ids)) < len(people_ids):  # as merged files have them
        people_ids = [str(one.person.id) for one in found]
    rows["hits_by_person"] = dict(zip(people_ids, hits, strict=True))
    # Before anything is printed: whoever reads it may hang up.
    if args.json:
        write_text(Path(args.json), json.dumps(rows, indent=2) + "\n")
    if args.pictures:
        write_pictures(found, data, names, Path(args.pictures))
    said += filter(None, [describe_renamed(data, engine.skeleton)])
    if torso is None or torso != TORSOS.get(args.torso):
        why = "" if torso or args.torso == BOX else ", as not everybody has a torso labelled"
        said.append(f"torso: {describe_torso(torso)}{why}")
    print("\n".join(said), end="\n" if said else "")
    print_report(rows, data)


def print_report(rows: dict[str, Any], data: Annotations) -> None:
    """Print the headline numbers, a line a keypoint, and who was left out.

    Args:
      rows: of the JSON report.
      data: what was measured on.
    """
    for reason, count in rows["dropped"].items():
        print(f"{count} people dropped: {reason}")
    if data.changed:
        print(describe_changed(data.changed))
    print(
        f"{rows['model']}, decode {rows['decode']}{' + flip' if rows['flip'] else ''},"
        f" roi {rows['roi']}: PCK@0.2 {rows['pck@0.2']}, PCK@0.1 {rows['pck@0.1']},"
        f" OKS AP {rows['oks_ap']} ({rows['people']} people, {rows['points']} points)"
    )
    for name, value in rows["per_keypoint"].items():
        print(f"  {name:<16} {value}")


def write_pictures(
    predictions: list[Prediction], data: Annotations, names: tuple[str, ...], path: Path
) -> None:
    """Write a contact sheet: the 16 best people, then the 16 worst.

    Args:
      predictions: of the data.
      data: the truth, drawn in white under the predictions in red.
      names: K, of the predictions' points.
      path: of the picture.
    """
    columns = [data.names.index(name) for name in names]
    labelled = [p for p in predictions if (p.person.visibility_flags[columns] > 0).any()]
    predictions = labelled or predictions
    order = np.argsort([mean_error(p, columns) for p in predictions])
    tiles = []
    for i in [*order[:PICTURES], *order[-PICTURES:]]:
        p = predictions[int(i)]
        known = (p.person.visibility_flags > 0)[columns, None]
        points = np.where(known, p.person.keypoints[columns], np.nan)
        tile = draw_points(read_image(p.person.image), points, WHITE)
        tiles.append(draw_points(tile, p.keypoints, RED))
    save_image(contact_sheet(tiles, COLUMNS), path)


def mean_error(prediction: Prediction, columns: list[int]) -> float:
    """Mean distance from the truth over the person's size; 0 where nothing is labelled.

    Args:
      prediction: of one person.
      columns: (K,) positions of the predicted points among the data's.
    """
    person = prediction.person
    labelled = person.visibility_flags[columns] > 0
    if not labelled.any():
        return 0.0
    size = np.ptp(person.keypoints[person.visibility_flags > 0], axis=0).max()
    found = np.nan_to_num(prediction.keypoints, nan=1e4)
    error = np.linalg.norm(found - person.keypoints[columns], axis=-1)[labelled]
    return float(error.mean() / max(size, 1.0))
