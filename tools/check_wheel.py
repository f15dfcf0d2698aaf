"""A check of the installed wheel: every command's shortest real use, in an empty folder.

Run it with the Python of a bare environment that holds the wheel with its extras ``video``,
``litert`` and ``demo`` and litert-converter, as `make check` does. Google's files are taken from
``BLAZEPOSE_SHARED/models`` where they are; else a detector of its own is trained.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SHARED = Path(os.environ.get("BLAZEPOSE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
GOOGLE = [SHARED / "models" / f"pose_{name}.tflite" for name in ("detection", "landmark_lite")]
# Seconds of the longest command, without compiled programs, on a busy machine.
PATIENCE = 900
# As long as it takes to go through every part of a run.
SHORT = ["optimizer.steps=4", "checkpoint_every=4", "validate_every=4", "data.people=8"]
# MediaPipe takes this detector alone; one step of it takes a minute to compile.
DETECTOR = ["model.name=detector", "optimizer.batch_size=2", "data.held_out=0", "optimizer.steps=1"]


def main() -> None:
    """Entry point."""
    spec = importlib.util.find_spec("blazepose_jax")
    if spec is None or "site-packages" not in Path(str(spec.origin)).parts:
        raise SystemExit(f"{spec and spec.origin} is no installed wheel: install dist/*.whl here")
    # What a script runs in the background ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photograph(folder)
        for steps in ((check_released, check_own), (check_track, check_web)):
            with ThreadPoolExecutor(2) as pool:
                for job in [pool.submit(step, folder) for step in steps]:
                    job.result()
    print(f"every command of the wheel runs ({time.monotonic() - began:.0f} s)")


def has_google() -> bool:
    """Whether Google's files are there."""
    return all(path.is_file() for path in GOOGLE)


def make_photograph(folder: Path) -> None:
    """scikit-image's astronaut, as astronaut.png and, with five points, as annotated people."""
    from PIL import Image
    from skimage.data import astronaut

    (folder / "people").mkdir()
    for path in (folder / "astronaut.png", folder / "people" / "astronaut.png"):
        Image.fromarray(astronaut()).save(path)
    points = {
        "nose": (222, 125, 2),
        "left_shoulder": (330, 290, 2),
        "right_shoulder": (120, 300, 2),
        "left_hip": (300, 500, 1),
        "right_hip": (160, 500, 1),
    }
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [60, 0, 380, 512], "area": 1e5}
    person["keypoints"] = [value for point in points.values() for value in point]
    described = {
        "images": [{"id": 1, "file_name": "astronaut.png", "width": 512, "height": 512}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(points)}],
        "annotations": [person],
    }
    (folder / "people" / "annotations.json").write_text(json.dumps(described), encoding="utf-8")


def check_released(folder: Path) -> None:
    """``released``: Google's nets, or a detector in their place that is trained here."""
    assert "paper_lite" in run(folder, "models")
    assert "released-full" in run(folder, "weights")
    run(folder, "demo", "--help")
    if has_google():
        run(folder, "import", *map(str, GOOGLE), "--output", "released")
        return
    print(f"Google's files are not in {GOOGLE[0].parent}: import is left out")
    run(folder, "train", "smoke", "--workdir", "detector", *SHORT, *DETECTOR)
    shutil.copytree(folder / "detector" / "weights", folder / "released")


def check_own(folder: Path) -> None:
    """What makes a net of its own, without any data at hand."""
    run(
        folder,
        *["data", "prepare", "rendered_people", "--count", "4", "--size", "160"],
        *["--output", "records"],
    )
    assert (folder / "records" / "records.json").is_file()
    missing = ["--workdir", "nothing", "data.records=nowhere"]
    assert "nowhere" in run(folder, "train", "smoke", *missing, code=2)
    run(folder, "train", "smoke", "--workdir", "run", *SHORT)
    own = ["--weights", "run/weights"]
    evaluation = ["--data", "people", "--decode", "regression", "--json", "report.json"]
    run(folder, "evaluate", *own, *evaluation)
    assert "pck@0.2" in (folder / "report.json").read_text(encoding="utf-8")
    run(folder, "export", *own, "--output", "pose.tflite", "--backend", "litert")


def check_track(folder: Path) -> None:
    """Track the photograph by Google's nets, or by those that were trained here."""
    weights = "released" if has_google() else "run/weights"
    nets = ["--weights", weights, "--detector", "released"]
    run(folder, "track", "astronaut.png", *nets, "--json", "poses.json")
    (frame,) = json.loads((folder / "poses.json").read_text(encoding="utf-8"))["frames"]
    assert not has_google() or len(frame["people"]) == 1
    # What ships needs nothing else.
    run(folder, "track", "astronaut.png", "--weights", "full.lsp", "--json", "shipped.json")
    (frame,) = json.loads((folder / "shipped.json").read_text(encoding="utf-8"))["frames"]
    assert len(frame["people"]) == 1


def check_web(folder: Path) -> None:
    """Serve the page, fetch it, its script, its model and MediaPipe's runtime, and stop."""
    began = time.monotonic()
    words = ["web", "--weights", "run/weights", "--detector", "released", "--port", "0"]
    if shutil.which("npm") is None:
        assert "npm" in run(folder, *words, code=2)
        print("npm is not installed: the page is left out")
        return
    with subprocess.Popen(
        command(words), cwd=folder, env=environment(), stdout=subprocess.PIPE, encoding="utf-8"
    ) as server:
        try:
            address = address_of(server)
            for name in ("", "app.js", "model.task", "vision/vision_bundle.mjs"):
                with urllib.request.urlopen(address + name, timeout=60) as answer:
                    assert len(answer.read()) > 1000, name
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                raise SystemExit("blazepose web does not stop at SIGTERM") from None
    print(f"{time.monotonic() - began:5.1f} s  {' '.join(words)}", flush=True)


def address_of(server: subprocess.Popen[str]) -> str:
    """The address that a server prints when it is ready."""
    for line in server.stdout or ():
        if line.startswith("open "):
            return line.split()[1]
    raise SystemExit(f"blazepose web ends with {server.wait()} before it serves the page")


def run(folder: Path, *words: str, code: int = 0) -> str:
    """Run one command in the folder; exits with its output where its exit code is another one.

    Returns:
      Its standard output and standard error.
    """
    began = time.monotonic()
    done = subprocess.run(
        command(words),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=PATIENCE,
    )
    shown = " ".join(Path(word).name if Path(word).is_absolute() else word for word in words)
    if done.returncode != code or "Traceback" in done.stdout:
        raise SystemExit(f"blazepose {shown} exits with {done.returncode}:\n{done.stdout}")
    print(f"{time.monotonic() - began:5.1f} s  {shown}", flush=True)
    return done.stdout


def command(words: Sequence[str]) -> list[str]:
    """The wheel's console script and what follows it."""
    script = shutil.which("blazepose", path=str(Path(sys.executable).parent))
    if script is None:
        raise SystemExit(f"{sys.executable} has no blazepose beside it: install dist/*.whl here")
    return [script, *words]


def environment() -> dict[str, str]:
    """This process's, without what could lead to a checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


if __name__ == "__main__":
    main()
