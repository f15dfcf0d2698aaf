"""Detectors beside each other: recall by pose and size, ROI quality, who comes first, nobody.

    python tools/detector_report.py --weights full RUN/weights --data LSP_TRAIN \
        --only experiments/lsp_held_out.txt

Each person with hips and shoulders labelled is looked for in their photograph as it is and turned
by three quarters, which makes lying and inverted people. A ROI is right where its centre lies
within 0.15 of the true side, its side within a factor of 2^0.6 and its angle within 35 degrees.
"First" is the detection of the highest score, "any" is any of all that suppression leaves.
Pictures of nobody are corners of the photographs, which may show somebody whom nobody labelled, and
rendered backgrounds. Intervals are those of a paired bootstrap over people against the first
detector.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import jax
import numpy as np
from person_free import choose_corners, rendered_backgrounds

from blazepose_jax.cli.options import locate
from blazepose_jax.cli.people_lists import add_people_lists, choose_people
from blazepose_jax.cli.progress import progress
from blazepose_jax.data.annotations import Person, true_roi
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.evaluation.report import paired_difference
from blazepose_jax.geometry import rois
from blazepose_jax.inference import steps
from blazepose_jax.inference.settings import Settings
from blazepose_jax.io.files import write_text
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import picture_size, read_image
from blazepose_jax.structs import ROI, Array, Detections, Frame, Network
from blazepose_jax.weights import load_weights

CENTER, OCTAVES, ANGLE = 0.15, 0.6, np.radians(35)
SCORES = (0.5, 0.2)
MOST = 8  # detections of a picture
QUARTERS = 4
POSES = ("upright", "lying", "inverted")
SIZES = (0.4, 0.7)  # of the letterbox: small, middle and large ROIs
AS_FOUND = Settings(max_people=MOST, min_detection_confidence=min(SCORES))

# Frame and quarter turn to detections, best first, and their ROIs.
Detect = Callable[[Frame, int], tuple[Detections, ROI]]


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a detector says of one person in a picture.

    Attributes:
      scores: (M,).
      errors: (M, 3): distance of the centres in true sides, octaves of scale, radians.
    """

    scores: np.ndarray
    errors: np.ndarray

    def right(self, score: float) -> np.ndarray:
        """(M',) bool, of detections from a score on."""
        return np.all(self.errors[self.scores >= score] < (CENTER, OCTAVES, ANGLE), axis=-1)


def bind(detector: Network) -> Detect:
    """A compiled detector."""

    @jax.jit
    def detect(frame: Frame, turn: Array) -> tuple[Detections, ROI]:
        outputs = detector(steps.detector_input(detector, frame, turn))
        found = steps.read_detections(detector, outputs, frame, turn, settings=AS_FOUND)
        return found, jax.vmap(rois.from_alignment)(found.keypoints[:, 0], found.keypoints[:, 1])

    return lambda frame, turn: jax.device_get(detect(frame, turn))


def see(detect: Detect, frame: Frame, turn: int, true: ROI) -> Seen:
    """What is found in a picture, against a () ROI."""
    found, squares = detect(frame, turn)
    order = np.argsort(-np.where(found.valid, found.scores, 0))[: found.valid.sum()]
    square = jax.tree.map(lambda a: a[order], squares)
    angle = np.abs((square.angle - true.angle + np.pi) % (2 * np.pi) - np.pi)
    apart = np.linalg.norm(square.center - true.center, axis=-1) / true.side
    octaves = np.abs(np.log2(np.maximum(square.side, 1e-6) / true.side))
    return Seen(np.asarray(found.scores)[order], np.stack([apart, octaves, angle], -1))


def pose_of(true: ROI, turn: int) -> str:
    """The name of a () ROI's angle where the picture is turned by quarters."""
    angle = abs((float(true.angle) - turn * np.pi / 2 + np.pi) % (2 * np.pi) - np.pi)
    return POSES[0 if angle < np.pi / 4 else 1 if angle < 3 * np.pi / 4 else 2]


def look_at_people(
    detectors: dict[str, Detect], people: list[tuple[Person, ROI]]
) -> dict[str, list[list[Seen]]]:
    """By detector, person and turn."""
    seen: dict[str, list[list[Seen]]] = {name: [] for name in detectors}
    for person, true in progress(people, len(people), "look", "people"):
        frame = to_frame(read_image(person.image))
        for name, detect in detectors.items():
            seen[name].append([see(detect, frame, turn, true) for turn in range(QUARTERS)])
    return seen


def shares(seen: list[Seen], score: float) -> dict[str, list[bool]]:
    """By question, the answer for each picture."""
    right = [one.right(score) for one in seen]
    return {
        "found": [bool(len(r)) for r in right],
        "any right": [bool(r.any()) for r in right],
        "first right": [bool(r[:1].any()) for r in right],
        "several": [len(r) > 1 for r in right],
        "doubles": [int(r.sum()) > 1 for r in right],
    }


