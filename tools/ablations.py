"""What each part of the paper's design is worth: runs of experiments/ablations.py, judged.

    .venv/bin/python tools/ablations.py RUNS [--people 300] [--json FILE]

RUNS holds working directories named VARIANT_SEED, ``baseline_0`` among them. All nets see the same
rendered people, whom no run has seen, and are judged by their 33 points:

- whole, in the true ROI and in one disturbed as ``evaluate --roi jitter`` does;
- covered below the hips, and by three rectangles, in both; visibility as a classifier of what is
  covered (AUC);
- exercising, each frame's ROI from the net's own answer in the one before, of every frame and of
  every eighth.

PCK@0.2 by the regression and by the heatmaps' peaks: mean of the seeds ± half their range, and the
difference to the baseline. Its interval is 95 % of a bootstrap over people (of films over frames),
who are the same for all; it knows nothing of other seeds.
"""

import argparse
import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from angle_errors import samples
from covered_people import covers

from blazepose_jax.cli.main import Parser
from blazepose_jax.codecs import landmarks
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.evaluation.metrics import LSP_TORSO, auc
from blazepose_jax.evaluation.predict import jittered
from blazepose_jax.evaluation.report import paired_difference
from blazepose_jax.geometry import rois
from blazepose_jax.inference import Settings, initial_state, track
from blazepose_jax.inference.steps import pose_input
from blazepose_jax.io.frames import to_frame
from blazepose_jax.models import LayerConfig, create_model, create_network
from blazepose_jax.rendering.background import background
from blazepose_jax.rendering.person import render
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI, Network, PoseOutputs, Variables
from blazepose_jax.weights.loading import read_stored

# Of the test people; those of training come from series_key, which draws others from any number.
SEED = 2006_10204
SIDE, CONTEXT = 256, 1.4
KINDS = ("nothing", "below the hips", "three rectangles")
EXERCISES, VIEWS, FRAMES, SKIPS = ("squat", "push-up", "jumping jack"), (0, 45, 90), 49, (1, 8)
AT_ONCE = 50
FOLLOW = Settings(decode="regression", smoothing=False, min_presence_confidence=0.0)


@dataclasses.dataclass(frozen=True)
class Crops:
    """What all nets see under one condition.

    Attributes:
      images: (N, S, S, 3) float32, normalised.
      truth: (N, 33, 2) crop frame.
      torso: (N,) left shoulder to right hip, crop frame.
      hidden: (N, 33) bool.
    """

    images: np.ndarray
    truth: np.ndarray
    torso: np.ndarray
    hidden: np.ndarray


@dataclasses.dataclass(frozen=True)
class WithHeatmaps:
    """A folded paper net that answers with the heatmaps, which it drops at inference."""

    module: Any

    def __call__(self, variables: Variables, images: jax.Array) -> PoseOutputs:
        """(B, S, S, 3) to PoseOutputs."""
        return self.module.apply(variables, images, train=True)


def run(words: list[str]) -> None:
    """Judge all runs of a folder.

    Raises:
      BlazePoseError: no runs, no baseline, or bad weights.
    """
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(words)
    runs: dict[str, dict[int, Network]] = {}
    for place in sorted(args.runs.glob("*_[0-9]")):
        if (place / "weights").is_dir():
            variant, _, seed = place.name.rpartition("_")
            runs.setdefault(variant, {})[int(seed)] = load(place / "weights")
    if "baseline" not in runs:
        raise BlazePoseError(
            f"{args.runs} holds no baseline_SEED/weights: train ablations:baseline"
        )
    net = next(iter(runs["baseline"].values()))
    conditions = see(net, args.people)
    films = [
        list(samples(name, view, number, FRAMES))
        for number, name in enumerate(EXERCISES)
        for view in VIEWS
    ]
    found = {
        variant: {seed: judge(net, conditions, films) for seed, net in seeds.items()}
        for variant, seeds in runs.items()
    }
    for name, crops in conditions.items():
        print(f"the median pose, {name}: {median_pose(crops):.1f}")
    print("\n" + "\n".join(table(found)))
    if args.json:
        plain = {
            variant: {seed: rates(scores) for seed, scores in seeds.items()}
            for variant, seeds in found.items()
        }
        args.json.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def load(weights: Path) -> Network:
    """A run's net, with its heatmaps."""
    stored = read_stored(weights)["pose"].folded()
    config = LayerConfig(norm=stored.norm)
    variables = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), stored.variables)
    net = create_network(stored.spec, variables, config, stored.skeleton, **stored.arguments)
    return net.replace(apply=WithHeatmaps(create_model(stored.spec, config, **stored.arguments)))


def see(net: Network, count: int) -> dict[str, Crops]:
    """{condition: the crops of ``count`` people}."""
    draw = jax.jit(partial(render, side=SIDE, context=CONTEXT))
    scene, look = jax.jit(partial(background, side=SIDE)), jax.jit(partial(pose_input, net))
    found: dict[str, list[tuple[np.ndarray, ...]]] = {}
    for i in range(count):
        of_person, of_scene = jax.random.split(jax.random.fold_in(jax.random.key(SEED), i))
        person, ground = jax.device_get((draw(of_person), scene(of_scene)))
        drawn = np.where(person.mask[..., None], person.colours, ground).clip(0, 255)
        true = ROI(np.full(2, SIDE / 2, np.float32), person.side, person.angle)
        squares = {"true ROI": true, "jittered ROI": jittered(true, np.random.default_rng(i))}
        for kind in KINDS:
            rng, image, hidden = np.random.default_rng(i), drawn.copy(), ~person.visible
            for box in covers(kind, person.points, rng):
                x0, y0, x1, y1 = np.clip(box, 0, SIDE).astype(int)
                image[y0:y1, x0:x1] = rng.uniform(0, 255, 3)
                inside = (person.points >= box[:2]).all(1) & (person.points <= box[2:]).all(1)
                hidden = hidden | inside
            frame = to_frame(image.astype(np.uint8))
            for name, roi in squares.items():
                truth = np.asarray(rois.image_to_crop(person.points, roi))
                one = jax.tree.map(lambda a: np.asarray(a, np.float32)[None], roi)
                row = (np.asarray(look(frame, one))[0], truth, torso_of(truth), hidden)
                found.setdefault(f"{kind} covered, {name}", []).append(row)
    return {name: Crops(*map(np.stack, zip(*rows, strict=True))) for name, rows in found.items()}


