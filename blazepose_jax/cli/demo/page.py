"""The demo's page: figures of the tracked clip and of the trained net."""

import html
import string
from pathlib import Path

import numpy as np

from blazepose_jax.cli.demo.clip import FPS, SIDE, TRACED, TrackedClip
from blazepose_jax.cli.demo.training import TrainedDemo
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.files import write_text

# Of the traced points, in their order.
COLOURS = ("#4285f4", "#ff8a00", "#00a8b5", "#a142f4", "#0f9d58")


def write_page(
    path: Path,
    tracker: Tracker,
    tracked: TrackedClip,
    stages: dict[str, float],
    seconds: float,
    trained: TrainedDemo,
) -> None:
    """Fill page.html.

    Args:
      path: of the page to write.
      tracker: that tracked the clip.
      tracked: what it found.
      stages: {stage of the pipeline: ms}.
      seconds: that tracking took.
      trained: the small net's figures.
    """
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
        frames=len(tracked.traces),
        found=tracked.found,
        runs=tracker.detector_runs,
        seconds=f"{seconds:.1f}",
        stages=rows,
        legend=legend,
        pck=trained.pck,
        floor=trained.floor,
        held_out=trained.people,
        training_seconds=f"{trained.seconds:.0f}",
        steps=trained.steps,
        plot_x=plot(tracked.traces[..., 0]),
        plot_y=plot(tracked.traces[..., 1]),
    )
    write_text(path, page)


def plot(values: np.ndarray, width: int = 640, height: int = 220) -> str:
    """An SVG of polylines, broken where nobody was found.

    Args:
      values: (frames, lines) px of a frame.
      width: px of the plot.
      height: px of the plot.
    """
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
    seconds = len(values) // FPS
    times = "".join(
        f'<text x="{40 + (width - 48) * s / seconds:.0f}" y="{height - 3}">{s} s</text>'
        for s in range(seconds)
    )
    return f'<svg viewBox="0 0 {width} {height}" role="img">{ticks}{times}{"".join(lines)}</svg>'
