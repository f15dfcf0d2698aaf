"""Errors of joint angles, by view and decode, on rendered people whose angles are known.

    .venv/bin/python tools/angle_errors.py [--weights full] [--people 4] [--depths 8]
    [--pictures F.png]

People of random build, clothes and colours squat, push up and jump; each is drawn before a random
background and looked at in the ROI of the truth. An angle of the picture is compared with that of
the true points in the picture, one of metres with the true angle in space: median absolute error in
degrees, of both sides together.
"""

import argparse
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.analysis import joint_angles
from blazepose_jax.cli.main import Parser
from blazepose_jax.cli.options import locate
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.inference.settings import Settings
from blazepose_jax.io.draw import contact_sheet, draw_poses, save_image
from blazepose_jax.rendering.background import background
from blazepose_jax.rendering.exercises import EXERCISES, exercise_figures
from blazepose_jax.rendering.figure import draw_lengths
from blazepose_jax.rendering.person import render_figure
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI

SIDE, CONTEXT = 384, 1.4
VIEWS = (0, 30, 60, 90)  # degrees from the front
DECODES = ("regression", "refine", "heatmap")
# What is judged of each exercise: a joint that it does not bend is no test.
JOINTS = {"squat": ("knee", "hip"), "push-up": ("elbow",), "jumping jack": ("shoulder",)}


def run(words: list[str]) -> None:
    """Render, estimate, print.

    Raises:
      BlazePoseError: bad weights.
    """
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="full")
    parser.add_argument("--people", type=int, default=4, help="of each exercise and view")
    parser.add_argument("--depths", type=int, default=8, help="of each person")
    parser.add_argument("--pictures", help="write some as one picture")
    args = parser.parse_args(words)
    weights = locate(args.weights)
    engines = {
        decode: load_engine(weights, None, Settings(decode=decode, world=True), "litert")
        for decode in DECODES
    }
    errors: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    tiles = []
    for exercise, joints in JOINTS.items():
        for view in VIEWS:
            for number in range(args.people):
                for sample in samples(exercise, view, number, args.depths):
                    judge(errors, engines, exercise, joints, view, *sample)
                image, _, _, roi = sample
                tiles.append(drawn(engines["heatmap"], image, roi))
    columns = (*DECODES, "metres")
    print(f"{'':24}" + "".join(f"{name:>12}" for name in columns) + f"{'n':>6}")
    for exercise, joints in JOINTS.items():
        for joint in joints:
            for view in VIEWS:
                row = [errors[f"{exercise} {joint}", view, column] for column in columns]
                numbers = "".join(f"{np.nanmedian(values):12.1f}" for values in row)
                print(f"{exercise + ' ' + joint:18}{view:4}°  {numbers}{len(row[0]):6}")
    if args.pictures:
        save_image(contact_sheet(tiles, 8, 160), Path(args.pictures))


def samples(exercise: str, view: int, number: int, depths: int):
    """(image, points in px, points in metres, ROI) along one person's repetition."""
    seed = [list(EXERCISES).index(exercise), view, number]
    key = jax.random.key(int(np.random.default_rng(seed).integers(2**31)))
    of_size, of_girth, of_scene, *of_looks = jax.random.split(key, 6)
    lengths = draw_lengths(of_size, of_girth)
    depth = np.linspace(0, 1, depths)
    figures = exercise_figures(exercise, depth, lengths, np.radians(view))
    scene = np.asarray(_background(of_scene))
    for i in range(depths):
        body = jax.tree.map(lambda a, i=i: a[i], figures)
        person = _render(body, of_looks)
        mask = np.asarray(person.mask)[..., None]
        image = np.where(mask, np.asarray(person.colours), scene).clip(0, 255).astype(np.uint8)
        center = np.full((1, 2), SIDE / 2, np.float32)
        roi = ROI(center, np.asarray(person.side)[None], np.asarray(person.angle)[None])
        yield image, np.asarray(person.points), np.asarray(person.world), roi


_background = jax.jit(partial(background, side=SIDE))
_render = jax.jit(partial(render_figure, side=SIDE, context=CONTEXT))


def judge(errors, engines, exercise, joints, view, image, points, world, roi) -> None:
    """Add the errors of one picture."""
    names = BLAZEPOSE.keypoints
    flat, space = joint_angles(points, names), joint_angles(world, names)
    for decode, engine in engines.items():
        poses = engine.estimate(image, roi)
        found = {decode: (joint_angles(np.asarray(poses.keypoints[0, :, :2]), names), flat)}
        if decode == "regression":
            found["metres"] = (joint_angles(np.asarray(poses.world[0]), names), space)
        for column, (seen, truth) in found.items():
            for joint in joints:
                for side in ("left", "right"):
                    error = abs(seen[f"{side}_{joint}"] - truth[f"{side}_{joint}"])
                    errors[f"{exercise} {joint}", view, column].append(float(error))


def drawn(engine, image: np.ndarray, roi: ROI) -> np.ndarray:
    """The picture with the pose."""
    poses = engine.estimate(image, jax.tree.map(jnp.asarray, roi))
    return draw_poses(image, poses, BLAZEPOSE, fade=False)


if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except BlazePoseError as error:
        sys.exit(f"angle_errors: {error}")
