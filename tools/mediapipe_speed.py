"""MediaPipe Tasks and this package on the same decoded frames, in alternating passes: the speed
mode of compare_mediapipe.py.

Workers run in either environment, and wait while another works.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def serve(kind: str, folder: Path) -> None:
    """Worker: read a line, track every frame once, answer with one line of JSON.

    Runs in either environment.
    """
    frames = [np.load(path) for path in sorted(folder.glob("*.npy"))]
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    make = mediapipe_pass if kind == "mediapipe" else own_pass
    one_pass = make(kind, job, folder)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        times, people = one_pass(frames)
        status = Path("/proc/self/status").read_text() if Path("/proc/self/status").exists() else ""
        anonymous = [
            int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")
        ]
        sys.stdout.write(
            json.dumps({"times": times, "people": people, "rss_mib": sum(anonymous) / 1024}) + "\n"
        )
        sys.stdout.flush()


def mediapipe_pass(kind: str, job: dict, folder: Path):
    """MediaPipe Tasks' PoseLandmarker, a new one per pass; points in image px."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    mode = vision.RunningMode.VIDEO if job["video"] else vision.RunningMode.IMAGE
    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(folder / "peer.task")), running_mode=mode
    )

    def one_pass(frames):
        times, people = [], []
        with vision.PoseLandmarker.create_from_options(options) as landmarker:
            for frame, stamp in zip(frames, job["times"], strict=True):
                image = mp.Image(image_format=mp.ImageFormat.SRGB, data=frame)
                began = time.perf_counter()
                # A first timestamp of 0 would count as none; a second more changes nothing else.
                result = (
                    landmarker.detect_for_video(image, round(1000 * stamp) + 1000)
                    if job["video"]
                    else landmarker.detect(image)
                )
                times.append(time.perf_counter() - began)
                height, width = frame.shape[:2]
                people.append(
                    [[p.x * width, p.y * height] for p in result.pose_landmarks[0]]
                    if result.pose_landmarks
                    else None
                )
        return times, people

    return one_pass


def own_pass(kind: str, job: dict, folder: Path):
    """This package's Tracker, reset per pass; kind is the runtime, or ``also``."""
    from blazepose_jax.inference import MEDIAPIPE
    from blazepose_jax.inference.tracker import Tracker
    from blazepose_jax.io.cache import use_compilation_cache

    use_compilation_cache()
    # The same work on both sides; our own defaults decode and search otherwise.
    weights, runtime = (job["also"], "litert") if kind == "also" else (job["weights"], kind)
    tracker = Tracker(weights, runtime=runtime, settings=MEDIAPIPE)

    def one_pass(frames):
        tracker.reset()
        times, people = [], []
        for frame, stamp in zip(frames, job["times"], strict=True):
            if not job["video"]:
                tracker.reset()
            began = time.perf_counter()
            poses = tracker(frame, stamp)
            times.append(time.perf_counter() - began)
            people.append(poses.keypoints[0, :, :2].tolist() if poses.present[0] else None)
        return times, people

    return one_pass


def prepare(args: argparse.Namespace, folder: Path) -> dict:
    """Decode the input once, and bundle Google's own files for the peer."""
    from mediapipe_turns import google_task

    from blazepose_jax.io.media import read_media

    media = read_media(args.input)
    times = []
    for picture in media:
        np.save(folder / f"{len(times):06d}.npy", picture.image)
        times.append(picture.time)
        if len(times) == args.frames:
            break
    (folder / "peer.task").write_bytes(google_task(args.weights))
    job = {"times": times, "video": media.is_sequence, "weights": str(Path(args.weights).resolve())}
    if args.also:
        job["also"] = str(Path(args.also).resolve())
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    return job


