"""Looks: what the pose net sees in squares on people, beside them and where nobody is."""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from blazepose_jax.codecs import landmarks
from blazepose_jax.codecs.heatmap_summary import summarise
from blazepose_jax.data.annotations import Person, true_roi
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.export.convert import to_native_tflite
from blazepose_jax.geometry import rois
from blazepose_jax.inference import steps
from blazepose_jax.inference.litert import litert_networks
from blazepose_jax.inference.search import CANDIDATES, TURNS
from blazepose_jax.inference.settings import MIN_SEARCH_SCORE, Settings
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI, Frame, Network, PoseOutputs
from blazepose_jax.weights import read_tflite_files

HELD_OUT = Path(__file__).parents[2] / "experiments" / "lsp_held_out.txt"
DECODES = ("regression", "refine", "heatmap", "peaks")
TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
SEED = 5
# How a hypothesis was found: by the detector, from the points of that look, ...
DETECTED, SECOND_LOOK, TRUTH, DISTURBED, BACKGROUND = range(5)
DISTURBANCES = 2  # a picture
SPOILED = 0.3  # of the pictures


class Collector:
    """Looks at pictures, and remembers a row for each look."""

    def __init__(self, weights: str, threads: int):
        """Load networks."""
        files = read_tflite_files(weights, convert=to_native_tflite)
        nets = litert_networks(files, threads)
        self._detector, self._pose = nets["detector"], nets["pose"]
        detector, pose = (net.replace(apply=None) for net in (self._detector, self._pose))
        settings = Settings(max_people=CANDIDATES, min_detection_confidence=MIN_SEARCH_SCORE)
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
        if not args.held_out and rng.random() < SPOILED:
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
    tables: dict[str, Any] = {
        key: np.stack([row[key] for row in looks.rows]) for key in looks.rows[0]
    }
    tables |= {key: np.stack([row[key] for row in truths]) for key in truths[0]}
    np.savez_compressed(args.output, names=np.array(names), **tables)
    print(f"wrote {len(looks.rows)} looks at {len(people)} people to {args.output}")
