"""The quality function: hypotheses of people collected, and the function fitted to them.

    python tools/train_quality.py collect LSP_TRAIN --weights W --output FILE.npz [--held-out]
        [--first 0] [--count 500] [--threads 1]
    python tools/train_quality.py fit FILE.npz... --output quality.safetensors
    python tools/train_quality.py judge FILE.npz... [--parameters quality.safetensors]

``collect`` looks at photographs as ``--search thorough`` does, in the truth's ROI, in disturbed
ROIs and in the background; in three of ten pictures part of the person is cut off or covered.
Nobody of experiments/lsp_held_out.txt and no picture that is nearly in LSP's test half is used,
unless ``--held-out`` asks for just the former, in whole pictures. ``fit`` trains on such files, a
tenth of the people calibrating; ``judge`` reports on people who were held out (docs/quality.md).
"""

import argparse
import dataclasses
import json
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.numpy import load_file, save_file

from blazepose_jax.codecs import landmarks
from blazepose_jax.codecs.heatmap_summary import HeatmapSummary, summarise
from blazepose_jax.data.annotations import Person, true_roi
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.geometry import rois
from blazepose_jax.inference import quality, search, steps
from blazepose_jax.inference.litert import litert_networks
from blazepose_jax.inference.search import CANDIDATES, MIN_SCORE, TURNS
from blazepose_jax.inference.settings import Settings
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI, Frame, Network, PoseOutputs, Poses
from blazepose_jax.weights import read_tflite_files

HELD_OUT = Path(__file__).parents[1] / "experiments" / "lsp_held_out.txt"
DECODES = ("regression", "refine", "heatmap", "peaks")
TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
SEED = 5
# How a hypothesis was found: by the detector, from the points of that look, ...
DETECTED, SECOND_LOOK, TRUTH, DISTURBED, BACKGROUND = range(5)
DISTURBANCES = 2  # a picture
BODY, SIDE = len(BLAZEPOSE.keypoints), 256
JOINT_ROWS = np.array(BLAZEPOSE.indices(quality.JOINTS))
UNLABELLED = 0.3  # weight of points that no human has labelled
SOMEBODY_ELSE = 0.4  # sides of the truth's ROI between hips from which a look is at another person
HIDDEN, JUDGE_HIDDEN = 32, 12
CALIBRATING = 0.1
Rows = dict[str, np.ndarray]


class Collector:
    """Looks at pictures, and remembers a row for each look."""

    def __init__(self, weights: str, threads: int):
        """Load networks."""
        nets = litert_networks(read_tflite_files(weights), threads)
        self._detector, self._pose = nets["detector"], nets["pose"]
        detector, pose = (net.replace(apply=None) for net in (self._detector, self._pose))
        settings = Settings(max_people=CANDIDATES, min_detection_confidence=MIN_SCORE)
        self._letterbox = jax.jit(lambda *a: steps.detector_input(detector, *a))
        self._found = jax.jit(lambda *a: steps.read_detections(detector, *a, settings=settings))
        self._crop = jax.jit(
            lambda frame, roi: steps.pose_input(pose, frame, jax.tree.map(lambda a: a[None], roi))
        )
        self._read = jax.jit(lambda outputs, roi: read_hypothesis(pose, outputs, roi))
        self.rows: list[dict[str, Any]] = []

    def look(
        self, person: int, frame: Frame, roi: ROI, kind: int, turn: int = 0, score: float = 1.0
    ) -> ROI:
        """Look into a square; return the next one."""
        roi = jax.tree.map(np.float32, roi)
        outputs = self._pose(np.asarray(self._crop(frame, roi)))
        row, following = jax.device_get(self._read(outputs, roi))
        square = np.array([*roi.center, roi.side, roi.angle], np.float32)
        facts = {"person": person, "kind": kind, "turn": turn, "score": score, "roi": square}
        self.rows.append(facts | row)
        return following

    def search(self, person: int, frame: Frame) -> None:
        """Look where the detector sees somebody, and once more by the points of that."""
        for turn in range(TURNS["thorough"]):
            outputs = self._detector(np.asarray(self._letterbox(frame, turn)))
            found = jax.device_get(self._found(outputs, frame, turn))
            squares = rois.from_alignment(found.keypoints[:, 0], found.keypoints[:, 1])
            for i in np.flatnonzero(found.valid & (np.asarray(squares.side) > 0)):
                first = jax.tree.map(lambda a, i=i: a[i], squares)
                score = float(found.scores[i])
                second = self.look(person, frame, first, DETECTED, turn, score)
                if np.isfinite(second.side) and second.side > 0:
                    self.look(person, frame, second, SECOND_LOOK, turn, score)


