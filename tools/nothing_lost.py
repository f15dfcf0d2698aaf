"""What fine-tuning may forget, of nets of the 33 points beside a teacher's: points that nobody
labels, depth, metres, mask, and how steady a video's points are.

    python tools/nothing_lost.py --weights lite RUN/weights --data DIR --video video.mp4

The people are those of whom the teacher (Heavy) hits 11 of 12 joints; all nets see the square that
the labels give. Lower is better, but for points and masks.
"""

import argparse
from pathlib import Path

import numpy as np

from blazepose_jax.cli.options import locate
from blazepose_jax.cli.people_lists import choose_people
from blazepose_jax.data.annotations import Person, true_roi
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.evaluation.metrics import LSP_TORSO
from blazepose_jax.inference import MEDIAPIPE, Settings
from blazepose_jax.inference.engine import Engine, load_engine
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.io.media import read_media
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI, Frame, Poses

NEAR = 0.2  # torsos
HITS = 11  # of the labelled joints
COLUMNS = (
    "points without labels within 0.2 torso, %",
    "z, % of the side",
    "metres, mm",
    "mask, IoU",
    "jitter, px",
)


def look(engine: Engine, frame: Frame, roi: ROI) -> Poses:
    """What a net sees in a () square; N = 1."""
    one = ROI(*(np.asarray(v, np.float32)[None] for v in (roi.center, roi.side, roi.angle)))
    return engine.estimate(frame, one)


def compare(found: Poses, wanted: Poses, unlabelled: np.ndarray, torso: float) -> list[float]:
    """The columns but the last, of one person, before averaging."""
    assert found.world is not None
    assert wanted.world is not None
    points, other = (np.asarray(p.keypoints[0]) for p in (found, wanted))
    apart = np.linalg.norm(points[:, :2] - other[:, :2], axis=-1) / torso
    masks = [np.asarray(p.mask)[0] > 0.5 for p in (found, wanted)]
    union = (masks[0] | masks[1]).sum()
    return [
        100 * float((apart[unlabelled] < NEAR).mean()),
        100 * float(np.abs(points[:, 2] - other[:, 2]).mean() / wanted.roi.side[0]),
        1000 * float(np.linalg.norm(found.world[0] - wanted.world[0], axis=-1).mean()),
        float((masks[0] & masks[1]).sum() / max(union, 1)),
    ]


def known_people(teacher: Engine, people: list[Person], names: tuple[str, ...]):
    """Frame, square, teacher's look, points without labels and torso, of whom the teacher sees."""
    rows = [names.index(name) if name in names else -1 for name in BLAZEPOSE.keypoints]
    ends = [BLAZEPOSE.keypoints.index(name) for name in LSP_TORSO]
    for person in people:
        roi = true_roi(person, names)
        if roi is None:
            continue
        frame = to_frame(read_image(person.image))
        seen = look(teacher, frame, roi)
        labelled = np.array([r >= 0 and person.visibility_flags[r] > 0 for r in rows])
        true = person.keypoints[rows]
        if not labelled[ends].all():
            continue
        torso = float(np.linalg.norm(true[ends[0]] - true[ends[1]]))
        hit = np.linalg.norm(np.asarray(seen.keypoints[0, :, :2]) - true, axis=-1) < NEAR * torso
        if hit[labelled].sum() >= HITS:
            yield frame, roi, seen, ~labelled, torso


def jitter(weights: Path | str, video: str) -> float:
    """Median over points of the median second difference in a video, px, unsmoothed."""
    tracker = Tracker(weights, settings=Settings(smoothing=False, search="none"), runtime="litert")
    points = np.stack([tracker(p.image, p.time).keypoints[0, :, :2] for p in read_media(video)])
    second = np.linalg.norm(np.diff(points, 2, axis=0), axis=-1)  # (frames - 2, K)
    return float(np.median(np.median(second, 0)))


def main(argv: list[str] | None = None) -> None:
    """Print a row for each net."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", nargs="+", required=True)
    parser.add_argument("--teacher", default="released-heavy")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only")
    parser.add_argument("--video", required=True)
    args = parser.parse_args(argv)
    args.leave_out = None
    data, _ = choose_people(read_annotations(args.data), args)
    settings = Settings(decode=MEDIAPIPE.decode, mask=True, min_presence_confidence=0.0)
    engines = {
        name: load_engine(locate(name), None, settings, "litert")
        for name in (args.teacher, *args.weights)
    }
    teacher = engines.pop(args.teacher)
    sums: dict[str, list[list[float]]] = {name: [] for name in engines}
    for frame, roi, wanted, unlabelled, torso in known_people(
        teacher, list(data.people), data.names
    ):
        for name, engine in engines.items():
            sums[name].append(compare(look(engine, frame, roi), wanted, unlabelled, torso))
    print(f"{len(sums[args.weights[0]])} people\n\n| net | {' | '.join(COLUMNS)} |")
    print("|---|" + "---|" * len(COLUMNS))
    for name, rows in sums.items():
        values = [*np.mean(rows, 0), jitter(locate(name), args.video)]
        print(f"| {name} | {' | '.join(f'{v:.3g}' for v in values)} |")


if __name__ == "__main__":
    main()
