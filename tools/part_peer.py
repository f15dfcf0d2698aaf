"""What ``part_presence.py`` runs by another Python: MediaPipe's own hands and faces.

    python part_peer.py PICTURES.txt [--hand-task H.task --face-task F.task] [--video]

One picture a line: its time in ms and its path. Prints a line of JSON for each: boxes of the hands,
boxes of the faces, xyxy in px. Without tasks mediapipe 0.10.21's ``solutions`` look, each picture
by itself; with them its Landmarkers do, by video mode where ``--video`` says that the pictures are
frames.
"""

import argparse
import json
from collections.abc import Callable

import mediapipe as mp
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision
from PIL import Image

MOST = 20  # hands or faces of a picture
# Picture and its time in ms to the points of each hand or face, in [0, 1].
Look = Callable[[np.ndarray, int], list]


def by_solutions() -> list[Look]:
    """The models in the wheel."""
    hands = mp.solutions.hands.Hands(static_image_mode=True, max_num_hands=MOST)
    faces = mp.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=MOST)
    return [
        lambda image, _: [p.landmark for p in hands.process(image).multi_hand_landmarks or []],
        lambda image, _: [p.landmark for p in faces.process(image).multi_face_landmarks or []],
    ]


def by_tasks(hand_task: str, face_task: str, video: bool) -> list[Look]:
    """MediaPipe's Landmarkers, at their default confidences."""
    mode = vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE
    hands = vision.HandLandmarker.create_from_options(
        vision.HandLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=hand_task),
            running_mode=mode,
            num_hands=MOST,
        )
    )
    faces = vision.FaceLandmarker.create_from_options(
        vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=face_task),
            running_mode=mode,
            num_faces=MOST,
        )
    )

    def look(landmarker, image: np.ndarray, ms: int):
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=image)
        return landmarker.detect_for_video(picture, ms) if video else landmarker.detect(picture)

    return [
        lambda image, ms: look(hands, image, ms).hand_landmarks,
        lambda image, ms: look(faces, image, ms).face_landmarks,
    ]


def main() -> None:
    """Look at every picture."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures")
    parser.add_argument("--hand-task")
    parser.add_argument("--face-task")
    parser.add_argument("--video", action="store_true")
    args = parser.parse_args()
    files = (args.hand_task, args.face_task)
    looks = by_tasks(*files, args.video) if args.hand_task else by_solutions()
    with open(args.pictures) as lines:
        pictures = [line.split(" ", 1) for line in lines.read().splitlines()]
    for ms, path in pictures:
        image = np.ascontiguousarray(np.array(Image.open(path).convert("RGB")))
        scale = image.shape[1::-1]
        found = [
            [np.array([[p.x, p.y] for p in one]) * scale for one in look(image, int(ms))]
            for look in looks
        ]
        boxes = [[[*p.min(0), *p.max(0)] for p in kind] for kind in found]
        print("@", json.dumps(boxes), flush=True)


if __name__ == "__main__":
    main()
