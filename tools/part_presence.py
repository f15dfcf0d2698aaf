"""How often a hand or face model sees what it should in the squares of ``inference.regions``.

    make setup peers
    .venv/bin/python tools/part_presence.py --hand-model H.tflite --face-model F.tflite
    [--data DIR] [--weights W] [--scales 1.5,2.0,...] [--peer VENV] [--pictures F.png]

DIR holds people with COCO's keypoints. A hand counts where its wrist is labelled visible, a face
where nose and both eyes are. Each is looked at in the square that the pose gives, whose ROI is that
of the truth, and is seen where the model's presence is 0.5 or more. Beside it: MediaPipe's own
hands and face mesh, which look for them in the whole photograph, by the models in the peer's wheel;
one of theirs counts where its points' box, widened by half, holds the wrist, or the nose.
"""

import argparse
import json
import subprocess
import sys
import tempfile
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
from blazepose_jax.io.draw import contact_sheet, draw_points, save_image
from blazepose_jax.io.images import read_image
from blazepose_jax.structs import ROI

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
FACE = ("nose", "left_eye", "right_eye")
# What the peer runs: its solutions on whole photographs, one answer a line.
PEER = """
import json, sys
import mediapipe as mp
import numpy as np
from PIL import Image
hands = mp.solutions.hands.Hands(static_image_mode=True, max_num_hands=20)
faces = mp.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=20)
for line in open(sys.argv[1]):
    image = np.array(Image.open(line.strip()).convert("RGB"))
    h, w = image.shape[:2]
    def boxes(found):
        out = []
        for one in found or []:
            p = np.array([[q.x * w, q.y * h] for q in one.landmark])
            out.append([*p.min(0).tolist(), *p.max(0).tolist()])
        return out
    print("@", json.dumps([boxes(hands.process(image).multi_hand_landmarks),
                           boxes(faces.process(image).multi_face_landmarks)]))
"""


def run(words: list[str]) -> None:
    """Measure and print.

    Raises:
      BlazePoseError: bad input.
    """
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hand-model", required=True)
    parser.add_argument("--face-model", required=True)
    parser.add_argument("--data", default=str(SHARED / "data" / "coco_dev"))
    parser.add_argument("--weights", default="full")
    parser.add_argument("--scales", default="1.4,1.7,2.0,2.3,2.7,3.0")
    parser.add_argument("--peer", default=ROOT / ".venv-mediapipe-0.10.21", type=Path)
    parser.add_argument("--pictures", help="write hands and faces as one picture")
    args = parser.parse_args(words)
    engine = load_engine(locate(args.weights), None, Settings(), "litert")
    data = read_annotations(args.data, evaluation=True, skeleton=engine.skeleton)
    found = predict(engine, data, "truth", data.people)
    parts = [part for one in found for part in parts_of(one.person, data.names)]
    print(f"{sum(k == 'hand' for _, k, *_ in parts)} hands, ", end="")
    print(f"{sum(k == 'face' for _, k, *_ in parts)} faces of {len(found)} people")
    models = {"hand": PartModel(args.hand_model), "face": PartModel(args.face_model)}
    poses = {id(one.person): poses_of(engine, one) for one in found}
    tiles = []
    for scale in map(float, args.scales.split(",")):
        seen: dict[str, list[bool]] = {"hand": [], "face": []}
        for person, kind, side, _ in parts:
            roi = region(poses[id(person)], kind, side, scale)
            part = models[kind](read_image(person.image), roi)
            seen[kind].append((part.presence or 0.0) >= PRESENT)
            if args.pictures and scale == 2.0 and len(tiles) < 64:
                tiles.append(tile(read_image(person.image), roi, np.asarray(part.keypoints)))
        shares = "  ".join(f"{kind} {100 * np.mean(row):.1f}" for kind, row in seen.items())
        print(f"scale {scale}: {shares}")
    if args.pictures:
        save_image(contact_sheet(tiles, 8), Path(args.pictures))
    if args.peer.exists():
        print_peer(args.peer, parts)


def parts_of(person, names):
    """(person, kind, side, point) of the hands and the face that are labelled visible."""
    visible = {n: person.visibility_flags[names.index(n)] == 2 for n in names}
    for i, side in enumerate(SIDES):
        if visible[f"{side}_wrist"]:
            yield person, "hand", i, person.keypoints[names.index(f"{side}_wrist")]
    if all(visible[n] for n in FACE):
        yield person, "face", 0, person.keypoints[names.index("nose")]


def poses_of(engine, prediction):
    """The pose in the ROI that was predicted from."""
    roi = jax.tree.map(lambda a: np.asarray(a)[None], prediction.roi)
    return engine.estimate(read_image(prediction.person.image), roi)


def region(poses, kind: str, side: int, scale: float) -> ROI:
    """() ROI of a hand or the face of the only slot."""
    roi, _ = hand_rois(poses, scale=scale) if kind == "hand" else face_roi(poses, scale=scale)
    place = (0, side) if kind == "hand" else (0,)
    return jax.tree.map(lambda a: np.asarray(a)[place], roi)


def tile(image: np.ndarray, roi: ROI, points: np.ndarray) -> np.ndarray:
    """The upright square round the ROI, with points."""
    x, y = (int(v) for v in np.asarray(roi.center))
    half = max(int(0.75 * float(roi.side)), 4)
    drawn = draw_points(image.copy(), points[:, :2], (255, 0, 0))
    padded = np.pad(drawn, ((half, half), (half, half), (0, 0)), mode="edge")
    h, w = image.shape[:2]
    x, y = np.clip(x, 0, w - 1), np.clip(y, 0, h - 1)
    return padded[y : y + 2 * half, x : x + 2 * half]


def print_peer(peer: Path, parts) -> None:
    """MediaPipe's hands and faces in the same photographs."""
    images = sorted({str(person.image) for person, *_ in parts})
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(images))
        file.flush()
        done = subprocess.run(
            [peer / "bin" / "python", "-c", PEER, file.name],
            capture_output=True,
            text=True,
            check=True,
        )
    answers = [json.loads(line[2:]) for line in done.stdout.splitlines() if line.startswith("@ ")]
    boxes = dict(zip(images, answers, strict=True))
    seen: dict[str, list[bool]] = {"hand": [], "face": []}
    for person, kind, _, point in parts:
        rows = boxes[str(person.image)][0 if kind == "hand" else 1]
        seen[kind].append(any(holds(row, point) for row in rows))
    shares = "  ".join(f"{kind} {100 * np.mean(row):.1f}" for kind, row in seen.items())
    print(f"MediaPipe, whole photograph: {shares}")


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
