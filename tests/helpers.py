"""What several tests share: real files, drawn people, and networks small enough to see through."""

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from blazepose_jax import training
from blazepose_jax.batches import PoseBatch
from blazepose_jax.cli.main import main
from blazepose_jax.io.cache import weights_cache
from blazepose_jax.io.media import read_media
from blazepose_jax.io.video_writer import VideoWriter
from blazepose_jax.skeleton import BLAZEPOSE, COCO
from blazepose_jax.structs import ROI, DetectorOutputs, Network, PoseOutputs, Poses

ROOT = Path(__file__).resolve().parent.parent
USERS_WEIGHTS = weights_cache()  # before the tests have a cache of their own


def shared(*parts: str) -> Path:
    """A path below BLAZEPOSE_SHARED; skips the test without that folder, which must be whole."""
    root = Path(os.environ.get("BLAZEPOSE_SHARED", ROOT.parent / "shared"))
    if not root.is_dir():
        pytest.skip(f"{root} is not here: set BLAZEPOSE_SHARED to the folder with models/, data/")
    path = root.joinpath(*parts)
    assert path.exists(), f"{root} lacks {'/'.join(parts)}"
    return path


def google_file(name: str) -> Path:
    """A .tflite of Google's; Heavy may lie in the user's cache, and skips the test without it."""
    if name == "pose_landmark_heavy":
        cached = USERS_WEIGHTS / "released-heavy" / "pose.tflite"
        path = cached if cached.is_file() else shared("models") / f"{name}.tflite"
        if not path.is_file():
            pytest.skip(f"{name}.tflite is not here: run `blazepose weights fetch heavy`")
        return path
    return shared("models", f"{name}.tflite")


def blob_image(width, height, *centers, radius=12):
    """Black, with a white disc per centre: what the blob networks take for a person."""
    y, x = np.mgrid[:height, :width]
    image = np.zeros((height, width, 3), np.uint8)
    for cx, cy in centers:
        image[np.hypot(x - cx, y - cy) < radius] = 255
    return image


def blob_networks(size=0.25):
    """A detector and a pose net, without parameters, that find white discs.

    The detector puts one detection on the anchor nearest to each disc's bright cells: mid-hip at
    the disc, the circle ``size`` of the letterbox above it. The pose net answers with the centroid
    of what is bright in its crop.
    """

    def detect(_, images):
        grey = (images[0].mean(-1) + 1) / 2  # (224, 224)
        coarse = grey.reshape(28, 8, 28, 8).mean((1, 3))  # the anchors at stride 8, two per cell
        scores = jnp.concatenate([jnp.repeat(coarse.reshape(-1), 2), jnp.zeros(686)])
        logits = jnp.where(scores > 0.9, 4.0 + scores, -10.0)
        values = jnp.zeros((2254, 12)).at[:, 2:4].set(30.0).at[:, 7].set(-224 * size)
        return DetectorOutputs(values[None], logits[None, :, None])

    def pose(_, images):
        grey = images.mean(-1)  # (B, 64, 64)
        total = grey.sum((1, 2))
        steps = jnp.arange(64.0)
        x = (grey * steps).sum((1, 2)) / jnp.maximum(total, 1e-6)
        y = (grey * steps[:, None]).sum((1, 2)) / jnp.maximum(total, 1e-6)
        rows = jnp.zeros((images.shape[0], 39, 5))
        rows = rows.at[:, :, 0].set(x[:, None]).at[:, :, 1].set(y[:, None])
        rows = rows.at[:, 34, 1].add(-64 / 2.5)  # the circle keeps its size
        return PoseOutputs(rows, jnp.where(total > 4, 5.0, -5.0)[:, None])

    fields = ("x", "y", "z", "visibility", "presence")
    return (
        Network((), detect, 224, 127.5, 127.5),
        Network((), pose, 64, 0.0, 255.0, BLAZEPOSE, fields),
    )


def drawn_weights(name):
    """A detector with random parameters, as a weights directory stores it."""
    from helpers import random_variables

    from blazepose_jax.models import FOLDED, create_model, spec_of
    from blazepose_jax.weights.directory import StoredNetwork

    side = spec_of(name).side
    shapes = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return StoredNetwork(
        name, "folded", random_variables(create_model(name, FOLDED), shapes), {}, "drawn", ""
    )


def made_up_poses(present=(True,), ids=None, **changes):
    """Poses of BlazePose's points all over 100 x 100 px; every number differs from the others."""
    rng = np.random.default_rng(0)
    people, points = len(present), len(BLAZEPOSE.keypoints)

    def draw(*shape, low=0.0, high=1.0):
        return rng.uniform(low, high, shape).astype(np.float32)

    poses = Poses(
        present=np.array(present),
        ids=np.arange(people, dtype=np.int32) if ids is None else np.array(ids, np.int32),
        presence=draw(people),
        keypoints=draw(people, points, 3, high=100),
        visibility=draw(people, points, low=0.5),
        point_presence=draw(people, points),
        roi=ROI(draw(people, 2, high=100), draw(people, low=50, high=100), draw(people)),
        quality=draw(people),
        confidence=draw(people, points),
        world=draw(people, points, 3, low=-1),
    )
    return poses.replace(**changes)


NAMES = COCO.keypoints


