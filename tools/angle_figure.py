"""The figure of docs/analysis.md: what each joint angle is measured between.

.venv/bin/python tools/angle_figure.py docs/images/joint_angles.png
"""

import dataclasses
import sys

import numpy as np
from matplotlib.figure import Figure

from blazepose_jax.analysis import ANGLES, joint_angles, trunk_lean
from blazepose_jax.rendering.exercises import exercise_figures, usual_person
from blazepose_jax.skeleton import BLAZEPOSE

SHOWN = ("left_elbow", "left_shoulder", "left_hip", "left_knee", "left_ankle")
COLOURS = ("#4285f4", "#db4437", "#0f9d58", "#ab47bc", "#ff8a00")


def main(path: str) -> None:
    """Draw somebody who squats, seen from her left."""
    body = exercise_figures("squat", np.array([0.85]), usual_person(), view=1.35)
    points = np.asarray(body.points)[0, :, :2]
    names = BLAZEPOSE.keypoints
    at = {name: points[names.index(name)] for name in names}
    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    axis = figure.subplots()
    for a, b in BLAZEPOSE.bone_indices:
        axis.plot(*points[[a, b]].T, color="#9aa0a6" if a > 10 else "#d5d8dc", lw=3, zorder=1)
    angles = joint_angles(points, names)
    for name, colour in zip(SHOWN, COLOURS, strict=True):
        first, joint, last = (at[point] for point in dataclasses.astuple(ANGLES[name]))
        draw_arc(axis, joint, first, last, f"{name[5:]} {angles[name]:.0f}°", colour)
    hips = (at["left_hip"] + at["right_hip"]) / 2
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    axis.plot([hips[0]] * 2, [hips[1], hips[1] - 0.75], "--", color="#333333", lw=1)
    axis.plot(*np.stack([hips, shoulders]).T, color="#333333", lw=1)
    lean = float(trunk_lean(points, names))
    axis.annotate(
        f"trunk_lean {lean:+.0f}°\n(+ is to the right)",
        (hips[0] - 0.02, hips[1] - 0.77),
        ha="right",
    )
    axis.set_aspect("equal")
    axis.invert_yaxis()
    axis.margins(0.12)
    axis.axis("off")
    figure.savefig(path, dpi=110)


def draw_arc(axis, joint, first, last, label, colour) -> None:
    """An arc from one limb to the other, at the joint."""
    a, b = (np.arctan2(*(end - joint)[::-1]) for end in (first, last))
    span = np.angle(np.exp(1j * (b - a)))
    turns = a + np.linspace(0, span, 40)
    arc = joint + 0.09 * np.stack([np.cos(turns), np.sin(turns)], -1)
    axis.plot(*arc.T, color=colour, lw=2.5, zorder=3)
    axis.plot(*joint, "o", color=colour, ms=6, zorder=3)
    middle = a + span / 2
    # A shoulder's label lies behind it, where nothing else is.
    away = -0.2 if label.startswith("shoulder") else 0.2
    place = joint + away * np.array([np.cos(middle), np.sin(middle)])
    axis.annotate(label, place, color=colour, ha="center", va="center", weight="bold")


if __name__ == "__main__":
    main(sys.argv[1])
