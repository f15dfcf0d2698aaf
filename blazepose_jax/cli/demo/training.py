"""The demo's training: a small pose net on rendered people, and what it is worth."""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.batches import PoseBatch
from blazepose_jax.data.readers import HELD_OUT_SEED
from blazepose_jax.data.rendered import Rendered
from blazepose_jax.evaluation import metrics
from blazepose_jax.geometry import rois
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.inference.settings import Settings
from blazepose_jax.io.draw import contact_sheet, draw_poses, save_image
from blazepose_jax.io.files import write_text
from blazepose_jax.io.frames import to_frame
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.training.config import load_experiment, override
from blazepose_jax.training.loop import train

SHOWN, COLUMNS = 16, 8
FLOOR_FROM = 512  # people whose median pose is the floor


@dataclasses.dataclass(frozen=True)
class TrainedDemo:
    """What the trained net is worth.

    Attributes:
      pck: held-out PCK@0.2 in percent, heatmap + flip decode.
      floor: that of the median pose in the same ROI.
      people: held out.
      seconds: of training.
      steps: of training.
    """

    pck: float
    floor: float
    people: int
    seconds: float
    steps: int


def train_demo(workdir: Path, overrides: Sequence[str] = ()) -> TrainedDemo:
    """Train the experiment ``demo`` and measure it on held-out rendered people.

    Args:
      workdir: of the run; demo.png shows held-out people with the net's points, demo.json the
        figures.
      overrides: changes to the experiment, like ``optimizer.steps=100``.
    """
    config = override(load_experiment("demo"), overrides)
    began = time.perf_counter()
    train(config, workdir)
    seconds = time.perf_counter() - began
    held_out = Rendered(config.data.held_out, config.data.size, HELD_OUT_SEED)
    test: PoseBatch = jax.device_get(held_out.take(np.arange(len(held_out))))
    known = Rendered(min(FLOOR_FROM, config.data.people), config.data.size)
    floor = median_pck(jax.device_get(known.take(np.arange(len(known)))), test)
    predicted = predict(workdir / "weights", test, workdir / "demo.png")
    trained = TrainedDemo(
        pck=pck(predicted, test),
        floor=floor,
        people=len(held_out),
        seconds=round(seconds, 1),
        steps=config.optimizer.steps,
    )
    write_text(workdir / "demo.json", json.dumps(dataclasses.asdict(trained), indent=2) + "\n")
    return trained


def predict(weights: Path, test: PoseBatch, picture: Path) -> np.ndarray:
    """Points of held-out people, and a contact sheet of the first ones.

    Args:
      weights: directory with the trained net.
      test: B people, numpy leaves.
      picture: to write.

    Returns:
      (B, 33, 2) record px.
    """
    engine = load_engine(weights, None, Settings(decode="peaks", flip=True))
    points, tiles = [], []
    for i, square in enumerate(np.asarray(test.pixels)):
        roi = jax.tree.map(lambda a, i=i: a[i : i + 1], test.roi)
        poses = jax.device_get(engine.estimate(to_frame(square), roi))
        points.append(poses.keypoints[0, :, :2])
        if i < SHOWN:
            tiles.append(draw_poses(square, poses, BLAZEPOSE, min_visibility=0.0, fade=False))
    save_image(contact_sheet(tiles, COLUMNS), picture)
    return np.stack(points)


def pck(predicted: np.ndarray, test: PoseBatch) -> float:
    """PCK@0.2 in percent over all 33 points, measured by LSP's torso.

    Args:
      predicted: (B, 33, 2) record px.
      test: B people, numpy leaves.
    """
    true = np.asarray(test.keypoints)
    a, b = BLAZEPOSE.indices(metrics.LSP_TORSO)
    torso = np.linalg.norm(true[:, a] - true[:, b], axis=-1)
    hits, total = metrics.pck(predicted, true, np.ones(true.shape[:2], bool), torso, 0.2)
    return round(100 * float(hits.sum()) / int(total.sum()), 1)


def median_pck(known: PoseBatch, test: PoseBatch) -> float:
    """PCK of one pose for everybody: the median of known people, in the true ROI."""
    known, test = jax.tree.map(jnp.asarray, (known, test))
    median = np.median(np.asarray(rois.image_to_crop(known.keypoints, known.roi)), axis=0)
    same = jnp.broadcast_to(median, test.keypoints.shape)
    return pck(np.asarray(rois.crop_to_image(same, test.roi)), test)
