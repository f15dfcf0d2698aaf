"""Weights and annotated photographs come in, a report of how many points were found leaves."""

import dataclasses
import json
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax import metrics
from blazepose_jax.data.coco import Annotations, Person, describe_changed, read_annotations, true_roi
from blazepose_jax.draw import check_picture_name, contact_sheet, draw_points, save_image
from blazepose_jax.engine import JaxEngine, load_engine
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.files import check_outputs, write_text
from blazepose_jax.frames import to_frame
from blazepose_jax.geometry import rois
from blazepose_jax.images import read_image
from blazepose_jax.inference import Settings, check_settings
from blazepose_jax.progress import progress
from blazepose_jax.skeleton import COCO, Skeleton
from blazepose_jax.structs import ROI

PICTURES = 16
Ends = tuple[tuple[str, ...], tuple[str, ...]]
TORSOS: dict[str, Ends] = {"lsp": (("left_shoulder",), ("right_hip",)),  # evalLSP's
          "mid": (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"))}
CENTER = "center"  # the torso of a set without those points: from its centre to its up points
CANDIDATES = 8  # detections among which --roi detector chooses by score and size


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One person of the data and what was predicted for them.

    Attributes:
      person: the annotation.
      keypoints: (K, 2) px, K as in the report; NaN where nobody was found.
      visibility: (K,) probability.
      score: probability that a person is there; 0 where nobody was found.
      roi: where the net looked; None where nobody was found.
    """

    person: Person
    keypoints: np.ndarray
    visibility: np.ndarray
    score: float
    roi: ROI | None


def jittered(roi: ROI, rng: np.random.Generator) -> ROI:
    """The ROI disturbed by up to 10 % in scale, 8 % of its side in x and y, 10 degrees."""
    scale, x, y, turn = rng.uniform(-1, 1, 4)
    shift = np.array([0.08 * x, 0.08 * y], np.float32) * roi.side
    return ROI(roi.center + shift, roi.side * np.float32(1 + 0.1 * scale),
               roi.angle + np.float32(np.radians(10) * turn))


def detected_roi(engine: JaxEngine, image: np.ndarray) -> ROI | None:
    """The ROI of the one person a detector would follow: the best by score times size, never by the truth."""
    found = jax.device_get(engine.detect(to_frame(image)))
    if not found.valid.any():
        return None
    squares = rois.from_alignment(jnp.asarray(found.keypoints[:, 0]), jnp.asarray(found.keypoints[:, 1]))
    best = int(np.argmax(np.where(found.valid, found.scores * np.asarray(squares.side), -1)))
    return jax.tree.map(lambda a: np.asarray(a)[best], squares)


def shared_keypoints(engine: JaxEngine, names: tuple[str, ...]) -> tuple[str, ...]:
    """The keypoints that both the data and the net have, in the net's order.

    Raises:
      BlazePoseError: none.
    """
    both = tuple(name for name in engine.skeleton.keypoints if name in names)
    if not both:
        raise BlazePoseError(f"the data's keypoints ({', '.join(names[:4])}, ...) share no name with the net's "
                             f"({', '.join(engine.skeleton.keypoints[:4])}, ...): rename them in the annotations")
    return both


def choose_torso(name: str, names: tuple[str, ...], skeleton: Skeleton) -> Ends:
    """The points whose distance PCK is measured by: those of ``name``, or the set's own centre and up points.

    Args:
      name: a key of ``TORSOS``, or ``center``.
      names: keypoints of the data.
      skeleton: of the net.

    Raises:
      BlazePoseError: the data has neither.
    """
    own = (skeleton.center, skeleton.up)  # whoever has a ROI has these labelled; others may be unlabelled
    for ends in ([] if name == CENTER else [TORSOS[name]]) + [own]:
        if all(point in names and (ends is own or point in own[0] + own[1]) for end in ends for point in end):
            return ends
    raise BlazePoseError(f"the data has no {', '.join(skeleton.center + skeleton.up)} to measure a torso by (it has "
                         f"{', '.join(names[:6])}): rename them in the annotations")


def predict(engine: JaxEngine, data: Annotations, roi: str, pictures: Iterable[Any]) -> list[Prediction]:
    """Run the net on every person that has a torso.

    Args:
      engine: with ``max_people`` of at least ``CANDIDATES`` for ``detector``.
      data: annotations.
      roi: ``truth``, ``jitter:SEED`` or ``detector``.
      pictures: the people, perhaps wrapped in a progress bar.

    Returns:
      Predictions, in the order of the data; people without hips and shoulders are left out.

    Raises:
      BlazePoseError: an unknown ``roi``.
    """
    kind, _, seed = roi.partition(":")
    has_seed = seed.isascii() and seed.isdigit() and len(seed) < 16
    if kind not in ("truth", "jitter", "detector") or (kind == "jitter") != has_seed:
        raise BlazePoseError(f"roi {roi!r} is none of truth, jitter:SEED (a whole number) and detector")
    rng = np.random.default_rng(int(seed)) if seed else None
    names = shared_keypoints(engine, data.names)
    columns = list(engine.skeleton.indices(names))
    found = []
    for person in pictures:
        square = true_roi(person, data.names, engine.skeleton)
        if square is None:
            continue
        try:
            image = read_image(person.image)
        except BlazePoseError:
            data.dropped.setdefault("broken image", []).append(person.id)
            continue
        if rng is not None:
            square = jittered(square, rng)
        elif kind == "detector":
            square = detected_roi(engine, image)
        if square is None:
            nothing = np.full((len(names), 2), np.nan, np.float32)
            found.append(Prediction(person, nothing, np.zeros(len(names)), 0.0, None))
            continue
        one = jax.tree.map(lambda a: np.asarray(a, np.float32)[None], square)
        poses = jax.device_get(engine.estimate(to_frame(image), one))
        found.append(Prediction(person, poses.keypoints[0, columns, :2], poses.visibility[0, columns],
                                float(poses.presence[0]), square))
    if not found:
        needed = ", ".join(engine.skeleton.center + engine.skeleton.up)
        raise BlazePoseError(f"nobody in the data has {needed} labelled: without them there is no ROI and no torso to "
                             "measure by")
    return found


def hits_by_person(predictions: list[Prediction], data: Annotations, names: tuple[str, ...],
                   torso: Ends) -> tuple[np.ndarray, np.ndarray]:
    """How many points of each person lie within 0.2 torso, and how many are labelled: (N,) and (N,) int."""
    columns = [data.names.index(name) for name in names]
    hits, totals = [], []
    for p in predictions:
        ends = [p.person.keypoints[[data.names.index(n) for n in end]].mean(0) for end in torso]
        distance = np.linalg.norm(np.nan_to_num(p.keypoints, nan=1e9) - p.person.keypoints[columns], axis=-1)
        labelled = p.person.flags[columns] > 0
        hits.append(int(((distance < 0.2 * np.linalg.norm(ends[0] - ends[1])) & labelled).sum()))
        totals.append(int(labelled.sum()))
    return np.array(hits), np.array(totals)


def report(predictions: list[Prediction], data: Annotations, names: tuple[str, ...], torso: Ends) -> dict[str, Any]:
    """Sum up.

    Args:
      predictions: from ``predict``.
      data: what they were made from.
      names: K keypoints in the predictions.
      torso: of ``choose_torso``.

    Returns:
      Plain data for JSON; rates in percent, None where the labels do not allow a figure.
    """
    columns = [data.names.index(name) for name in names]
    true = np.stack([p.person.keypoints[columns] for p in predictions])  # (N, K, 2)
    flags = np.stack([p.person.flags[columns] for p in predictions])
    predicted = np.nan_to_num(np.stack([p.keypoints for p in predictions]), nan=1e9)
    ends = [np.stack([p.person.keypoints[[data.names.index(n) for n in end]].mean(0) for p in predictions])
            for end in torso]
    size = np.linalg.norm(ends[0] - ends[1], axis=-1)
    labelled = flags > 0

    def rate(fraction: float, mask: np.ndarray, keep: list[int] | None = None) -> float | None:
        keep = list(range(len(names))) if keep is None else keep
        hits, total = metrics.pck(predicted[:, keep], true[:, keep], mask[:, keep], size, fraction)
        return round(100 * float(hits.sum()) / int(total.sum()), 2) if int(total.sum()) else None

    # Who is occluded or truncated: the share of points that are labelled hidden, or not labelled at all.
    hidden = (flags != 2).mean(1)
    shares = {"none": hidden == 0, "up to a quarter": (hidden > 0) & (hidden <= 0.25), "more": hidden > 0.25}
    coco = [i for i, name in enumerate(names) if name in COCO.keypoints]
    areas = np.array([p.person.area for p in predictions])
    similarity = np.asarray(metrics.oks(predicted, true, labelled, areas, names))
    scores = np.array([p.score for p in predictions])
    visible = np.stack([p.visibility for p in predictions])[labelled]
    # LSP Extended's "visible" says no more than labelled.
    told = np.stack([np.full(len(names), p.person.data_set != "lspet") for p in predictions])[labelled]
    clear = (flags[labelled] == 2)[told]
    return {
        "pck@0.2": rate(0.2, labelled), "pck@0.1": rate(0.1, labelled),
        "coco17_pck@0.2": rate(0.2, labelled, coco) if coco else None,
        "oks_ap": round(100 * metrics.average_precision(similarity, scores), 2),
        "people": len(predictions), "people_found": int((scores > 0).sum()), "points": int(labelled.sum()),
        "per_keypoint": {name: rate(0.2, labelled, [i]) for i, name in enumerate(names)},
        "pck@0.2_visible": rate(0.2, flags == 2), "pck@0.2_occluded": rate(0.2, flags == 1),
        "pck@0.2_by_hidden_share": {name: rate(0.2, labelled & rows[:, None]) for name, rows in shares.items()},
        "visibility_auc": metrics.auc(visible[told], clear) if told.any() else None,
        "visibility_calibration_error": metrics.calibration_error(visible[told], clear) if told.any() else None,
        "torso": " to ".join("+".join(end) for end in torso),
        "dropped": {reason: len(ids) for reason, ids in data.dropped.items()},
    }


def run(args: Namespace) -> None:
    """``blazepose evaluate``."""
    check_name(args.torso, (*TORSOS, CENTER), "torso")
    settings = Settings(decode=args.decode, flip=args.flip, max_people=CANDIDATES if args.roi == "detector" else 1)
    check_settings(settings)
    check_outputs((args.json, args.pictures), (args.weights, args.detector))
    if args.pictures:
        check_picture_name(Path(args.pictures))
    engine = load_engine(args.weights, args.detector, settings, args.runtime)
    data = read_annotations(args.data, strict=args.strict, evaluation=True, images=args.images,
                            skeleton=engine.skeleton)
    check_outputs((args.json, args.pictures), data.inputs)
    names = shared_keypoints(engine, data.names)
    torso = choose_torso(args.torso, data.names, engine.skeleton)
    found = predict(engine, data, args.roi, progress(data.people, len(data.people), Path(args.data).name, "people"))
    rows = report(found, data, names, torso)
    rows = {"data": Path(args.data).name, "model": engine.model, "decode": args.decode, "flip": args.flip,
            "roi": args.roi, "runtime": args.runtime, **rows}
    # Before anything is said: whoever listens may hang up.
    if args.json:
        write_text(Path(args.json), json.dumps(rows, indent=2) + "\n")
    if args.pictures:
        write_pictures(found, data, names, Path(args.pictures))
    if args.torso != CENTER and torso != TORSOS[args.torso]:
        print(f"torso: {'+'.join(torso[0])} to {'+'.join(torso[1])}, as the data lacks that of {args.torso}")
    for reason, count in rows["dropped"].items():
        print(f"{count} people dropped: {reason}")
    if data.changed:
        print(describe_changed(data.changed))
    print(f"{engine.model}, decode {args.decode}{' + flip' if args.flip else ''}, roi {args.roi}: "
          f"PCK@0.2 {rows['pck@0.2']}, PCK@0.1 {rows['pck@0.1']}, OKS AP {rows['oks_ap']} "
          f"({rows['people']} people, {rows['points']} points)")
    for name, value in rows["per_keypoint"].items():
        print(f"  {name:<16} {value}")


def write_pictures(predictions: list[Prediction], data: Annotations, names: tuple[str, ...], path: Path) -> None:
    """A contact sheet: the 16 best people, then the 16 worst, truth in white, prediction in colour."""
    columns = [data.names.index(name) for name in names]
    errors = []
    for p in predictions:
        true, labelled = p.person.keypoints[columns], p.person.flags[columns] > 0
        size = np.ptp(p.person.keypoints[p.person.flags > 0], axis=0).max()
        error = np.linalg.norm(np.nan_to_num(p.keypoints, nan=1e4) - true, axis=-1)[labelled]
        errors.append(float(error.mean() / max(size, 1.0)) if labelled.any() else 0.0)
    order = np.argsort(errors)
    tiles = []
    for i in [*order[:PICTURES], *order[-PICTURES:]]:
        p = predictions[int(i)]
        points = np.where((p.person.flags > 0)[columns, None], p.person.keypoints[columns], np.nan)
        tiles.append(draw_points(draw_points(read_image(p.person.image), points, (255, 255, 255)), p.keypoints,
                                 (255, 60, 60)))
    save_image(contact_sheet(tiles, 8), path)
