"""Whether a rigid part survives suppression where body boxes fail: two people who overlap.

    blazepose data label coco_keypoints --source LSP_TRAIN --output labelled    # people with masks
    python tools/overlapping_people.py labelled --images LSP_TRAIN --weights full --figure F.png

Two people of the same height are put beside each other, one cut out along the teacher's mask and
pasted into the other's photograph, at distances from far apart to one before the other. The
detector answers once; its candidates are merged by its own boxes, round the face, and by boxes
round the bodies that the same candidates predict, at several IoUs. Both merge with weights, as
MediaPipe does. Only people whom the detector finds in their own photograph take part. A person is
found where the mid-hip and the point on the circle lie within a share of the circle's radius of the
truth, in a detection of their own; "before" counts all candidates.
"""

import argparse
import itertools
import json
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.codecs import anchors
from blazepose_jax.data.annotations import Person, labelled_by_hand
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.data.run_lengths import decode
from blazepose_jax.geometry import rois
from blazepose_jax.inference import steps
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.structs import ROI
from blazepose_jax.training import DetectorConfig
from blazepose_jax.weights import find_weights, load_weights

OFFSETS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)  # of the ROI's side, between the mid-hips
THRESHOLDS = (0.3, 0.5)
UPRIGHT = np.radians(25)
LEAST_QUALITY, LEAST_SIDE = 0.8, 150  # px of a ROI
CANDIDATES, MIN_SCORE = 300, 0.5
ASPECT = 0.5  # width of a body box over its height, where limbs are not spread
BINS = np.arange(0, 0.81, 0.1)  # of the IoU of the bodies' boxes
CLOSE = DetectorConfig().close


def usable(person: Person) -> bool:
    """Whether somebody stands, wholly seen, and is cut out well."""
    teacher = person.teacher
    if teacher is None or teacher.mask is None or not labelled_by_hand(person):
        return False
    good = teacher.quality >= LEAST_QUALITY and abs(float(teacher.roi.angle)) < UPRIGHT
    return bool(good and teacher.roi.side >= LEAST_SIDE and decode(teacher.mask).any())


def pasted(
    whole: np.ndarray, roi: ROI, other: np.ndarray, mask: np.ndarray, its: ROI, offset: float
) -> tuple[np.ndarray, np.ndarray, ROI]:
    """Somebody pasted into a photograph.

    Args:
      whole: (H, W, 3) uint8.
      roi: () of the person in it.
      other: (h, w, 3) uint8, the other's photograph.
      mask: (h, w) bool, of the other.
      its: () ROI of the other.
      offset: to the right, in sides.

    Returns:
      The picture, (H, W) bool where the other is, and their ROI there.
    """
    center = roi.center + np.array([offset * float(roi.side), 0], np.float32)
    scale = float(its.side / roi.side)
    y, x = np.mgrid[: whole.shape[0], : whole.shape[1]]
    source = (np.stack([x, y], -1) - center) * scale + its.center
    cell = np.floor(source + 0.5).astype(int)
    inside = ((cell >= 0) & (cell < mask.shape[::-1])).all(-1)
    cell = np.clip(cell, 0, np.array(mask.shape[::-1]) - 1)
    there = inside & mask[cell[..., 1], cell[..., 0]]
    picture = np.where(there[..., None], other[cell[..., 1], cell[..., 0]], whole)
    return picture, there, ROI(center, roi.side, its.angle)


def box_of(mask: np.ndarray) -> np.ndarray:
    """(4,) xyxy round an (H, W) mask."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


def iou(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(M,) of a (4,) box with (M, 4)."""
    size = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    both = np.prod(np.maximum(size, 0), -1)
    areas = [np.prod(b[..., 2:] - b[..., :2], -1) for b in (one, others)]
    return both / np.maximum(areas[0] + areas[1] - both, 1e-9)


def body_boxes(points: np.ndarray) -> np.ndarray:
    """(M, 4) upright boxes round the bodies of (M, 4, 2) alignment points."""
    up = points[:, 1] - points[:, 0]
    across = ASPECT * np.stack([-up[:, 1], up[:, 0]], -1)
    corners = np.stack([points[:, 0] + a * up + b * across for a in (-1, 1) for b in (-1, 1)], 1)
    return np.concatenate([corners.min(1), corners.max(1)], -1)


def merged(
    points: np.ndarray, scores: np.ndarray, boxes: np.ndarray, threshold: float
) -> np.ndarray:
    """(N, 4, 2) means of clusters, as ``nms.weighted_nms``, of any number."""
    left, found = scores.copy(), []
    while left.max(initial=0) > 0:
        best = int(left.argmax())
        member = (iou(boxes[best], boxes) > threshold) & (left > 0)
        member[best] = True
        found.append(np.average(points[member], axis=0, weights=left[member]))
        left[member] = 0
    return np.array(found).reshape(-1, 4, 2)


def fits(points: np.ndarray, roi: ROI) -> np.ndarray:
    """(N,) bool, which of (N, 4, 2) alignment points are those of a () ROI."""
    true = np.asarray(rois.to_alignment(roi))
    apart = np.linalg.norm(points[:, :2] - true, axis=-1)
    return (apart < CLOSE * np.linalg.norm(true[1] - true[0])).all(-1)