def read_hypothesis(pose: Network, outputs: PoseOutputs, roi: ROI) -> tuple[dict[str, Any], ROI]:
    """What one look gives, and where to look next, as the tracker does."""
    one = jax.tree.map(lambda a: a[0], outputs)
    body = len(BLAZEPOSE.keypoints)
    found = summarise(one.landmarks[:, :2] / pose.side, one.heatmap)
    points = {
        decode: rois.crop_to_image(
            landmarks.decode(one, pose.fields, pose.side, decode, body).points[:, :2], roi
        )
        for decode in DECODES
    }
    following = rois.from_keypoints(points["refine"], BLAZEPOSE)
    decoded = {decode: xy[:body] for decode, xy in points.items()}
    facts = {"landmarks": one.landmarks, "presence": one.presence[0]}
    return {**facts, **decoded, **vars(found)}, following


def spoil(
    image: np.ndarray, person: Person, names: tuple[str, ...], rng: np.random.Generator
) -> np.ndarray:
    """Cut the picture through the person, or cover a part of it."""
    points = person.keypoints[person.visibility_flags > 0]
    low, high = points.min(0), points.max(0)
    size = high - low
    hips = person.keypoints[[names.index(name) for name in TRUNK[2:]]].mean(0)
    kind = rng.integers(4)
    if kind == 0:  # as behind a desk
        bottom = hips[1] + rng.uniform(-0.1, 0.2) * size[1]
        return image[: max(int(bottom), 24)]
    if kind == 1:  # as leaving the picture
        return image[:, : max(int(low[0] + rng.uniform(0.35, 0.8) * size[0]), 24)]
    image = image.copy()
    extent = size * np.sqrt(rng.uniform(0.2, 0.7)) + 5
    corner = np.maximum(low + rng.random(2) * np.maximum(size - extent, 1), 0)
    (left, top), (right, bottom) = corner.astype(int), (corner + extent).astype(int)
    image[top:bottom, left:right] = rng.integers(0, 255, 3)
    return image


def other_squares(truth: ROI, rng: np.random.Generator) -> list[tuple[int, ROI]]:
    """Squares that miss the person a little, and one that misses them."""
    found = []
    for _ in range(DISTURBANCES):
        center = truth.center + rng.uniform(-0.3, 0.3, 2) * truth.side
        side = truth.side * np.exp(rng.uniform(-0.5, 0.5))
        found.append((DISTURBED, ROI(center, side, np.asarray(truth.angle + rng.normal() * 0.7))))
    way, side = rng.uniform(0, 2 * np.pi), truth.side * np.exp(rng.uniform(-1.2, 0.3))
    center = truth.center + np.array([np.cos(way), np.sin(way)]) * truth.side * rng.uniform(0.4, 1)
    return [*found, (BACKGROUND, ROI(center, side, np.asarray(rng.uniform(-np.pi, np.pi))))]


def choose_people(source: Path, held_out: bool) -> tuple[list[Person], tuple[str, ...]]:
    """The people to look at, those of LSP first, and the names of their points."""
    raw = json.loads((source / "annotations.json").read_text(encoding="utf-8"))
    images = {image["id"]: image for image in raw["images"]}
    of_person = {a["id"]: images[a["image_id"]] for a in raw["annotations"]}
    held = {int(line) for line in HELD_OUT.read_text(encoding="utf-8").split()}
    data = read_annotations(source, evaluation=True)
    trunk = [data.names.index(name) for name in TRUNK]
    people = [
        person
        for person in data.people
        if (person.id in held) == held_out
        and not of_person[person.id].get("near_duplicate_of_test")
        and (person.visibility_flags[trunk] > 0).all()
    ]
    random.Random(SEED).shuffle(people)
    people.sort(key=lambda person: of_person[person.id]["dataset"] != "lsp")
    return people, data.names