def standing(x=100.0, y=40.0):
    """(17, 3) a person of 120 px, everything visible."""
    heights = {
        "nose": 0,
        "eye": -3,
        "ear": -2,
        "shoulder": 20,
        "elbow": 40,
        "wrist": 60,
        "hip": 60,
        "knee": 90,
        "ankle": 120,
    }
    rows = []
    for name in NAMES:
        part = name.split("_")[-1]
        side = {"left": 12, "right": -12}.get(name.split("_")[0], 0)
        rows.append([x + side, y + heights[part], 2])
    return np.array(rows, np.float64)


def write_folder(folder, people, images=("a.jpg",)):
    folder.mkdir(exist_ok=True)
    for name in images:
        Image.fromarray(np.full((200, 220, 3), 90, np.uint8)).save(folder / name)
    data = {
        "categories": [{"id": 1, "keypoints": list(NAMES)}],
        "images": [
            {"id": i, "file_name": name, "width": 220, "height": 200}
            for i, name in enumerate(images)
        ],
        "annotations": people,
    }
    (folder / "annotations.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def person(i, **changes):
    return {
        "id": i,
        "image_id": 0,
        "keypoints": standing().reshape(-1).tolist(),
        "bbox": [80, 30, 40, 140],
        "area": 5600,
        **changes,
    }


# name -> parameters, multiply-adds, of the folded inference network
TRUTH = {
    "detector": (2_964_586, 429_859_360),
    "lite": (1_363_089, 197_822_208),
    "full": (3_169_489, 386_148_736),
    "heavy": (13_751_073, 1_927_318_656),
    "paper_full": (3_459_173, 424_039_936),
    "paper_lite": (1_308_421, 186_856_320),
    "paper_detector": (763_288, 468_910_080),
}


def random_variables(model, images):
    """Variables of the right shapes, statistics unlike those of a fresh net.

    Quicker than compiling an init.
    """
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)

    def draw(path, leaf):
        if leaf.ndim == 4:
            return (rng.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:3]))).astype(
                np.float32
            )
        low, high = (0.5, 1.5) if path[-1].key in ("scale", "var") else (-0.3, 0.3)
        return rng.uniform(low, high, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def scattered_pose_net(name, skeleton, licence="", **arguments):
    """A pose net with random parameters, as a weights directory stores it.

    Its points lie all over the crop and move a little with the picture.
    """
    from blazepose_jax.models import LayerConfig, create_model
    from blazepose_jax.weights import StoredNetwork

    arguments |= {"keypoints": len(skeleton.keypoints) + len(skeleton.auxiliary)}
    side = arguments.get("side", 256)
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    variables = random_variables(create_model(name, LayerConfig(), **arguments), images)
    head = variables["params"]["heads"]["landmarks"]
    head["kernel"] *= 0.01
    bias = head["bias"].reshape(len(skeleton.keypoints) + len(skeleton.auxiliary), -1)
    bias[:, :2] = np.random.default_rng(1).uniform(0.1, 0.9, (len(bias), 2)) * side
    return StoredNetwork(name, "batch", variables, arguments, "drawn", licence, skeleton)


def gradient(i, width=64, height=48):
    """A picture whose corner says which way is up and whose brightness says which frame it is."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (250, 20, 20)
    image[height // 2 :] = (20, 20, 40 + 8 * i % 200)
    return image


def write_clip(path, frames=10, fps=10.0, times=None, **size):
    writer = VideoWriter(path, fps)
    for i in range(frames):
        writer.write(gradient(i, **size), i / fps if times is None else times[i])
    writer.close()
    return path


def record():
    """A grey square with a bright dot on every labelled keypoint, and its labels."""
    rng = np.random.default_rng(0)
    points = rng.uniform(110, 210, (33, 2)).astype(np.float32)
    points[[23, 24]] = [[170, 180], [150, 180]]
    points[[11, 12]] = [[175, 130], [145, 130]]
    flags = np.where(rng.uniform(size=33) < 0.7, 2, 1)
    flags[5] = 0
    y, x = np.mgrid[:320, :320]
    pixels = np.full((320, 320, 3), 60, np.uint8)
    for (px, py), flag in zip(points, flags, strict=True):
        if flag:
            pixels[np.hypot(x - px, y - py) < 3] = 255
    roi = ROI(jnp.array([160.0, 180.0]), jnp.float32(230.0), jnp.float32(0.0))
    return PoseBatch(
        jnp.asarray(pixels),
        jnp.asarray(points),
        jnp.asarray(flags),
        roi,
        jnp.array(True),
        jnp.float32(1),
        jnp.int32(7),
    )


def batch_targets(count=2):
    one = record()
    one = training.sample_targets(jax.random.key(0), one, BLAZEPOSE, 256, training.NO_AUGMENTATION)
    return jax.tree.map(lambda a: jnp.stack([a] * count), one)


def fails(capsys, *words):
    """Run, expect one line on stderr and exit code 2; return the line."""
    assert main([str(w) for w in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert err.startswith("blazepose: ")
    return err


def write_camera(path, source):
    """A film as Chromium's fake camera takes it, half the size, each frame three times."""
    av = pytest.importorskip("av")
    frames = [np.ascontiguousarray(picture.image[::2, ::2]) for picture in read_media(source)]
    with av.open(str(path), "w", format="mjpeg") as camera:
        stream = camera.add_stream("mjpeg", rate=30, pix_fmt="yuvj420p")
        stream.height, stream.width = frames[0].shape[:2]
        for small in frames:
            for _ in range(3):
                camera.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        camera.mux(stream.encode())
    return path
