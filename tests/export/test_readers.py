"""The readers of docs/readers against the pipeline: the same crop, points and next square."""

import functools
import http.server
import importlib.util
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROOT, drawn_weights, scattered_pose_net
from PIL import Image

from blazepose_jax.cli import web
from blazepose_jax.cli.main import main
from blazepose_jax.geometry import rois, warp
from blazepose_jax.inference import Settings, detect, estimate
from blazepose_jax.io.frames import to_frame
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import ROI
from blazepose_jax.weights import load_weights, save_weights

READERS = ROOT / "docs" / "readers"
NAMES = ("L_Shoulder", "R_Shoulder", "L_Hip", "R_Hip", "tip")
POINTS = Skeleton("own", NAMES, (), NAMES[2:4], NAMES[:2])
# The rule of the next square: by the net's own rows, by the farthest point, and BlazePose's.
SETS = {"rows": POINTS.with_roi_points(), "points": POINTS, "blazepose": BLAZEPOSE}
# Drawn nets amplify the few places that float32 and float64 round to different 1/32 px: hence 0.2
# px and 0.01 below.
# Off the middle, turned, beyond the picture's edge, and with places halfway between two 1/32 px.
SQUARE = {"x": 210.0, "y": 130.0, "side": 330.0, "angle": 0.4}
HALFWAY = {"x": 130.0, "y": 120.0, "side": 300.0, "angle": 0.0}


