"""What the quality function knows of people who were held out."""

import argparse

import jax
import numpy as np
from labelled import JOINT_ROWS, Rows, examples, hypotheses, read_looks, run_function
from looks import DETECTED
from safetensors.numpy import load_file

from blazepose_jax.inference import quality, search
from blazepose_jax.inference.search import TURNS


def report(args: argparse.Namespace) -> None:
    """Print what the function knows of people who were held out, and whom the judge chooses."""
    parameters = load_file(args.parameters)
    for path in args.files:
        looks = read_looks([path])
        data = examples(looks)
        points, pose = (
            np.asarray(a) for a in run_function(parameters, data["points"], data["pose"])
        )
        print(f"{path}: {len(pose)} looks at {len(looks['id'])} people")
        _report_points(looks, data, points)
        seen = data["judged"] > 0
        chance, share = np.asarray(jax.nn.sigmoid(pose))[seen], data["share"][seen]
        peaks = looks["peak"][:, JOINT_ROWS].mean(1)[seen]
        print(
            f"  quality: correlation with the share of hits {np.corrcoef(chance, share)[0, 1]:.3f}"
            f" (mean peak {np.corrcoef(peaks, share)[0, 1]:.3f}), calibration error"
            f" {calibration_error(chance, share):.3f}"
        )
        for name, turns in TURNS.items():
            _report_choice(looks, data, parameters, name, turns)


def _report_points(looks: Rows, data: Rows, logits: np.ndarray) -> None:
    landmarks = looks["landmarks"]
    scores = {
        "confidence": jax.nn.sigmoid(logits),
        "heatmap peak": looks["peak"],
        "visibility": jax.nn.sigmoid(landmarks[..., 3]),
        "presence": jax.nn.sigmoid(landmarks[..., 4]),
    }
    print(f"  {'AUC / calibration error':24}" + "".join(f"{name:>16}" for name in scores))
    joints = {name: [row] for name, row in zip(quality.JOINTS, JOINT_ROWS.tolist(), strict=True)}
    for name, rows in {"all joints": JOINT_ROWS.tolist(), **joints}.items():
        known = data["weights"][:, rows] > 0
        labels, cells = data["right"][:, rows][known], []
        for score in scores.values():
            values = np.asarray(score)[:, rows][known]
            cells.append(f"{auc(values, labels):.3f} / {calibration_error(values, labels):.3f}")
        print(f"  {name:24}" + "".join(f"{cell:>16}" for cell in cells))


def _report_choice(
    looks: Rows, data: Rows, parameters: quality.Parameters, name: str, turns: int
) -> None:
    """PCK@0.2 of the hypothesis that each score would choose."""
    table = hypotheses(looks, data, parameters, turns)
    row, valid = table["row"], table["valid"]
    first = valid & (looks["kind"][row] == DETECTED) & (looks["turn"][row] == 0)
    presence = np.asarray(jax.nn.sigmoid(looks["presence"][row]))
    ways = {
        "detection score": np.where(first, looks["score"][row], -1),
        "score x size": np.where(first, looks["score"][row] * looks["roi"][row, 2], -1),
        "mean peak x presence": looks["peak"][row][..., JOINT_ROWS].mean(-1) * presence,
        "quality": table["facts"][..., 0],
        "judge": np.asarray(search.judge(parameters, table["facts"])),
        "the truth": table["hits"],
    }
    labelled = (looks["flags"] > 0)[
        :, [list(looks["names"]).index(n) for n in quality.JOINTS]
    ].sum()
    cells = []
    for way, score in ways.items():
        best = np.where(valid, score, -np.inf).argmax(1)
        hits = np.take_along_axis(table["hits"], best[:, None], 1).sum() * len(JOINT_ROWS)
        cells.append(f"{way} {100 * hits / labelled:.2f}")
    print(f"  {name}, PCK@0.2 by " + ", ".join(cells))


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The chance that a right point has a higher score than a wrong one."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    right = float(labels.sum())
    wrong = len(labels) - right
    return float((ranks[labels > 0].sum() - right * (right + 1) / 2) / max(right * wrong, 1))


def calibration_error(chances: np.ndarray, shares: np.ndarray, bins: int = 15) -> float:
    """The mean distance between chance and share in bins of equal width."""
    place = np.clip((chances * bins).astype(int), 0, bins - 1)
    return float(
        sum(
            abs(chances[place == i].mean() - shares[place == i].mean()) * (place == i).mean()
            for i in range(bins)
            if (place == i).any()
        )
    )
