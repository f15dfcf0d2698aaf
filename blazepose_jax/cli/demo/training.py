"""Nothing comes in; a small pose net trained on rendered people, its curves, pictures and figures leave."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from blazepose_jax.evaluation import metrics
from blazepose_jax.training.config import load_experiment, override
from blazepose_jax.data.readers import HELD_OUT_SEED
from blazepose_jax.data.rendered import Rendered
from blazepose_jax.io.draw import contact_sheet, draw_poses, save_image
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.io.files import write_text
from blazepose_jax.io.frames import to_frame
from blazepose_jax.geometry import rois
from blazepose_jax.inference import Settings
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI, PoseBatch
from blazepose_jax.training.loop import train

SHOWN = 16
FLOOR_FROM = 512  # people whose median pose is the floor
TORSO = ("left_shoulder", "right_hip")


def train_demo(workdir: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Train the experiment ``demo`` and measure it on held-out rendered people.

    Args:
      workdir: of the run; demo.png shows held-out people and what the net makes of them.
      overrides: changes to the experiment, like ``optimizer.steps=100``.

    Returns:
      pck: held-out PCK@0.2 in percent, heatmap + flip decode; floor: that of the median pose in the
        same ROI; people,
      seconds, steps, curves: path of the picture.
    """
    config = override(load_experiment("demo"), overrides)
    began = time.perf_counter()
    train(config, workdir)
    seconds = time.perf_counter() - began
    held_out = Rendered(config.data.held_out, config.data.size, HELD_OUT_SEED)
    test: PoseBatch = jax.device_get(held_out.take(np.arange(len(held_out))))
    known = Rendered(min(FLOOR_FROM, config.data.people), config.data.size)
    floor = _floor(jax.device_get(known.take(np.arange(len(known)))), test)
    predicted = _predict(workdir / "weights", test, workdir / "demo.png")
    report = {
        "pck": _pck(predicted, test.keypoints, test),
        "floor": floor,
        "people": len(held_out),
        "seconds": round(seconds, 1),
        "steps": config.optimizer.steps,
    }
    write_text(workdir / "demo.json", json.dumps(report, indent=2) + "\n")
    return report


def _predict(weights: Path, test: PoseBatch, picture: Path) -> np.ndarray:
    """(n, 33, 2) record px, and a contact sheet of the first people."""
    engine = load_engine(weights, None, Settings(decode="heatmap", flip=True))
    points, tiles = [], []
    for i in range(len(test.pixels)):
        roi = jax.tree.map(lambda a, i=i: a[i : i + 1], test.roi)
        poses = jax.device_get(engine.estimate(to_frame(test.pixels[i]), roi))
        points.append(poses.keypoints[0, :, :2])
        if i < SHOWN:
            tiles.append(draw_poses(test.pixels[i], poses, BLAZEPOSE, min_visibility=0.0))
    save_image(contact_sheet(tiles, 8), picture)
    return np.stack(points)


def _pck(predicted: np.ndarray, true: np.ndarray, test: PoseBatch) -> float:
    a, b = BLAZEPOSE.indices(TORSO)
    torso = np.linalg.norm(test.keypoints[:, a] - test.keypoints[:, b], axis=-1)
    hits, total = metrics.pck(predicted, true, np.ones(true.shape[:2], bool), torso, 0.2)
    return round(100 * float(hits.sum()) / int(total.sum()), 1)


def _floor(known: PoseBatch, test: PoseBatch) -> float:
    """PCK of one pose for everybody: the median of known people, in the true ROI."""
    median = np.median(np.asarray(rois.image_to_crop(known.keypoints, _jax(known.roi))), axis=0)
    same = jax.numpy.broadcast_to(median, test.keypoints.shape)
    return _pck(np.asarray(rois.crop_to_image(same, _jax(test.roi))), test.keypoints, test)


def _jax(roi: ROI) -> ROI:
    return jax.tree.map(jax.numpy.asarray, roi)