@pytest.fixture(scope="module")
def reader():
    spec = importlib.util.spec_from_file_location("reader", READERS / "reader.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    import sys

    sys.modules["reader"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["reader"]


@pytest.fixture(scope="module")
def image(astronaut):
    return np.ascontiguousarray(astronaut[::2, ::2])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    root = tmp_path_factory.mktemp("readers")
    for name, skeleton in SETS.items():
        net = scattered_pose_net("demo", skeleton, side=128)
        save_weights(root / name, {"detector": drawn_weights("detector"), "pose": net})
    return root


@pytest.fixture(scope="module")
def file_of(weights):
    """The .tflite of a part of one of ``SETS``, exported when it is first asked for."""

    @functools.cache
    def path_of(name, part="pose"):
        path = weights / f"{name}-{part}.tflite"
        words = ["--output", str(path), "--part", part, "--backend", "litert"]
        # What the readers do to regressed points is compared.
        words += ["--decode", "regression"] if part == "pose" else []
        assert main(["export", "--weights", str(weights / name), *words]) == 0
        return path

    return path_of


def roi_of(square):
    values = [[square["x"], square["y"]]], [square["side"]], [square["angle"]]
    return ROI(*(jnp.asarray(value, jnp.float32) for value in values))


def expected_of(weights, name, image):
    """(K, 2) points, (K,) visibility, presence, and the next square, by JAX."""
    net = load_weights(weights / name).pose
    settings = Settings(decode="refine")
    poses = estimate(net, to_frame(image), roi_of(SQUARE), settings=settings)
    return poses.keypoints[0, :, :2], poses.visibility[0], float(poses.presence[0])


def next_of(skeleton, points):
    """The next square of all K' points, as a dict."""
    roi = rois.from_keypoints(jnp.asarray(points, jnp.float32), skeleton)
    return {"x": roi.center[0], "y": roi.center[1], "side": roi.side, "angle": roi.angle}


@pytest.mark.parametrize("square", [SQUARE, HALFWAY])
@pytest.mark.parametrize("border", ["replicate", "zero"])
def test_python_crops_as_training_does(reader, image, square, border):
    roi = ROI(jnp.array([square["x"], square["y"]]), square["side"], square["angle"])
    expected = warp.crop(to_frame(image), rois.to_affine(roi, 64), 64, border=border)
    found = reader.crop(image, reader.Square(**square), 64, repeat_edge=border == "replicate")
    differences = np.abs(found - np.asarray(expected)).max(-1)
    # float32 and float64 round a few places to different 1/32 px.
    assert np.mean(differences > 0) < 0.02
    assert differences.max() < 12


@pytest.mark.parametrize("name", SETS)
def test_python_finds_our_points(reader, file_of, weights, image, name):
    found = reader.Pose(str(file_of(name)))(image, reader.Square(**SQUARE))
    points, visibility, presence = expected_of(weights, name, image)
    names = SETS[name].keypoints
    assert list(found.points) == list(names)
    np.testing.assert_allclose([found.points[n] for n in names], points, atol=0.2)
    np.testing.assert_allclose([found.visibility[n] for n in names], visibility, atol=1e-3)
    assert found.presence == pytest.approx(presence, abs=0.01)
    assert found.next is not None


def test_python_aims_as_the_pipeline_does(reader):
    points = np.random.default_rng(0).uniform(0, 100, (39, 2))
    for skeleton in SETS.values():
        count = len(skeleton.keypoints)
        rule = "rows" if skeleton.has_roi_points else "points"
        rows = {
            "rows": ([count], [count + 1]),
            "points": (skeleton.indices(skeleton.center), skeleton.indices(skeleton.up)),
        }[rule]
        center, above = map(list, rows)
        some = points[: count + len(skeleton.auxiliary)]
        info = {"rule": rule, "center": center, "above": above, "scale": 2.5}
        found = reader.next_square(some, count, info)
        for key, value in next_of(skeleton, some).items():
            assert getattr(found, key) == pytest.approx(float(value), abs=1e-3)
    assert reader.next_square(points, 33, {"rule": "none"}) is None


def detected(weights, image):
    """The first square by JAX."""
    found = detect(load_weights(weights / "rows").detector, to_frame(image))
    assert bool(found.valid[0])
    return rois.from_alignment(found.keypoints[0, 0], found.keypoints[0, 1])


def test_python_finds_the_first_square(reader, file_of, weights, image):
    found = reader.Detector(str(file_of("rows", "detector")))(image)
    expected = detected(weights, image)
    np.testing.assert_allclose([found.x, found.y], expected.center, rtol=1e-3, atol=0.01)
    np.testing.assert_allclose(
        [found.side, found.angle], [expected.side, expected.angle], rtol=1e-3, atol=1e-3
    )


PAGE = """<!doctype html><p id="status"></p>
<script type="importmap">{"imports": {
  "@litertjs/core": "./modules/@litertjs/core/dist/index.js",
  "@litertjs/wasm-utils": "./modules/@litertjs/wasm-utils/dist/index.js"}}</script>
<script type="module">
import * as litert from "@litertjs/core";
import { Detector, Pose } from "./reader.mjs";
async function run() {
  await litert.loadLiteRt("./modules/@litertjs/core/wasm/");
  const bitmap = await createImageBitmap(await (await fetch("photo.png")).blob());
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  const found = [];
  for (const name of ["rows", "points", "blazepose"]) {
    const pose = await Pose.load(litert, `${name}.tflite`);
    found.push(await pose.find(image, SQUARE));
  }
  const detector = await Detector.load(litert, "detector.tflite");
  found.push(await detector.find(image));
  return { landmarks: found };
}
window.finished = run().catch((error) => ({ error: String(error.stack ?? error) }));
</script>"""


@pytest.fixture(scope="module")
def browsed(file_of, image, tmp_path_factory):
    """What the JavaScript reader finds on the picture, in headless Chromium."""
    modules = web.PAGE / "node_modules"
    is_here = (modules / "@litertjs" / "core").is_dir() and shutil.which("node")
    if not (is_here and Path("/usr/bin/chromium").exists()):
        pytest.skip("the browser or @litertjs/core is not here: run `make clients`")
    root = tmp_path_factory.mktemp("site")
    (root / "modules").symlink_to(modules)
    shutil.copy(READERS / "reader.mjs", root)
    Image.fromarray(image).save(root / "photo.png")
    for name in SETS:
        shutil.copy(file_of(name), root / f"{name}.tflite")
    shutil.copy(file_of("rows", "detector"), root / "detector.tflite")
    page = PAGE.replace("SQUARE", json.dumps(SQUARE))
    (root / "index.html").write_text(page, encoding="utf-8")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(
            ["node", str(web.PAGE / "check.mjs"), f"http://127.0.0.1:{server.server_address[1]}/"],
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "TMPDIR": "/tmp"},
        )
        server.shutdown()
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout)
    assert answer["error"] is None, answer
    assert answer["elsewhere"] == []
    return dict(zip([*SETS, "detector"], answer["landmarks"], strict=True))


@pytest.mark.parametrize("name", SETS)
def test_javascript_finds_our_points(browsed, reader, file_of, weights, image, name):
    found = browsed[name]
    points, visibility, presence = expected_of(weights, name, image)
    assert [row["name"] for row in found["points"]] == list(SETS[name].keypoints)
    np.testing.assert_allclose([[p["x"], p["y"]] for p in found["points"]], points, atol=0.2)
    np.testing.assert_allclose([p["visibility"] for p in found["points"]], visibility, atol=1e-3)
    assert found["presence"] == pytest.approx(presence, abs=0.01)
    # Of this the Python reader is the reference, which is compared with the pipeline above.
    expected = reader.Pose(str(file_of(name)))(image, reader.Square(**SQUARE)).next
    for key in SQUARE:
        assert found["next"][key] == pytest.approx(getattr(expected, key), abs=0.2), key


def test_javascript_finds_the_first_square(browsed, weights, image):
    found, expected = browsed["detector"], detected(weights, image)
    np.testing.assert_allclose([found["x"], found["y"]], expected.center, rtol=1e-3, atol=0.01)
    assert found["side"] == pytest.approx(float(expected.side), rel=1e-3)
    assert found["angle"] == pytest.approx(float(expected.angle), abs=1e-3)
