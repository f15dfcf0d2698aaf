"""A figure of angles and repetitions."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from blazepose_jax.analysis.repetitions import Repetitions
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import written

if TYPE_CHECKING:  # an extra, which may be missing
    from matplotlib.axes import Axes

COLOURS = {"left": "#4285f4", "right": "#ff8a00", "": "#333333"}
SUFFIX = "_deg"
MOST = 8  # panels


def check_plot(path: str | Path) -> str:
    """The format of a picture by its name.

    Raises:
      BlazePoseError: matplotlib is not installed, or does not write such files.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BlazePoseError(
            "plots need matplotlib: pip install 'blazepose_jax[analysis]'"
        ) from error
    kind = Path(path).suffix.lstrip(".").lower()
    known = Figure().canvas.get_supported_filetypes()
    if kind not in known:
        raise BlazePoseError(
            f"plot {str(path)!r} ends in none of {', '.join(sorted(known))}: name a .png or .pdf"
        )
    return kind


def write_plot(
    path: str | Path,
    title: str,
    times: np.ndarray,
    measures: Mapping[str, np.ndarray],
    counted: Mapping[str, tuple[np.ndarray, Repetitions]],
) -> None:
    """Draw a panel for each signal that was counted, then one for each joint, both sides together.

    Args:
      path: of the picture, of any format that matplotlib writes.
      title: above all.
      times: (T,) s.
      measures: from ``measures.measure``; those in degrees of the picture are drawn.
      counted: {what: signal and Repetitions}.

    Raises:
      BlazePoseError: matplotlib is not installed, or the suffix is none of its formats.
    """
    kind = check_plot(path)
    from matplotlib.figure import Figure

    panels = _panels(measures, MOST - len(counted))
    rows = len(counted) + len(panels)
    figure = Figure(figsize=(10, 1 + 1.7 * rows), layout="constrained")
    figure.suptitle(title, parse_math=False)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for axis, (what, (signal, found)) in zip(axes, counted.items(), strict=False):
        _draw_repetitions(axis, what, times, signal, found)
    for axis, (joint, sides) in zip(axes[len(counted) :], panels.items(), strict=True):
        for side, values in sides.items():
            axis.plot(times, values, color=COLOURS[side], lw=1.3, label=side or None)
        axis.set_title(joint.replace("_", " "), loc="left", fontsize=10, parse_math=False)
        axis.set_ylabel("degrees")
        if len(sides) > 1:
            axis.legend(loc="upper right", ncols=2, frameon=False, fontsize=8)
    for axis in axes:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0)
    axes[-1].set_xlabel("seconds")
    with written(Path(path)) as part:
        figure.savefig(part, format=kind, dpi=110)


def _draw_repetitions(
    axis: "Axes", what: str, times: np.ndarray, signal: np.ndarray, found: Repetitions
) -> None:
    axis.plot(times, signal, color=COLOURS[""], lw=1.3)
    for number, repetition in enumerate(found.counted, 1):
        axis.axvspan(repetition.start_s, repetition.end_s, color="#0f9d58", alpha=0.15, lw=0)
        axis.annotate(
            str(number),
            (repetition.turn_s, repetition.extreme),
            ha="center",
            va="bottom",
            color="#0b7a43",
        )
    for repetition in found.rejected:
        axis.axvspan(repetition.start_s, repetition.end_s, color="#d93025", alpha=0.12, lw=0)
    unit = "trunks" if what.startswith("height:") else "degrees"
    axis.set_ylabel(unit)
    rejected = f", {len(found.rejected)} not counted (red)" if found.rejected else ""
    axis.set_title(
        f"{what.replace('_', ' ')}: {len(found.counted)} repetitions{rejected}",
        loc="left",
        fontsize=10,
        parse_math=False,
    )


def _panels(measures: Mapping[str, np.ndarray], most: int) -> dict[str, dict[str, np.ndarray]]:
    """{joint: {side: values}} of the angles in the picture, as many as there is room for."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, values in measures.items():
        if not name.endswith(SUFFIX) or name.endswith(f"_3d{SUFFIX}"):
            continue
        side, _, joint = name.removesuffix(SUFFIX).partition("_")
        if side not in ("left", "right"):
            side, joint = "", name.removesuffix(SUFFIX)
        found.setdefault(joint, {})[side] = values
    return dict(list(found.items())[: max(most, 1)])
