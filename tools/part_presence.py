"""How often a hand or face model sees what it should in the squares of ``inference.regions``.

    make setup peers
    .venv/bin/python tools/part_presence.py --hand-model H.tflite --face-model F.tflite
    [--data DIR | --video FILE] [--weights W] [--scales 1.5,2.0,...] [--pictures F.png]
    [--peer VENV] [--hand-task H.task --face-task F.task]

DIR holds people with COCO's keypoints. A hand counts where its wrist is labelled visible, a face
where nose and both eyes are; in the frames of a video, which one person is tracked in, where the
wrist, or the nose, is more likely visible than not. Each is looked at in the square that the pose
gives, whose ROI is that of the truth or of the tracker, and is seen where the model's presence is
0.5 or more. Beside it: MediaPipe's own hands and faces, which look for them in the whole picture:
the solutions and models in the peer's wheel, or its Landmarkers by their tasks, frames of a video
as such; one of theirs counts where its points' box, widened by half, holds the wrist, or the nose.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.cli.main import Parser
from blazepose_jax.cli.options import locate
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.evaluation.predict import predict
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.inference.part_model import PRESENT, PartModel
from blazepose_jax.inference.regions import SIDES, face_roi, hand_rois
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.draw import contact_sheet, draw_points, save_image
from blazepose_jax.io.images import read_image
from blazepose_jax.io.media import read_media
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI, Poses

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
FACE = ("nose", "left_eye", "right_eye")
SEEN = 0.5  # a visibility
SHOWN, SHOWN_SCALE = 64, 2.0


@dataclasses.dataclass(frozen=True)
class Sought:
    """A hand or a face that should be seen.

    Attributes:
      kind: ``hand`` or ``face``.
      side: of a hand, its place in ``SIDES``.
      point: (2,) px, of the wrist or the nose.
      picture: where it is.
      poses: of one person, whose it is.
      time: s, of a video's frame.
    """

    kind: str
    side: int
    point: np.ndarray
    picture: Path
    poses: Poses
    time: float = 0.0

    def region(self, scale: float) -> ROI:
        """Where a model should look, ()."""
        find = hand_rois if self.kind == "hand" else face_roi
        roi, _ = find(self.poses, scale=scale)
        place = (0, self.side) if self.kind == "hand" else (0,)
        return jax.tree.map(lambda a: np.asarray(a)[place], roi)


def run(words: list[str]) -> None:
    """Measure and print.

    Raises:
      BlazePoseError: bad input.
    """
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hand-model", required=True)
    parser.add_argument("--face-model", required=True)
    parser.add_argument("--data", default=str(SHARED / "data" / "coco_dev"))
    parser.add_argument("--video")
    parser.add_argument("--weights", default="full")
    parser.add_argument("--scales", default="1.4,1.7,2.0,2.3,2.7,3.0")
    parser.add_argument("--peer", default=ROOT / ".venv-mediapipe-0.10.21", type=Path)
    parser.add_argument("--hand-task")
    parser.add_argument("--face-task")
    parser.add_argument("--pictures", help="write hands and faces as one picture")
    args = parser.parse_args(words)
    if (args.hand_task is None) != (args.face_task is None):
        raise BlazePoseError("--hand-task and --face-task go together: give both or neither")
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


def measure(args: argparse.Namespace, folder: Path) -> None:
    """Print the shares that are seen.

    Args:
      args: the command's.
      folder: for the frames of a video.
    """
    if args.video:
        sought = list(in_frames(read_media(args.video), args.weights, folder))
    else:
        sought = list(in_photographs(args.data, args.weights))
    counts = (f"{sum(one.kind == kind for one in sought)} {kind}s" for kind in ("hand", "face"))
    print(*counts, sep=", ")
    models = {"hand": PartModel(args.hand_model), "face": PartModel(args.face_model)}
    tiles = []
    for scale in map(float, args.scales.split(",")):
        answers = []
        for one in sought:
            image, roi = read_image(one.picture), one.region(scale)
            part = models[one.kind](image, roi)
            answers.append((part.presence or 0.0) >= PRESENT)
            if args.pictures and scale == SHOWN_SCALE and len(tiles) < SHOWN:
                tiles.append(tile(image, roi, np.asarray(part.keypoints)))
        print(f"scale {scale}: {shares(sought, answers)}")
    if args.pictures:
        save_image(contact_sheet(tiles, 8), Path(args.pictures))
    if args.peer.exists():
        tasks = args.hand_task and [args.hand_task, args.face_task]
        answers = by_peer(args.peer, sought, tasks, video=args.video is not None)
        print(f"MediaPipe, whole pictures: {shares(sought, answers)}")


def in_photographs(data: str, weights: str) -> Iterator[Sought]:
    """What people's labels show; poses in the ROI of the truth."""
    engine = load_engine(locate(weights), None, Settings(), "litert")
    people = read_annotations(data, evaluation=True, skeleton=engine.skeleton)
    for found in predict(engine, people, "truth", people.people):
        person, names = found.person, people.names
        visible = {n: person.visibility_flags[names.index(n)] == 2 for n in names}
        place = {n: person.keypoints[names.index(n)] for n in names}
        roi = jax.tree.map(lambda a: np.asarray(a)[None], found.roi)
        poses = engine.estimate(read_image(person.image), roi)
        for i, side in enumerate(SIDES):
            if visible[f"{side}_wrist"]:
                yield Sought("hand", i, place[f"{side}_wrist"], Path(person.image), poses)
        if all(visible[n] for n in FACE):
            yield Sought("face", 0, place["nose"], Path(person.image), poses)