def both_found(points: np.ndarray, one: ROI, two: ROI) -> list[bool]:
    """Whether each of two people is found, by a detection of their own."""
    first, second = fits(points, one), fits(points, two)
    found = [bool(first.any()), bool(second.any())]
    if all(found) and (first | second).sum() < 2:
        found[1] = False
    return found


def main(argv: list[str] | None = None) -> None:
    """Print the table, write the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labelled")
    parser.add_argument("--images", required=True)
    parser.add_argument("--weights", default="full")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--examples", type=Path, help="a picture of the first pairs; not for sharing"
    )
    args = parser.parse_args(argv)
    people = [p for p in read_annotations(args.labelled, images=args.images).people if usable(p)]
    detector = load_weights(find_weights(args.weights)).detector
    assert detector is not None

    @jax.jit
    def candidates(frame):
        outputs = detector(steps.detector_input(detector, frame))
        found = anchors.decode(
            outputs, detector.side, count=CANDIDATES, min_score=MIN_SCORE, nms_threshold=1.0
        )
        box = rois.whole_image(frame.size)
        to_image = rois.crop_to_image
        corners = to_image(found.boxes_xyxy.reshape(-1, 2, 2), box).reshape(-1, 4)
        return to_image(found.keypoints, box), corners, found.scores * found.valid

    def is_seen_alone(person: Person) -> bool:
        points, _, scores = map(np.asarray, candidates(to_frame(read_image(person.image))))
        assert person.teacher is not None
        return bool(fits(points[scores > 0], person.teacher.roi).any())

    people = [person for person in people if is_seen_alone(person)]
    print(f"{len(people)} people who stand, are wholly seen, and are found alone")
    rng = np.random.default_rng(0)
    ways = [(kind, t) for kind in ("face", "body") for t in THRESHOLDS]
    rows, shown = [], []
    for _ in range(args.pairs):
        first, second = (people[i] for i in rng.choice(len(people), 2, replace=False))
        whole, other = read_image(first.image), read_image(second.image)
        one, two = first.teacher, second.teacher
        for offset in OFFSETS:
            mask = decode(two.mask)
            picture, there, roi = pasted(whole, one.roi, other, mask, two.roi, offset)
            if there.sum() < 0.5 * mask.sum() * float(one.roi.side / two.roi.side) ** 2:
                continue  # outside of the picture
            behind = decode(one.mask)
            bodies = iou(box_of(behind), box_of(there)[None])[0]
            points, faces, scores = map(np.asarray, candidates(to_frame(picture)))
            some = scores > 0
            points, faces, scores = points[some], faces[some], scores[some]
            covered = (behind & there).sum() / behind.sum()
            row = {"iou": bodies, "covered": covered}
            row["before"] = both_found(points, one.roi, roi)
            for kind, threshold in ways:
                boxes = faces if kind == "face" else body_boxes(points)
                kept = merged(points, scores, boxes, threshold)
                row[f"{kind} {threshold}"] = both_found(kept, one.roi, roi)
            rows.append(row)
            if len(shown) < 12:
                shown.append(picture)
    report = sum_up(rows, ["before", *(f"{kind} {t}" for kind, t in ways)])
    print_table(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2), encoding="utf-8")
    if args.figure:
        draw(report, args.figure)
    if args.examples:
        from blazepose_jax.io.draw import contact_sheet, save_image

        save_image(contact_sheet([_square(picture) for picture in shown], 6), args.examples)


def _square(picture: np.ndarray) -> np.ndarray:
    from PIL import Image

    small = Image.fromarray(picture)
    small.thumbnail((256, 256))
    out = Image.new("RGB", (256, 256))
    out.paste(small)
    return np.asarray(out)


def sum_up(rows: list[dict], names: list[str]) -> list[dict]:
    """Recall in percent of both people by the overlap of their boxes."""
    found = []
    for low, high in itertools.pairwise(BINS):
        here = [row for row in rows if low <= row["iou"] < high]
        if len(here) >= 10:
            recall = {name: 100 * float(np.mean([row[name] for row in here])) for name in names}
            found.append({"low": float(low), "high": float(high), "pictures": len(here), **recall})
    return found


def print_table(report: list[dict]) -> None:
    """As Markdown."""
    names = [name for name in report[0] if name not in ("low", "high", "pictures")]
    print(f"| IoU of the bodies | pictures | {' | '.join(names)} |")
    print("|---" * (len(names) + 2) + "|")
    for row in report:
        cells = " | ".join(f"{row[name]:.1f}" for name in names)
        print(f"| {row['low']:.1f} to {row['high']:.1f} | {row['pictures']} | {cells} |")


def draw(report: list[dict], path: Path) -> None:
    """Recall against overlap."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    middle = [(row["low"] + row["high"]) / 2 for row in report]
    colours = {"before": "grey", "face": "tab:green", "body": "tab:red"}
    for name in (name for name in report[0] if name not in ("low", "high", "pictures")):
        kind, _, threshold = name.partition(" ")
        label = "all candidates" if not threshold else f"{kind} boxes, IoU {threshold}"
        style = "--" if threshold == str(THRESHOLDS[0]) else "-"
        values = [row[name] for row in report]
        axes.plot(middle, values, style, color=colours[kind], marker="o", label=label)
    axes.set(xlabel="IoU of the two bodies' boxes", ylabel="people found, %", ylim=(0, 100))
    axes.legend(title="merged by")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
