"""Covered people: what the net says of points that it cannot see, as in the paper's figure 5.

    .venv/bin/python tools/covered_people.py [--weights full] [--people 64] [--pictures F.jpg]

People are rendered before random backgrounds and covered: not at all, below the hips (upper
bodies), on one side, or by three rectangles. Points in sight and covered ones are judged apart:
within 0.2 of the true trunk, mean visibility, and the AUC of visibility as a classifier of the two.
The picture shows some of them, and two free photographs of half bodies: the astronaut (NASA), and
the cameraman (Lav Varshney, CC0), whose arms his coat and camera cover.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
from skimage.data import astronaut, camera

from blazepose_jax.cli.main import Parser
from blazepose_jax.cli.options import locate
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.draw import contact_sheet, draw_poses, save_image
from blazepose_jax.rendering.background import background
from blazepose_jax.rendering.person import render
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI

SIDE, CONTEXT = 384, 1.4
SHOWN = 4  # people of each kind in the picture


def covers(kind: str, points: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Rectangles, (4,) px xyxy each."""
    low, high = points.min(0) - 20, points.max(0) + 20
    hips = points[BLAZEPOSE.indices(BLAZEPOSE.center),].mean(0)
    if kind == "below the hips":
        return [np.array([low[0], hips[1], high[0], high[1]])]
    if kind == "one side":
        edges = (low[0], hips[0]) if rng.random() < 0.5 else (hips[0], high[0])
        return [np.array([edges[0], low[1], edges[1], high[1]])]
    if kind == "three rectangles":
        found = []
        for _ in range(3):
            middle, half = rng.uniform(low, high), rng.uniform(0.1, 0.25, 2) * (high - low)
            found.append(np.concatenate([middle - half, middle + half]))
        return found
    return []


def run(words: list[str]) -> None:
    """Render, cover, judge.

    Raises:
      BlazePoseError: bad weights.
    """
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="full")
    parser.add_argument("--people", type=int, default=64)
    parser.add_argument("--pictures", help="write some as one picture")
    args = parser.parse_args(words)
    weights = locate(args.weights)
    engine = load_engine(weights, None, Settings(decode="heatmap"), "litert")
    draw, scene = (
        jax.jit(partial(render, side=SIDE, context=CONTEXT)),
        jax.jit(partial(background, side=SIDE)),
    )
    tiles = []
    print(f"{'':20}{'in sight: hit, %':>18}{'visibility':>12}{'covered: hit, %':>18}", end="")
    print(f"{'visibility':>12}{'AUC':>8}{'presence':>10}")
    for kind in ("nothing", "below the hips", "one side", "three rectangles"):
        rows, presence = [], []
        for i in range(args.people):
            key = jax.random.key(i)
            of_person, of_scene = jax.random.split(key)
            person, rng = jax.device_get(draw(of_person)), np.random.default_rng(i)
            image = np.where(person.mask[..., None], person.colours, scene(of_scene))
            hidden = ~person.visible
            for box in covers(kind, person.points, rng):
                x0, y0, x1, y1 = np.clip(box, 0, SIDE).astype(int)
                image[y0:y1, x0:x1] = rng.uniform(0, 255, 3)
                inside = (person.points >= box[:2]).all(1) & (person.points <= box[2:]).all(1)
                hidden |= inside
            image = image.clip(0, 255).astype(np.uint8)
            roi = ROI(np.full((1, 2), SIDE / 2, np.float32), person.side[None], person.angle[None])
            poses = jax.device_get(engine.estimate(image, roi))
            trunk = np.linalg.norm(person.points[11] - person.points[24])
            error = np.linalg.norm(poses.keypoints[0, :, :2] - person.points, axis=-1)
            rows.append(np.stack([hidden, error < 0.2 * trunk, poses.visibility[0]], -1))
            presence.append(float(poses.presence[0]))
            if i < SHOWN:
                tiles.append(draw_poses(image, poses, BLAZEPOSE, min_visibility=0.0))
        print_row(kind, np.concatenate(rows), float(np.mean(presence)))
    if args.pictures:
        tracker = Tracker(weights, settings=Settings(decode="peaks"))
        for picture in (np.repeat(camera()[..., None], 3, -1), astronaut()):
            tracker.reset()
            tiles.insert(0, draw_poses(picture, tracker(picture), BLAZEPOSE, min_visibility=0.0))
        save_image(contact_sheet(tiles, 6, 200), Path(args.pictures))


def print_row(kind: str, rows: np.ndarray, presence: float) -> None:
    """(N, 3) hidden, hit, visibility."""
    hidden, hit, visibility = rows[:, 0] > 0, rows[:, 1], rows[:, 2]
    seen = visibility[~hidden]
    order = np.argsort(np.concatenate([seen, visibility[hidden]]))
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    auc = (ranks[: len(seen)].sum() - len(seen) * (len(seen) + 1) / 2) / (
        len(seen) * max(hidden.sum(), 1)
    )
    print(
        f"{kind:20}{100 * hit[~hidden].mean():18.1f}{seen.mean():12.2f}"
        f"{100 * hit[hidden].mean():18.1f}{visibility[hidden].mean():12.2f}"
        f"{auc:8.2f}{presence:10.2f}"
    )


if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except BlazePoseError as error:
        sys.exit(f"covered_people: {error}")