def groups_of(people: list[tuple[Person, ROI]], sides: list[float]) -> dict[str, np.ndarray]:
    """(N, 4) bool by the name of a group: which turns of which people belong to it."""
    whole = np.zeros((len(people), QUARTERS), bool)
    upright = whole.copy()
    upright[:, 0] = True
    found = {"as photographed": upright}
    pose = np.array([[pose_of(roi, turn) for turn in range(QUARTERS)] for _, roi in people])
    found |= {f"{name}, all turns": pose == name for name in POSES}
    size = np.digitize(sides, SIZES)[:, None]
    names = (f"ROI < {SIZES[0]}", "between", f"ROI > {SIZES[1]}")
    return found | {name: upright & (size == i) for i, name in enumerate(names)}


def rates(
    seen: dict[str, list[list[Seen]]], groups: dict[str, np.ndarray], score: float
) -> list[dict]:
    """A row for each group, question and detector."""
    answers = {
        name: {
            q: np.reshape(a, (-1, QUARTERS))
            for q, a in shares([one for turns in rows for one in turns], score).items()
        }
        for name, rows in seen.items()
    }
    first = next(iter(answers))
    rows = []
    for group, member in groups.items():
        counted = member.sum(1)
        some = counted > 0
        for name, found in answers.items():
            for question, answer in found.items():
                hits, base = ((a & member).sum(1)[some] for a in (answer, answers[first][question]))
                gain = paired_difference(base, hits, counted[some])
                rate = 100 * float(hits.sum() / counted.sum())
                one = {"group": group, "pictures": int(counted.sum()), "detector": name}
                rows.append({**one, "question": question, "rate": rate, "gain": gain})
    return rows


def roi_errors(seen: list[Seen], score: float) -> dict[str, list[float]]:
    """Median and 90th percentile of the errors of the nearest detection that is right."""
    best = []
    for one in seen:
        right = one.errors[one.scores >= score][one.right(score)]
        if len(right):
            best.append(right[right[:, 0].argmin()])
    center, octaves, angle = np.percentile(np.array(best), (50, 90), axis=0).T
    return {
        "centre, sides": center.tolist(),
        "scale, octaves": octaves.tolist(),
        "angle, degrees": np.degrees(angle).tolist(),
    }


def look_at_nobody(
    detectors: dict[str, Detect], everybody: Iterable[Person], count: int
) -> list[dict]:
    """How many pictures of nobody have detections."""
    corners = [corner.pixels() for corner in choose_corners(everybody, count // 2, 0)]
    kinds = {"corners": corners, "rendered": rendered_backgrounds(count - len(corners), 0)}
    rows = []
    for kind, pictures in kinds.items():
        for name, detect in detectors.items():
            best = [detect(to_frame(picture), 0)[0].scores.max() for picture in pictures]
            share = {str(s): 100 * float(np.mean(np.array(best) >= s)) for s in SCORES}
            rows.append({"kind": kind, "pictures": len(pictures), "detector": name, **share})
    return rows


def main(argv: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", nargs="+", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--person-free", type=int, default=500, metavar="N")
    parser.add_argument("--json", type=Path)
    add_people_lists(parser)
    args = parser.parse_args(argv)
    nets = {name: load_weights(locate(name)).detector for name in args.weights}
    if bare := [name for name, net in nets.items() if net is None]:
        raise SystemExit(f"{bare[0]} holds no detector: name weights that do")
    detectors = {name: bind(net) for name, net in nets.items() if net is not None}
    everybody = read_annotations(args.data)
    data, _ = choose_people(everybody, args)
    people = [(person, true_roi(person, data.names)) for person in data.people]
    known = [(person, roi) for person, roi in people if roi is not None]
    sides = [float(roi.side) / max(picture_size(person.image)) for person, roi in known]
    seen, groups = look_at_people(detectors, known), groups_of(known, sides)
    report = {
        "people": len(known),
        "rates": {str(score): rates(seen, groups, score) for score in SCORES},
        "errors": {
            name: roi_errors([turns[0] for turns in rows], SCORES[0]) for name, rows in seen.items()
        },
        "nobody": look_at_nobody(detectors, everybody.people, args.person_free),
    }
    if args.json:
        write_text(args.json, json.dumps(report, indent=2) + "\n")
    print_report(report)


def print_report(report: dict) -> None:
    """As Markdown."""
    for score, rows in report["rates"].items():
        print(
            f"\n| score from {score} | detector | found | any right | first right | gain |", end=""
        )
        print(" several | right twice |\n|---|---|---|---|---|---|---|---|")
        for row in rows:
            low, high = row["gain"][1:]
            start = f"| {row['group']} ({row['pictures']}) | {row['detector']} |"
            cells = {
                "found": f"{start} {row['rate']:.1f} |",
                "first right": f" {row['rate']:.1f} | {low:+.1f} to {high:+.1f} |",
            }
            end = "\n" if row["question"] == "doubles" else ""
            print(cells.get(row["question"], f" {row['rate']:.1f} |"), end=end)
    print("\n| detector | error of right ROIs | median | 90 % |\n|---|---|---|---|")
    for name, errors in report["errors"].items():
        for what, (median, most) in errors.items():
            print(f"| {name} | {what} | {median:.3f} | {most:.3f} |")
    print(f"\n| nobody there | detector | {' | '.join(map(str, SCORES))} |\n|---|---|---|---|")
    for row in report["nobody"]:
        cells = " | ".join(f"{row[str(score)]:.1f}" for score in SCORES)
        print(f"| {row['kind']} ({row['pictures']}) | {row['detector']} | {cells} |")


if __name__ == "__main__":
    main()
