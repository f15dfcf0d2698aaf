"""Photographs through MediaPipe Tasks or through this package, as a process of its own.

    python tools/mediapipe_stills.py JOB

JOB is JSON: {"task": PATH} for MediaPipe's image mode, or {"weights": W, "search": NAME,
"threads": N} for the Tracker as apps call it on stills. The first line on standard output is the
version of what runs. Then each line of JSON on standard input, a list of .npy pictures, is answered
by a line: lists with, per picture, ``points`` (K rows of x and y, px; null where nobody is found),
``seconds`` of the call and ``processor`` seconds of all threads. Runs in either environment.
"""

import json
import sys
import time

import numpy as np


def mediapipe_look(job):
    """MediaPipe's version, and what finds one person in a picture."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=job["task"]),
        running_mode=vision.RunningMode.IMAGE,
    )
    landmarker = vision.PoseLandmarker.create_from_options(options)

    def look(picture):
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=picture)
        return landmarker.detect(image).pose_landmarks

    def points(found, picture):
        height, width = picture.shape[:2]
        return [[p.x * width, p.y * height] for p in found[0]] if found else None

    return mp.__version__, look, points


def own_look(job):
    """The same of this package."""
    import blazepose_jax
    from blazepose_jax.inference.settings import Settings
    from blazepose_jax.inference.tracker import Tracker
    from blazepose_jax.io.cache import use_compilation_cache

    use_compilation_cache()
    settings = Settings(decode="stills", search=job["search"])
    tracker = Tracker(job["weights"], settings=settings, runtime="litert", threads=job["threads"])

    def look(picture):
        tracker.reset()
        return tracker(picture)

    def points(poses, picture):
        return poses.keypoints[0, :, :2].tolist() if poses.present[0] else None

    return blazepose_jax.__version__, look, points


def main():
    """Answer until standard input ends."""
    job = json.loads(sys.argv[1])
    version, look, points = (mediapipe_look if "task" in job else own_look)(job)
    print(version, flush=True)
    for line in sys.stdin:
        answer = {"points": [], "seconds": [], "processor": []}
        for path in json.loads(line):
            picture = np.load(path)
            began, used = time.perf_counter(), time.process_time()
            found = look(picture)
            answer["seconds"].append(time.perf_counter() - began)
            answer["processor"].append(time.process_time() - used)
            answer["points"].append(points(found, picture))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
