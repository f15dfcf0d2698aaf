"""A photograph and Google's released nets come in; a tracked clip, its points and one page leave."""

import html
import importlib.util
import string
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.cli.demo.training import train_demo
from blazepose_jax.io.draw import draw_poses
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import write_text
from blazepose_jax.io.frames import to_frame
from blazepose_jax.geometry import rois, warp
from blazepose_jax.io.media import Picture
from blazepose_jax.io.results import JsonWriter
from blazepose_jax.structs import ROI
from blazepose_jax.inference.timing import stage_times
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.video_writer import VideoWriter
from blazepose_jax.weights import import_weights, load_weights

WHEEL = "mediapipe==0.10.21"
# Any platform's wheel holds the same two models; this one exists whatever Python runs here.
WHEEL_TAGS = [
    "--platform",
    "manylinux_2_28_x86_64",
    "--python-version",
    "3.11",
    "--implementation",
    "cp",
]
SECONDS, FPS, SIDE = 5, 30, 480
TRACED = ("nose", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow")
COLOURS = ("#4285f4", "#ff8a00", "#00a8b5", "#a142f4", "#0f9d58")


def run(args: Namespace) -> None:
    """``blazepose demo``."""
    output = Path(args.output)
    if output.is_file():
        raise BlazePoseError(f"output {args.output!r} is a file: name a folder")
    photograph = read_photograph()
    output.mkdir(parents=True, exist_ok=True)
    weights = find_weights(args.source, output)
    began = time.perf_counter()
    tracker = Tracker(weights)
    print(f"tracking {SECONDS * FPS} frames with {tracker.model}")
    traces, found = track_clip(tracker, photograph, output)
    seconds = time.perf_counter() - began
    stages = stage_times(weights, photograph, "jax")
    print("training a small net on rendered people; this takes about three minutes on two cores")
    trained = train_demo(output / "training", args.overrides)
    write_page(output / "index.html", tracker, traces, found, stages, seconds, trained)
    print(
        f"held-out rendered people: PCK@0.2 {trained['pck']}, the median pose has"
        f" {trained['floor']}; {trained['seconds']:.0f} s"
    )
    print(
        f"a person in {found} of {SECONDS * FPS} frames, {tracker.detector_runs} detector runs, "
        f"{seconds:.1f} s with compilation"
    )
    print(f"open {output / 'index.html'}")


def read_photograph() -> np.ndarray:
    """scikit-image's public-domain photograph of the astronaut Eileen Collins (NASA), (512, 512, 3) uint8.

    Raises:
      BlazePoseError: scikit-image is not installed.
    """
    try:
        from skimage.data import astronaut
    except ImportError as error:
        raise BlazePoseError(
            "the demo needs scikit-image's photograph: pip install 'blazepose_jax[demo]'"
        ) from error
    return astronaut()


def find_weights(source: str | None, output: Path) -> Path:
    """A weights directory: the one given, or made from a file, or from the fetched wheel."""
    if source is not None and Path(source).is_dir():
        load_weights(source)
        return Path(source)
    weights = output / "weights"
    if source is None and (weights / "model.json").is_file():
        return weights
    import_weights([source or fetch_wheel(output / "wheel")], weights)
    return weights


def fetch_wheel(folder: Path) -> Path:
    """Fetch the last mediapipe wheel that ships its models, with pip, from the user's package index.

    Raises:
      BlazePoseError: pip is missing, or cannot reach an index.
    """
    kept = sorted(folder.glob("mediapipe-*.whl"))
    if kept:
        return kept[0]
    remedy = (
        f"fetch the wheel {WHEEL} on a machine with network and give it: "
        "blazepose demo --source mediapipe-0.10.21-*.whl (a .task or a weights directory works too)"
    )
    if importlib.util.find_spec("pip") is None:
        raise BlazePoseError(
            f"pip is not installed here, so the models cannot be fetched: {remedy}"
        )
    print(f"fetching {WHEEL} for Google's released models")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        *WHEEL_TAGS,
        "--disable-pip-version-check",
        "--retries",
        "1",
        "--dest",
        str(folder),
        WHEEL,
    ]
    if subprocess.run(command, capture_output=True, text=True).returncode != 0:
        raise BlazePoseError(f"pip could not fetch {WHEEL} (is there network?): {remedy}")
    return sorted(folder.glob("mediapipe-*.whl"))[0]


