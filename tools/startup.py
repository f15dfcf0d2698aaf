"""From the command to the first pose: `blazepose track PHOTO` and MediaPipe Tasks, in turns.

    make setup peers
    .venv/bin/python tools/startup.py PHOTO [--weights W] [--peer VENV] [--rounds 5]

Both start Python, load the networks, find the person in the photograph and write the points to a
file. "Nothing cached" is with an empty ``BLAZEPOSE_CACHE`` and no compiled programs; the files
themselves are in the system's cache in every round, and Python's compiled modules on the disk, even
where the environment says that it writes none. Prints medians and ranges, in seconds.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mediapipe_turns import google_task

from blazepose_jax.cli.options import locate

ROOT = Path(__file__).resolve().parent.parent
PEER = """
import sys
import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
task, photo, out = sys.argv[1:]
options = vision.PoseLandmarkerOptions(base_options=BaseOptions(model_asset_path=task))
with vision.PoseLandmarker.create_from_options(options) as landmarker:
    found = landmarker.detect(mp.Image.create_from_file(photo)).pose_landmarks
    open(out, "w").write(repr([(p.x, p.y) for p in found[0]]))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo")
    parser.add_argument("--weights", default="released-full")
    parser.add_argument("--peer", type=Path, default=ROOT / ".venv-mediapipe-1.2.2")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    weights = locate(args.weights)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "peer.task").write_bytes(google_task(weights))
        commands = commands_of(args, weights, folder)
        times: dict[str, list[float]] = {title: [] for title in commands}
        for _ in range(args.rounds + 1):
            for title, run in commands.items():
                began = time.perf_counter()
                run()
                times[title].append(time.perf_counter() - began)
    print("| from the command to the points of a photograph | s, median (range) |\n|---|---|")
    for title, found in times.items():
        # The first round fills caches.
        rest = found[1:]
        print(f"| {title} | {statistics.median(rest):.1f} ({min(rest):.1f} to {max(rest):.1f}) |")


def commands_of(
    args: argparse.Namespace, weights: str, folder: Path
) -> dict[str, Callable[[], None]]:
    """What is measured, by title."""
    peer = [str(args.peer / "bin" / "python"), "-c", PEER, str(folder / "peer.task"), args.photo]
    commands = {"MediaPipe Tasks": lambda: call([*peer, str(folder / "peer.txt")], None)}
    for runtime in ("litert", "jax"):
        own = [sys.executable, "-m", "blazepose_jax.cli", "track", args.photo, "--search", "none"]
        own += ["--decode", "refine", "--weights", weights, "--runtime", runtime, "--json"]
        out = str(folder / f"{runtime}.json")
        commands[f"`track --runtime {runtime}`"] = lambda own=own, out=out: call(
            [*own, out], str(folder / "cache")
        )
        commands[f"`track --runtime {runtime}`, nothing cached"] = lambda own=own, out=out: (
            call_uncached([*own, out])
        )
    return commands


def call_uncached(words: list[str]) -> None:
    """Run a command with empty caches."""
    with tempfile.TemporaryDirectory() as cache:
        call(words, cache)


def call(words: list[str], cache: str | None) -> None:
    """Run a command; our own with a folder for its caches."""
    own = {} if cache is None else {"BLAZEPOSE_CACHE": cache}
    left_out = ("JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE")
    inherited = {k: v for k, v in os.environ.items() if k not in left_out}
    done = subprocess.run(words, env=inherited | own, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)[:200]} failed: {done.stderr[-500:]}")


if __name__ == "__main__":
    main()