def collect(args: argparse.Namespace) -> None:
    """Look at people and write what was seen."""
    people, names = choose_people(Path(args.source), args.held_out)
    people = people[args.first : args.first + args.count]
    rng, looks = np.random.default_rng(SEED + args.first), Collector(args.weights, args.threads)
    truths: list[dict[str, Any]] = []
    began = time.perf_counter()
    for number, person in enumerate(people):
        image, flags = read_image(person.image), person.visibility_flags
        if not args.held_out and rng.random() < 0.3:
            image = np.ascontiguousarray(spoil(image, person, names, rng))
            outside = (person.keypoints < 0) | (person.keypoints > np.array(image.shape[1::-1]) - 1)
            flags = np.where(outside.any(-1), 0, flags)
        frame, truth = to_frame(image), true_roi(person, names, BLAZEPOSE)
        looks.search(number, frame)
        if truth is not None:
            looks.look(number, frame, truth, TRUTH)
            for kind, square in [] if args.held_out else other_squares(truth, rng):
                looks.look(number, frame, square, kind)
        truths.append(
            {"id": person.id, "true": person.keypoints, "flags": flags, "size": image.shape[1::-1]}
        )
        if number % 50 == 49:
            print(f"{number + 1} people, {time.perf_counter() - began:.0f} s", flush=True)
    tables = {key: np.stack([row[key] for row in looks.rows]) for key in looks.rows[0]}
    tables |= {key: np.stack([row[key] for row in truths]) for key in truths[0]}
    np.savez_compressed(args.output, names=np.array(names), **tables)
    print(f"wrote {len(looks.rows)} looks at {len(people)} people to {args.output}")


def read_looks(paths: list[str]) -> Rows:
    """Files of ``collect`` as one; ``person`` counts on through them."""
    tables: list[Rows] = []
    before = 0
    for path in paths:
        table = dict(np.load(path))
        table["person"] = table["person"] + before
        before += len(table["id"])
        tables.append(table)
    names = tables[0].pop("names")
    return {"names": names, **{key: np.concatenate([t[key] for t in tables]) for key in tables[0]}}


