"""Reads .tflite files of blazepose_jax with LiteRT and numpy: detector, crop, points, next square.

pip install ai-edge-litert numpy

detector, pose = Detector("detector.tflite"), Pose("own.tflite")
square = None
for image in video:  # (height, width, 3) uint8, RGB
    square = square or detector(image)
    if square is not None:
        found = pose(image, square)
        print(found.presence, found.points)
        square = found.next if found.presence >= 0.5 else None
"""

import dataclasses
import json
import math
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter


@dataclasses.dataclass(frozen=True)
class Square:
    """Where a network looks: px of the image; the angle in radians, clockwise on the screen."""

    x: float  # of the centre
    y: float
    side: float
    angle: float = 0.0


@dataclasses.dataclass(frozen=True)
class Found:
    """A person, in px of the image."""

    presence: float  # probability that somebody is there
    points: dict[str, tuple[float, float]]
    visibility: dict[str, float]  # probability that the point is not hidden
    next: Square | None  # where to look in the next frame


class Network:
    """A file, and what stands in it."""

    def __init__(self, path: str):
        """Read the network and ``blazepose.json``."""
        with zipfile.ZipFile(path) as archive:
            self.info = json.loads(archive.read("blazepose.json"))
        self._run = Interpreter(path).get_signature_runner()
        self.side = self.info["input"]["shape"][1]

    def run(self, crop: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name, of (side, side, 3) grey levels from 0 to 255."""
        batch, mean, std = (self.info["input"][key] for key in ("shape", "mean", "std"))
        images = np.repeat((crop[None] - mean) / std, batch[0], 0)
        return {name: out[0] for name, out in self._run(image=images.astype(np.float32)).items()}


class Pose(Network):
    """A pose net."""

    def __call__(self, image: np.ndarray, square: Square) -> Found:
        """Find the points of the person in a square."""
        out = self.run(crop(image, square, self.side, repeat_edge=True))
        count = len(self.info["keypoints"])
        fields = {name: i for i, name in enumerate(self.info["fields"])}
        rows = out["landmarks"].reshape(-1, len(fields)).astype(np.float64)
        places = rows[:, [fields["x"], fields["y"]]] / self.side
        if "heatmap" in out:
            places = refine(places, out["heatmap"], self.info["decode"]["refine"])
        points = to_image(places, square)
        seen = (
            sigmoid(rows[:, fields["visibility"]]) if "visibility" in fields else np.ones(len(rows))
        )
        names = self.info["keypoints"]
        return Found(
            float(out["presence"][0]),
            {
                name: (float(x), float(y))
                for name, (x, y) in zip(names, points[:count], strict=True)
            },
            {name: float(value) for name, value in zip(names, seen[:count], strict=True)},
            next_square(points, count, self.info["roi"]),
        )


class Detector(Network):
    """A detector of people."""

    def __call__(self, image: np.ndarray) -> Square | None:
        """The square of the person that is found most surely."""
        height, width = image.shape[:2]
        letterbox = Square(width / 2, height / 2, max(width, height))
        out = self.run(crop(image, letterbox, self.side, repeat_edge=False))
        values = (out["boxes"].astype(np.float64) / self.side).reshape(-1, 6, 2)
        values[:, [0, 2, 3, 4, 5]] += self._anchors()[:, None]  # row 1 is the box's size
        scores = sigmoid(out["scores"][:, 0])
        scores[(scores < self.info["min_score"]) | (values[:, 1] < 0).any(1)] = 0
        best = scores.argmax()
        if scores[best] == 0:
            return None
        # Candidates that overlap with the best are the same person.
        low, high = values[:, 0] - values[:, 1] / 2, values[:, 0] + values[:, 1] / 2
        common = np.clip(np.minimum(high, high[best]) - np.maximum(low, low[best]), 0, None)
        shared, area = common.prod(1), (high - low).prod(1)
        iou = shared / np.maximum(area + area[best] - shared, 1e-12)
        weights = np.where(iou > self.info["nms"]["iou"], scores, 0)
        weights[best] = scores[best]
        person = to_image(np.average(values[:, 2:4], 0, weights), letterbox)
        return around(person[0], person[1], self.info["roi"]["scale"])

    def _anchors(self) -> np.ndarray:
        centers = []
        for cells, anchors in self.info["anchors"]["maps"]:
            y, x = np.mgrid[:cells, :cells].reshape(2, -1).repeat(anchors, 1)
            centers.append((np.stack([x, y], 1) + 0.5) / cells)
        return np.concatenate(centers)


def crop(image: np.ndarray, square: Square, side: int, *, repeat_edge: bool) -> np.ndarray:
    """Resample a square to (side, side, 3) grey levels.

    Pixel (0, 0) lies on its corner. Places are rounded to 1/32 px and results to whole levels, as
    in training; outside of the image its edge is repeated, or it is black.
    """
    height, width = image.shape[:2]
    steps = np.arange(side) / side
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    places = np.round(to_image(grid, square) * 32) / 32
    low = np.floor(places).astype(np.int64)
    fx, fy = np.split(places - low, 2, 1)

    def pixels(dx: int, dy: int) -> np.ndarray:
        x, y = low[:, 0] + dx, low[:, 1] + dy
        inside_x, inside_y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
        found = image[inside_y, inside_x].astype(np.float64)
        is_outside = (x != inside_x) | (y != inside_y)
        return found if repeat_edge else np.where(is_outside[:, None], 0, found)

    top = pixels(0, 0) * (1 - fx) + pixels(1, 0) * fx
    bottom = pixels(0, 1) * (1 - fx) + pixels(1, 1) * fx
    return np.floor(top * (1 - fy) + bottom * fy + 0.5).reshape(side, side, 3)


def to_image(places: np.ndarray, square: Square) -> np.ndarray:
    """(N, 2) places in the crop, 0 to 1, as px of the image."""
    cos, sin = math.cos(square.angle) * square.side, math.sin(square.angle) * square.side
    return (places - 0.5) @ np.array([[cos, sin], [-sin, cos]]) + (square.x, square.y)


def refine(places: np.ndarray, heatmap: np.ndarray, rule: dict) -> np.ndarray:
    """Pull (N, 2) places to the heatmap's centre of mass round them, where it is sure enough."""
    cells, reach, refined = len(heatmap), rule["window"] // 2, places.copy()
    for row, (x, y) in enumerate((places * cells).astype(np.int64)):
        if not (0 <= x < cells and 0 <= y < cells):
            continue
        left, top = max(x - reach, 0), max(y - reach, 0)
        weights = sigmoid(heatmap[top : y + reach + 1, left : x + reach + 1, row])
        if weights.max() >= rule["threshold"]:
            ys, xs = np.mgrid[top : top + len(weights), left : left + len(weights[0])]
            mass = weights.sum() * cells
            refined[row] = (weights * xs).sum() / mass, (weights * ys).sum() / mass
    return refined


def next_square(points: np.ndarray, count: int, rule: dict) -> Square | None:
    """Where to look in the next frame; None where the network does not say."""
    if rule["rule"] == "none":
        return None
    center, above = (points[rule[key]].mean(0) for key in ("center", "above"))
    if rule["rule"] == "rows":
        return around(center, above, rule["scale"])
    radius = np.linalg.norm(points[:count] - center, axis=1).max()
    return around(center, above, rule["scale"], radius)


def around(center, above, scale: float, radius: float | None = None) -> Square:
    """The square round a centre, turned so that ``above`` is above it."""
    dx, dy = np.subtract(above, center)
    radius = math.hypot(dx, dy) if radius is None else radius
    angle = math.atan2(dx, -dy) if (dx, dy) != (0, 0) else 0.0
    return Square(float(center[0]), float(center[1]), float(scale * radius), angle)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits."""
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -100, 100)))