def start(kind: str, python: Path, folder: Path) -> subprocess.Popen:
    """Start a worker and wait until it has loaded."""
    worker = subprocess.Popen(
        [str(python), __file__, "--serve", kind, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env={**os.environ, "GLOG_minloglevel": "2"},
    )
    if worker.stdout.readline().strip() != "ready":
        raise SystemExit(
            f"the {kind} worker did not start: run `{python} {__file__} --serve {kind} {folder}` by"
            " hand"
        )
    return worker


@contextlib.contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """So many processes that compute without end beside whatever is measured."""
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def ask(worker: subprocess.Popen) -> dict:
    """One pass."""
    worker.stdin.write("pass\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def distances(ours: list, theirs: list) -> dict:
    """Px between the points of frames where both found the same person.

    The same: the median distance is below a quarter of the diagonal of MediaPipe's points.
    """
    both = [(np.array(a), np.array(b)) for a, b in zip(ours, theirs, strict=True) if a and b]
    apart = [np.linalg.norm(a - b, axis=1) for a, b in both]
    size = [np.linalg.norm(np.ptp(b, axis=0)) for _, b in both]
    same = [d for d, s in zip(apart, size, strict=True) if np.median(d) < s / 4]
    points, means = np.concatenate(same), [d.mean() for d in same]
    return {
        "frames": len(ours),
        "ours": sum(a is not None for a in ours),
        "theirs": sum(b is not None for b in theirs),
        "same_person": len(same),
        "mean_px": float(points.mean()),
        "p95_px": float(np.percentile(points, 95)),
        "max_px": float(points.max()),
        "median_of_frame_means_px": float(np.median(means)),
        "worst_frame_mean_px": float(np.max(means)),
    }


def compare(args: argparse.Namespace, python: Path) -> dict:
    """Run the alternating passes and sum up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = prepare(args, folder)
        ours = ("litert", "jax", "also") if args.also else ("litert", "jax")
        kinds = {"mediapipe": python, **dict.fromkeys(ours, Path(sys.executable))}
        workers = {kind: start(kind, path, folder) for kind, path in kinds.items()}
        runs: dict[str, list[dict]] = {kind: [] for kind in kinds}
        with busy_cores(args.busy):
            for _ in range(args.passes + 1):
                for kind, worker in workers.items():
                    runs[kind].append(ask(worker))
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()
        from blazepose_jax.inference.timing import stage_times

        image = np.load(folder / "000000.npy")
        stages = {kind: stage_times(args.weights, image, kind) for kind in ("litert", "jax")}
    peer = np.array([sum(run["times"]) for run in runs["mediapipe"][1:]])
    report = {
        "input": Path(args.input).name,
        "frames": len(job["times"]),
        "passes": args.passes,
        "busy": args.busy,
        "mode": "video" if job["video"] else "image",
        "mediapipe_fps": float(len(job["times"]) / np.median(peer)),
    }
    for kind in ours:
        own = np.array([sum(run["times"]) for run in runs[kind][1:]])
        report[kind] = {
            "fps": float(len(job["times"]) / np.median(own)),
            "fps_ratio": float(np.median(peer / own)),
            "fps_ratio_range": [float((peer / own).min()), float((peer / own).max())],
            "rss_mib_after_each_pass": [round(run["rss_mib"]) for run in runs[kind]],
            "distance": distances(runs[kind][-1]["people"], runs["mediapipe"][-1]["people"]),
            "stage_ms": stages.get(kind),
        }
    report["peak_memory_mib"] = {kind: peak_memory(args, kind) for kind in ("litert", "jax")}
    return report


def peak_memory(args: argparse.Namespace, runtime: str) -> float:
    """Largest resident size of ``blazepose track`` on the input, everything included."""
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True,"
        " capture_output=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss /"
        " 1024)"
    )
    command = [
        sys.executable,
        "-m",
        "blazepose_jax.cli",
        "track",
        args.input,
        "--weights",
        str(args.weights),
        "--runtime",
        runtime,
    ]
    done = subprocess.run(
        [sys.executable, "-c", script, *command], check=True, capture_output=True, encoding="utf-8"
    )
    return round(float(done.stdout))


if __name__ == "__main__":
    serve(sys.argv[2], Path(sys.argv[3]))