def hits_of(looks: Rows, decode: str, points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(looks, points) bool: within a fifth of the torso of (looks, points, 2) ``truth``."""
    apart = np.linalg.norm(looks[decode][:, points] - truth, axis=-1)
    return apart < 0.2 * torsos(looks)[looks["person"], None]


def torsos(looks: Rows) -> np.ndarray:
    """(people,) px."""
    start, end = (
        looks["true"][:, list(looks["names"]).index(name)]
        for name in ("left_shoulder", "right_hip")
    )
    return np.linalg.norm(start - end, axis=-1)


def examples(looks: Rows, decode: str = "heatmap") -> Rows:
    """What the function learns from: features, and labels with weights.

    Of the 12 joints LSP has labels. The other points are compared with what the same net sees in
    the truth's ROI, where that is right about the joints. Looks at somebody else than the labelled
    person say nothing.
    """
    names, person = list(looks["names"]), looks["person"]
    columns = [names.index(name) for name in quality.JOINTS]
    true, labelled = looks["true"][:, columns][person], looks["flags"][:, columns][person] > 0
    hits = hits_of(looks, decode, JOINT_ROWS, true) & labelled
    right, weights = np.zeros((len(person), BODY), np.float32), np.zeros((len(person), BODY))
    right[:, JOINT_ROWS], weights[:, JOINT_ROWS] = hits, labelled
    of_truth = np.full(len(looks["id"]), -1)
    at_truth = np.flatnonzero(looks["kind"] == TRUTH)
    of_truth[person[at_truth]] = at_truth
    known = labelled[at_truth].sum(1)
    sure = (known >= 10) & (hits[at_truth].sum(1) >= 0.8 * known)
    example = np.full(len(looks["id"]), -1)
    example[person[at_truth[sure]]] = at_truth[sure]
    example, others = example[person], np.setdiff1d(np.arange(BODY), JOINT_ROWS)
    near = hits_of(looks, decode, others, looks[decode][example][:, others])
    right[:, others] = np.where(example[:, None] >= 0, near, 0)
    weights[:, others] = np.where(example[:, None] >= 0, UNLABELLED, 0)
    hips = [names.index(name) for name in TRUNK[2:]]
    apart = looks[decode][:, list(BLAZEPOSE.indices(TRUNK[2:]))].mean(1)
    apart = np.linalg.norm(apart - looks["true"][:, hips].mean(1)[person], axis=-1)
    side = looks["roi"][of_truth, 2][person]
    somebody_else = (looks["kind"] <= SECOND_LOOK) & (of_truth[person] >= 0)
    somebody_else &= apart > SOMEBODY_ELSE * side
    weights[somebody_else] = 0
    judged = (labelled.sum(1) >= 3) & ~somebody_else
    points, pose = jax.device_get(features(looks))
    return {
        "points": points,
        "pose": pose,
        "right": right,
        "weights": weights.astype(np.float32),
        "share": (hits.sum(1) / np.maximum(labelled.sum(1), 1)).astype(np.float32),
        "judged": judged.astype(np.float32),
        "hits": hits.sum(1).astype(np.float32),
    }


def features(looks: Rows) -> tuple[jax.Array, jax.Array]:
    """The quality function's inputs for every look: (looks, 33, F) and (looks, F)."""

    @jax.jit
    @jax.vmap
    def one(
        landmarks: jax.Array, presence: jax.Array, found: HeatmapSummary
    ) -> tuple[jax.Array, jax.Array]:
        xy = landmarks[:, :2] / SIDE
        body, joints = (
            jax.tree.map(lambda a, rows=rows: a[rows], found) for rows in (slice(BODY), JOINT_ROWS)
        )
        pose = quality.pose_features(xy[JOINT_ROWS], xy[BODY : BODY + 2], presence, joints)
        return quality.point_features(xy[:BODY], landmarks[:BODY, 3:5], body), pose

    names = [field.name for field in dataclasses.fields(HeatmapSummary)]
    found = HeatmapSummary(**{name: looks[name] for name in names})
    return one(looks["landmarks"], looks["presence"], found)


def initial_parameters(key: jax.Array) -> dict[str, jax.Array]:
    """The network before training."""
    shapes = {
        "point.features": (quality.POINT_FEATURES, HIDDEN),
        "point.pose": (quality.POSE_FEATURES, HIDDEN),
        "point.rows": (BODY, HIDDEN),
        "point.hidden": (HIDDEN, HIDDEN // 2),
        "point.hidden_bias": (HIDDEN // 2,),
        "point.out": (HIDDEN // 2,),
        "point.bias": (),
        "pose.joints": (len(JOINT_ROWS), HIDDEN),
        "pose.features": (quality.POSE_FEATURES, HIDDEN),
        "pose.hidden_bias": (HIDDEN,),
        "pose.out": (HIDDEN,),
        "pose.bias": (),
    }
    keys = jax.random.split(key, len(shapes))
    return {
        name: jnp.zeros(shape)
        if name.endswith(("bias", "rows"))
        else jax.random.normal(one, shape) * (1 / shape[0]) ** 0.5
        for one, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def run_function(
    parameters: quality.Parameters, points: np.ndarray, pose: np.ndarray
) -> tuple[jax.Array, jax.Array]:
    """(looks, 33) logits of points, and (looks,) of poses."""

    def one(point_rows: jax.Array, pose_row: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = quality.confidence_logits(parameters, np.arange(BODY), point_rows, pose_row)
        joints = jax.lax.stop_gradient(logits[JOINT_ROWS])
        return logits, quality.quality_logit(parameters, joints, pose_row)

    return jax.vmap(one)(points, pose)


def mean_cross_entropy(logits: jax.Array, labels: jax.Array, weights: jax.Array) -> jax.Array:
    """Of (...) logits."""
    losses = optax.sigmoid_binary_cross_entropy(logits, labels)
    return (losses * weights).sum() / jnp.maximum(weights.sum(), 1)


def fit_function(data: Rows, steps: int, seed: int) -> dict[str, np.ndarray]:
    """Train on ``examples``; the scales of the features end up in the weights."""
    middle = {key: data[key].reshape(-1, data[key].shape[-1]).mean(0) for key in ("points", "pose")}
    scale = {key: data[key].reshape(-1, data[key].shape[-1]).std(0) + 1e-3 for key in middle}
    rows = data | {key: (data[key] - middle[key]) / scale[key] for key in middle}

    def loss(parameters: quality.Parameters, batch: Rows) -> jax.Array:
        points, pose = run_function(parameters, batch["points"], batch["pose"])
        return mean_cross_entropy(points, batch["right"], batch["weights"]) + mean_cross_entropy(
            pose, batch["share"], batch["judged"]
        )

    fitted = minimise(loss, initial_parameters(jax.random.key(seed)), rows, steps, seed)
    for part, key in (("point.features", "points"), ("point.pose", "pose")):
        fitted["point.rows"] -= (middle[key] / scale[key]) @ fitted[part]
        fitted[part] /= scale[key][:, None]
    fitted["pose.hidden_bias"] -= (middle["pose"] / scale["pose"]) @ fitted["pose.features"]
    fitted["pose.features"] /= scale["pose"][:, None]
    # The row of points that are none of BlazePose's.
    fitted["point.rows"] = np.concatenate(
        [fitted["point.rows"], fitted["point.rows"].mean(0, keepdims=True)]
    )
    return fitted


def minimise(
    loss: Callable[..., jax.Array],
    parameters: dict[str, jax.Array],
    rows: Rows,
    steps: int,
    seed: int,
    batch: int = 512,
    decay: float = 1e-3,
) -> dict[str, np.ndarray]:
    """AdamW over random rows; the parameters' moving average."""
    optimizer = optax.adamw(optax.cosine_decay_schedule(3e-3, steps), weight_decay=decay)
    state, mean = optimizer.init(parameters), parameters

    @jax.jit
    def step(parameters: Any, state: Any, mean: Any, rows: Rows) -> tuple[Any, Any, Any, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(parameters, rows)
        updates, state = optimizer.update(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        return parameters, state, optax.incremental_update(parameters, mean, 0.005), value

    rng, count = np.random.default_rng(seed), len(next(iter(rows.values())))
    for number in range(steps):
        chosen = rng.integers(0, count, batch)
        parameters, state, mean, value = step(
            parameters, state, mean, {key: table[chosen] for key, table in rows.items()}
        )
        if number % 500 == 0:
            print(f"step {number}: {float(value):.4f}", flush=True)
    return {key: np.array(value) for key, value in mean.items()}


def temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """What logits are to be divided by, so that their cross entropy is least."""
    tried = np.linspace(0.6, 3, 97)
    losses = [float(mean_cross_entropy(logits / t, labels, weights)) for t in tried]
    return float(tried[int(np.argmin(losses))])


def hypotheses(looks: Rows, data: Rows, parameters: quality.Parameters, turns: int) -> Rows:
    """What the judge learns from: facts and shares of hits of (people, M) hypotheses.

    By the search's own functions: the first looks, then the second looks in the same order.
    """
    confidence, whole = (
        jax.nn.sigmoid(a) for a in run_function(parameters, data["points"], data["pose"])
    )
    confidence, whole = np.asarray(confidence), np.asarray(whole)
    half = CANDIDATES * turns
    describe = jax.jit(partial(search.describe, skeleton=BLAZEPOSE))
    near_of = jax.jit(partial(search.agreement, skeleton=BLAZEPOSE))
    table: dict[str, list[np.ndarray]] = {"facts": [], "hits": [], "valid": [], "row": []}
    for person in range(len(looks["id"])):
        mine = np.flatnonzero((looks["person"] == person) & (looks["turn"] < turns))
        firsts = mine[looks["kind"][mine] == DETECTED][:half]
        row = np.full(2 * half, -1)
        row[: len(firsts)] = firsts
        for place, first in enumerate(firsts):
            if first + 1 < len(looks["kind"]) and looks["kind"][first + 1] == SECOND_LOOK:
                row[half + place] = first + 1
        valid, square = row >= 0, looks["roi"][row]
        zeros = np.zeros(2 * half, np.float32)
        poses = Poses(
            present=valid,
            ids=row,
            presence=np.asarray(jax.nn.sigmoid(looks["presence"][row])),
            keypoints=looks["heatmap"][row],
            visibility=zeros,
            point_presence=zeros,
            roi=ROI(square[:, :2], square[:, 2], square[:, 3]),
            quality=whole[row],
            confidence=confidence[row],
        )
        near = near_of(poses)
        second = np.arange(2 * half) >= half
        facts = describe(poses, looks["score"][row], second, near, valid, looks["size"][person])
        table["facts"].append(np.asarray(facts))
        table["hits"].append(np.where(valid, data["hits"][row], 0) / len(JOINT_ROWS))
        table["valid"].append(valid)
        table["row"].append(row)
    return {key: np.stack(rows) for key, rows in table.items()}


def fit_judge(groups: list[Rows], steps: int, seed: int) -> dict[str, np.ndarray]:
    """Train the judge to put hits first: the expected hits under the softmax of its scores."""
    most = max(group["facts"].shape[1] for group in groups)

    def padded(table: np.ndarray) -> np.ndarray:
        width = ((0, 0), (0, most - table.shape[1])) + ((0, 0),) * (table.ndim - 2)
        return np.pad(table, width)

    rows = {
        key: np.concatenate([padded(group[key]) for group in groups])
        for key in ("facts", "hits", "valid")
    }
    rows = {key: table[rows["valid"].any(1)] for key, table in rows.items()}
    seen = rows["facts"][rows["valid"]]
    middle, scale = seen.mean(0), seen.std(0) + 1e-3
    rows["facts"] = (rows["facts"] - middle) / scale

    def loss(parameters: quality.Parameters, batch: Rows) -> jax.Array:
        scores = jax.vmap(partial(search.judge, parameters))(batch["facts"])
        chances = jax.nn.softmax(jnp.where(batch["valid"], 3 * scores, -1e9))
        return -(chances * batch["hits"]).sum(-1).mean()

    keys = jax.random.split(jax.random.key(seed), 2)
    start = {
        "judge.facts": jax.random.normal(keys[0], (search.JUDGED, JUDGE_HIDDEN)) * 0.3,
        "judge.hidden_bias": jnp.zeros(JUDGE_HIDDEN),
        "judge.out": jax.random.normal(keys[1], (JUDGE_HIDDEN,)) * 0.1,
        "judge.linear": jnp.zeros(search.JUDGED).at[0].set(1.0),
    }
    fitted = minimise(loss, start, rows, steps, seed, batch=128, decay=1e-2)
    fitted["judge.hidden_bias"] -= (middle / scale) @ fitted["judge.facts"]
    fitted["judge.facts"] /= scale[:, None]
    fitted["judge.linear"] /= scale
    return fitted


def fit(args: argparse.Namespace) -> None:
    """Fit the function and the judge."""
    looks = read_looks(args.files)
    data = examples(looks)
    # Each file's last people calibrate.
    calibrating = np.concatenate([last_people(read_looks([path])) for path in args.files])
    parts = [
        {key: table[rows] for key, table in data.items()} for rows in (~calibrating, calibrating)
    ]
    parameters = fit_function(parts[0], args.steps, 0)
    points, pose = run_function(parameters, parts[1]["points"], parts[1]["pose"])
    by_point = temperature(points, parts[1]["right"], parts[1]["weights"])
    by_pose = temperature(pose, parts[1]["share"], parts[1]["judged"])
    print(f"temperatures: points {by_point:.2f}, poses {by_pose:.2f}")
    # The pose's network goes on reading the points' logits as they were.
    parameters["pose.joints"] *= by_point
    for part, divisor in (("point", by_point), ("pose", by_pose)):
        for name in (f"{part}.out", f"{part}.bias"):
            parameters[name] = parameters[name] / divisor
    groups = [hypotheses(looks, data, parameters, turns) for turns in TURNS.values()]
    parameters |= fit_judge(groups, args.judge_steps, 0)
    save_file(
        {name: np.asarray(table, np.float32) for name, table in parameters.items()}, args.output
    )
    print(f"wrote {args.output}: {sum(table.size for table in parameters.values()):,} parameters")


def last_people(looks: Rows) -> np.ndarray:
    """(looks,) bool: of the last tenth of the people."""
    return looks["person"] >= (1 - CALIBRATING) * len(looks["id"])


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


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("collect")
    one.add_argument("source")
    one.add_argument("--weights", required=True)
    one.add_argument("--output", required=True)
    one.add_argument("--held-out", action="store_true")
    one.add_argument("--first", type=int, default=0)
    one.add_argument("--count", type=int, default=500)
    one.add_argument("--threads", type=int, default=1)
    one.set_defaults(run=collect)
    one = commands.add_parser("fit")
    one.add_argument("files", nargs="+")
    one.add_argument("--output", required=True)
    one.add_argument("--steps", type=int, default=2000)
    one.add_argument("--judge-steps", type=int, default=3000)
    one.set_defaults(run=fit)
    one = commands.add_parser("judge")
    one.add_argument("files", nargs="+")
    one.add_argument("--parameters", default=str(quality.PARAMETERS))
    one.set_defaults(run=report)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
