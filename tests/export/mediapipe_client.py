"""MediaPipe Tasks as a process of its own.

Jobs as JSON on standard input, points as JSON on standard output.

A job is {"task": path, "frames": [.npy paths], "video": bool}; its answer a list, per frame, of
people, each a list of (x, y, z, visibility, presence), then of world (x, y, z). Runs in the
environments that `make clients` installs.
"""

import json
import sys

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision


def run(job):
    mode = vision.RunningMode.VIDEO if job["video"] else vision.RunningMode.IMAGE
    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=job["task"]),
        running_mode=mode,
        min_pose_presence_confidence=job.get("presence", 0.5),
    )
    found = []
    with vision.PoseLandmarker.create_from_options(options) as landmarker:
        for i, path in enumerate(job["frames"]):
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.load(path))
            result = (
                landmarker.detect_for_video(image, 33 * i + 33)
                if job["video"]
                else landmarker.detect(image)
            )
            found.append(
                [
                    [
                        [p.x, p.y, p.z, p.visibility, p.presence, w.x, w.y, w.z]
                        for p, w in zip(points, world, strict=True)
                    ]
                    for points, world in zip(
                        result.pose_landmarks, result.pose_world_landmarks, strict=True
                    )
                ]
            )
    return found


def described(path):
    """The metadata of a .tflite, read by MediaPipe's own reader, as JSON text; and its files."""
    from mediapipe.tasks.python.metadata import metadata

    with open(path, "rb") as file:
        shown = metadata.MetadataDisplayer.with_model_buffer(file.read())
    return {
        "metadata": json.loads(shown.get_metadata_json()),
        "files": list(shown.get_packed_associated_file_list()),
    }


job = json.load(sys.stdin)
answer = described(job["describe"]) if "describe" in job else [run(one) for one in job["jobs"]]
json.dump({"version": mp.__version__, "answer": answer}, sys.stdout)
