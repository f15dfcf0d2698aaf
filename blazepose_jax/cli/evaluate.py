"""``blazepose evaluate``."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np

from blazepose_jax.cli.progress import progress
from blazepose_jax.data.coco import Annotations, describe_changed, read_annotations
from blazepose_jax.errors import check_name
from blazepose_jax.evaluation.predict import CANDIDATES, Prediction, predict, shared_keypoints
from blazepose_jax.evaluation.report import CENTER, TORSOS, choose_torso, report
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.inference.pipeline import Settings, check_settings
from blazepose_jax.io.draw import check_picture_name, contact_sheet, draw_points, save_image
from blazepose_jax.io.files import check_outputs, write_text
from blazepose_jax.io.images import read_image

PICTURES = 16


def run(args: Namespace) -> None:
    """``blazepose evaluate``."""
    check_name(args.torso, (*TORSOS, CENTER), "torso")
    settings = Settings(
        decode=args.decode, flip=args.flip, max_people=CANDIDATES if args.roi == "detector" else 1
    )
    check_settings(settings)
    check_outputs((args.json, args.pictures), (args.weights, args.detector))
    if args.pictures:
        check_picture_name(Path(args.pictures))
    engine = load_engine(args.weights, args.detector, settings, args.runtime)
    data = read_annotations(
        args.data, strict=args.strict, evaluation=True, images=args.images, skeleton=engine.skeleton
    )
    check_outputs((args.json, args.pictures), data.inputs)
    names = shared_keypoints(engine, data.names)
    torso = choose_torso(args.torso, data.names, engine.skeleton)
    found = predict(
        engine,
        data,
        args.roi,
        progress(data.people, len(data.people), Path(args.data).name, "people"),
    )
    rows = report(found, data, names, torso)
    rows = {
        "data": Path(args.data).name,
        "model": engine.model,
        "decode": args.decode,
        "flip": args.flip,
        "roi": args.roi,
        "runtime": args.runtime,
        **rows,
    }
    # Before anything is said: whoever listens may hang up.
    if args.json:
        write_text(Path(args.json), json.dumps(rows, indent=2) + "\n")
    if args.pictures:
        write_pictures(found, data, names, Path(args.pictures))
    if args.torso != CENTER and torso != TORSOS[args.torso]:
        print(
            f"torso: {'+'.join(torso[0])} to {'+'.join(torso[1])}, as the data lacks that of"
            f" {args.torso}"
        )
    for reason, count in rows["dropped"].items():
        print(f"{count} people dropped: {reason}")
    if data.changed:
        print(describe_changed(data.changed))
    print(
        f"{engine.model}, decode {args.decode}{' + flip' if args.flip else ''}, roi {args.roi}: "
        f"PCK@0.2 {rows['pck@0.2']}, PCK@0.1 {rows['pck@0.1']}, OKS AP {rows['oks_ap']} "
        f"({rows['people']} people, {rows['points']} points)"
    )
    for name, value in rows["per_keypoint"].items():
        print(f"  {name:<16} {value}")


def write_pictures(
    predictions: list[Prediction], data: Annotations, names: tuple[str, ...], path: Path
) -> None:
    """A contact sheet.

    The 16 best people, then the 16 worst, truth in white, prediction in colour.
    """
    columns = [data.names.index(name) for name in names]
    errors = []
    for p in predictions:
        true, labelled = p.person.keypoints[columns], p.person.visibility_flags[columns] > 0
        size = np.ptp(p.person.keypoints[p.person.visibility_flags > 0], axis=0).max()
        error = np.linalg.norm(np.nan_to_num(p.keypoints, nan=1e4) - true, axis=-1)[labelled]
        errors.append(float(error.mean() / max(size, 1.0)) if labelled.any() else 0.0)
    order = np.argsort(errors)
    tiles = []
    for i in [*order[:PICTURES], *order[-PICTURES:]]:
        p = predictions[int(i)]
        points = np.where(
            (p.person.visibility_flags > 0)[columns, None], p.person.keypoints[columns], np.nan
        )
        tiles.append(
            draw_points(
                draw_points(read_image(p.person.image), points, (255, 255, 255)),
                p.keypoints,
                (255, 60, 60),
            )
        )
    save_image(contact_sheet(tiles, 8), path)