def torso_of(points: np.ndarray) -> np.ndarray:
    """(...,) left shoulder to right hip of (..., 33, 2), as evaluate's ``lsp``."""
    a, b = BLAZEPOSE.indices(LSP_TORSO)
    return np.linalg.norm(points[..., a, :] - points[..., b, :], axis=-1)


def judge(
    net: Network, conditions: dict[str, Crops], films: list[list]
) -> dict[str, np.ndarray | float]:
    """{condition and decode: (N,) hits of each person, or an AUC}."""
    scores: dict[str, np.ndarray | float] = {}
    for name, crops in conditions.items():
        parts = range(0, len(crops.images), AT_ONCE)
        outputs = [jax.device_get(_run(net, crops.images[i : i + AT_ONCE])) for i in parts]
        for decode in ("regression", "peaks"):
            if outputs[0][decode] is not None:
                points = np.concatenate([part[decode] for part in outputs])
                scores[f"{name}, {decode}"] = hits(points, crops.truth, crops.torso)
        if "nothing" not in name:
            visibility = np.concatenate([part["visibility"] for part in outputs])
            found = auc(visibility.ravel(), ~crops.hidden.ravel())
            scores[f"{name}, AUC"] = float("nan") if found is None else 100 * found
    for skip in SKIPS:
        scores[f"exercise, 1 of {skip} frames, regression"] = np.concatenate(
            [follow(net, film[::skip]) for film in films]
        )
    return scores


@jax.jit
def _run(net: Network, images: jax.Array) -> dict[str, jax.Array | None]:
    """Points by decode, (B, 33, 2) crop frame, and visibility, (B, 33)."""
    outputs, body = net(images), len(BLAZEPOSE.keypoints)

    def by(decode: str) -> landmarks.CropPoints:
        return jax.vmap(lambda o: landmarks.decode(o, net.fields, net.side, decode, body))(outputs)

    regression = by("regression")
    peaks = None if outputs.heatmap is None else by("peaks").points[:, :body, :2]
    return {
        "regression": regression.points[:, :body, :2],
        "peaks": peaks,
        "visibility": regression.visibility[:, :body],
    }


def follow(net: Network, film: list) -> np.ndarray:
    """(T - 1,) hits in the frames after the first, each looked at where the one before says."""
    state, found = initial_state(BLAZEPOSE), []
    for image, points, _, roi in film:
        state, poses = track(None, net, state, image, 0.0, settings=FOLLOW, first=roi)
        found.append(
            hits(np.asarray(poses.keypoints)[:, :, :2], points[None], torso_of(points)[None])[0]
        )
    return np.array(found[1:])


def hits(points: np.ndarray, truth: np.ndarray, torso: np.ndarray) -> np.ndarray:
    """(N,) of (N, 33, 2) points that lie within 0.2 of the torso of the truth."""
    distance = np.linalg.norm(np.asarray(points) - truth, axis=-1)
    return (distance < 0.2 * torso[:, None]).sum(1)


def median_pose(crops: Crops) -> float:
    """PCK of one pose for everybody: the median of these people themselves."""
    same = np.broadcast_to(np.median(crops.truth, 0), crops.truth.shape)
    return rate(hits(same, crops.truth, crops.torso))


def rate(score: np.ndarray | float) -> float:
    """Percent of the 33 points of everybody; an AUC is percent already."""
    if isinstance(score, np.ndarray):
        return 100 * float(score.mean()) / len(BLAZEPOSE.keypoints)
    return float(score)


def rates(scores: dict[str, np.ndarray | float]) -> dict[str, float]:
    """Every condition's rate."""
    return {name: rate(score) for name, score in scores.items()}


def table(found: dict[str, dict[int, dict[str, np.ndarray | float]]]) -> list[str]:
    """Lines of a Markdown table: a row a condition, a column a variant."""
    base = found["baseline"]
    lines = ["|" + "|".join(["", *found, ""]), "|---" * (len(found) + 1) + "|"]
    for condition in next(iter(base.values())):
        before = [row[condition] for row in base.values()]
        cells = [condition]
        for variant, seeds in found.items():
            scores = [row[condition] for row in seeds.values() if condition in row]
            cells.append(cell(scores, None if variant == "baseline" else before))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def cell(scores: list, before: list | None) -> str:
    """The seeds' mean and half their range, and the difference to the baseline."""
    if not scores:
        return ""
    each = [rate(score) for score in scores]
    text = f"{np.mean(each):.1f} ± {np.ptp(each) / 2:.1f}"
    if before is None:
        return text
    if isinstance(scores[0], float):
        return f"{text}; {np.mean(scores) - np.mean(before):+.1f}"
    counted = np.full(len(scores[0]), len(BLAZEPOSE.keypoints))
    gain, low, high = paired_difference(np.mean(before, 0), np.mean(scores, 0), counted)
    return f"{text}; {gain:+.1f} ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except BlazePoseError as error:
        sys.exit(f"ablations: {error}")