def in_frames(media, weights: str, folder: Path) -> Iterator[Sought]:
    """What a tracked person shows; the frames are written to a folder."""
    tracker = Tracker(locate(weights), runtime="litert")
    for frame in media:
        path = folder / f"{frame.index:06}.png"
        save_image(frame.image, path)
        poses = tracker(frame.image, frame.time)
        if not poses.present[0]:
            continue
        points, visibility = np.asarray(poses.keypoints)[0, :, :2], poses.visibility[0]
        for i, side in enumerate(SIDES):
            (wrist,) = BLAZEPOSE.indices((f"{side}_wrist",))
            if visibility[wrist] > SEEN:
                yield Sought("hand", i, points[wrist], path, poses, frame.time)
        (nose,) = BLAZEPOSE.indices(("nose",))
        if visibility[nose] > SEEN:
            yield Sought("face", 0, points[nose], path, poses, frame.time)


def shares(sought: list[Sought], answers: list[bool]) -> str:
    """Of each kind, as text."""
    text = []
    for kind in ("hand", "face"):
        seen = [yes for one, yes in zip(sought, answers, strict=True) if one.kind == kind]
        text.append(f"{kind} {sum(seen)} of {len(seen)}, {100 * np.mean(seen):.1f} %")
    return "  ".join(text)


def tile(image: np.ndarray, roi: ROI, points: np.ndarray) -> np.ndarray:
    """The upright square round the ROI, with points."""
    x, y = (int(v) for v in np.asarray(roi.center))
    half = max(int(0.75 * float(roi.side)), 4)
    drawn = draw_points(image.copy(), points[:, :2], (255, 0, 0))
    padded = np.pad(drawn, ((half, half), (half, half), (0, 0)), mode="edge")
    h, w = image.shape[:2]
    x, y = np.clip(x, 0, w - 1), np.clip(y, 0, h - 1)
    return padded[y : y + 2 * half, x : x + 2 * half]


def by_peer(
    peer: Path, sought: list[Sought], tasks: list[str] | None, *, video: bool
) -> list[bool]:
    """Which of them MediaPipe sees in the whole pictures (``part_peer.py``)."""
    times = {one.picture: one.time for one in sought}
    pictures = sorted(times)
    words = ["--hand-task", tasks[0], "--face-task", tasks[1]] if tasks else []
    words += ["--video"] if video else []
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        # Frames with nothing sought are left out, and time goes on in them.
        file.write("\n".join(f"{round(1000 * times[one])} {one}" for one in pictures))
        file.flush()
        done = subprocess.run(
            [peer / "bin" / "python", ROOT / "tools" / "part_peer.py", file.name, *words],
            capture_output=True,
            text=True,
            check=True,
        )
    answers = [json.loads(line[2:]) for line in done.stdout.splitlines() if line.startswith("@ ")]
    boxes = dict(zip(pictures, answers, strict=True))
    return [
        any(holds(box, one.point) for box in boxes[one.picture][("hand", "face").index(one.kind)])
        for one in sought
    ]


def holds(box: list[float], point: np.ndarray) -> bool:
    """Whether a box, widened by half on every side, holds a point."""
    low, high = np.array(box[:2]), np.array(box[2:])
    margin = (high - low) / 2
    return bool((point >= low - margin).all() and (point <= high + margin).all())


if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except BlazePoseError as error:
        sys.exit(f"part_presence: {error}")