def moving_camera(photograph: np.ndarray) -> Iterator[Picture]:
    """A clip of the photograph under a camera that pans, turns and zooms; black outside."""
    height, width, _ = photograph.shape
    frame = to_frame(photograph)
    look = jax.jit(
        lambda frame, view: warp.crop(frame, rois.to_affine(view, SIDE), SIDE, border="zero")
    )
    for i in range(SECONDS * FPS):
        phase = 2 * np.pi * i / (SECONDS * FPS)
        view = ROI(
            jnp.array(
                [width * (0.46 + 0.06 * np.sin(phase)), height * (0.45 + 0.05 * np.sin(2 * phase))]
            ),
            jnp.asarray(max(width, height) * (0.95 - 0.12 * np.cos(phase))),
            jnp.asarray(0.35 * np.sin(phase)),
        )
        image = look(frame, view)
        yield Picture(i, i / FPS, np.asarray(image).astype(np.uint8))


def track_clip(tracker: Tracker, photograph: np.ndarray, output: Path) -> tuple[np.ndarray, int]:
    """Write overlay.mp4 and poses.json.

    Returns:
      (frames, traced points, 2) px, NaN where nobody was found; frames with a person.
    """
    video = VideoWriter(output / "overlay.mp4", FPS)
    points = JsonWriter(
        output / "poses.json", "astronaut.mp4", FPS, tracker.model, tracker.skeleton
    )
    traced = list(tracker.skeleton.indices(TRACED))
    traces = []
    try:
        for picture in moving_camera(photograph):
            poses = tracker(picture.image, picture.time)
            video.write(draw_poses(picture.image, poses, tracker.skeleton), picture.time)
            points.write(picture, poses)
            seen = poses.keypoints[0, traced, :2]
            traces.append(seen if poses.present[0] else np.full_like(seen, np.nan))
    except BaseException:
        video.discard()
        points.discard()
        raise
    video.close()
    points.close()
    rows = np.stack(traces)
    return rows, int(np.isfinite(rows[:, 0, 0]).sum())


def write_page(
    path: Path,
    tracker: Tracker,
    traces: np.ndarray,
    found: int,
    stages: dict[str, float],
    seconds: float,
    trained: dict[str, Any],
) -> None:
    """Fill page.html."""
    template = string.Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    rows = "\n".join(
        f"<tr><td>{html.escape(name)}</td><td>{ms:.2f}</td></tr>" for name, ms in stages.items()
    )
    legend = " ".join(
        f'<span style="color:{colour}">&#9632; {html.escape(name)}</span>'
        for name, colour in zip(TRACED, COLOURS, strict=True)
    )
    page = template.substitute(
        model=html.escape(tracker.model),
        frames=len(traces),
        found=found,
        runs=tracker.detector_runs,
        seconds=f"{seconds:.1f}",
        stages=rows,
        legend=legend,
        pck=trained["pck"],
        floor=trained["floor"],
        held_out=trained["people"],
        training_seconds=f"{trained['seconds']:.0f}",
        steps=trained["steps"],
        plot_x=plot(traces[..., 0]),
        plot_y=plot(traces[..., 1]),
    )
    write_text(path, page)


def plot(values: np.ndarray, width: int = 640, height: int = 220) -> str:
    """(frames, lines) px as an SVG of polylines, broken where nobody was found."""
    steps = np.linspace(40, width - 8, len(values))
    lines = []
    for line, colour in zip(values.T, COLOURS, strict=True):
        dots = [
            f"{x:.1f},{height - 20 - (height - 30) * v / SIDE:.1f}"
            for x, v in zip(steps, line, strict=True)
            if np.isfinite(v)
        ]
        lines.append(
            f'<polyline points="{" ".join(dots)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
    ticks = "".join(
        f'<text x="34" y="{height - 16 - (height - 30) * v / SIDE:.0f}"'
        f' text-anchor="end">{v}</text>'
        for v in (0, SIDE // 2, SIDE)
    )
    times = "".join(
        f'<text x="{40 + (width - 48) * s / SECONDS:.0f}" y="{height - 3}">{s} s</text>'
        for s in range(SECONDS)
    )
    return f'<svg viewBox="0 0 {width} {height}" role="img">{ticks}{times}{"".join(lines)}</svg>'
