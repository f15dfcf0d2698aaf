"""The report of a run: a picture of its curves, and a page."""

import html
from pathlib import Path
from typing import Any

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import write_text, written
from blazepose_jax.io.json_files import read_json_lines

TITLES = {"pck@0.2": "PCK@0.2, regression", "recall": "people found"}


def read_metrics(workdir: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(training rows, validation rows) of metrics.jsonl."""
    rows = read_json_lines(workdir / "metrics.jsonl")
    return (
        [r for r in rows if r.get("kind") == "train" and {"step", "loss"} <= r.keys()],
        [r for r in rows if r.get("kind") == "validation" and "step" in r],
    )


def write_report(workdir: Path) -> None:
    """Write curves.png and report.html.

    Raises:
      BlazePoseError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BlazePoseError(
            "curves need matplotlib: pip install 'blazepose_jax[train]'"
        ) from error
    learned, held_out = read_metrics(workdir)
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([r["step"] for r in learned], [r["loss"] for r in learned], color="#4285f4")
    left.set(title="loss", xlabel="step")
    # An own objective need not measure any of them.
    name = "recall" if any("recall" in r for r in (*learned, *held_out)) else "pck@0.2"
    measured = [r for r in learned if name in r]
    right.plot(
        [r["step"] for r in measured],
        [r[name] for r in measured],
        color="#4285f4",
        label="training, disturbed",
    )
    for held, colour in ((name, "#ff8a00"), ("precision", "#0f9d58")):
        if held_out and held in held_out[0]:
            right.plot(
                [r["step"] for r in held_out],
                [r[held] for r in held_out],
                color=colour,
                marker="o",
                label=f"{held}, held out",
            )
    right.set(title=TITLES[name], xlabel="step", ylim=(0, 100))
    right.legend()
    with written(workdir / "curves.png") as part:
        figure.savefig(part, dpi=110)
    config = html.escape((workdir / "config.json").read_text(encoding="utf-8"))
    last = held_out[-1] if held_out else {}
    rows = "".join(
        f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(str(v))}</td></tr>"
        for k, v in last.items()
    )
    write_text(
        workdir / "report.html",
        "<!doctype html><meta charset=utf-8><title>training"
        " report</title><style>body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem"
        " auto}img{width:100%}</style><h1>Training report</h1><img src=curves.png"
        " alt=curves><h2>Held-out"
        f" people</h2><table>{rows}</table><h2>Config</h2><pre>{config}</pre>",
    )
