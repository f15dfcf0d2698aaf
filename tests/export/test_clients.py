"""Our .task in MediaPipe for Python, and in its web runtime in a browser.

`make clients` installs them; where they are missing these tests are skipped.
"""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, scattered_pose_net, shared, write_camera

from blazepose_jax.cli import web
from blazepose_jax.cli.main import main
from blazepose_jax.export.bundle import task_bytes
from blazepose_jax.export.metadata import add_normalization
from blazepose_jax.inference import MEDIAPIPE
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.draw import save_image
from blazepose_jax.io.images import read_image
from blazepose_jax.io.media import read_media
from blazepose_jax.skeleton import BLAZEPOSE, COCO
from blazepose_jax.weights import import_weights, read_stored, save_weights

VERSIONS = ("1.2.2", "0.10.21")
NETS = ("lite",)


def python_of(version):
    return ROOT / f".venv-mediapipe-{version}" / "bin" / "python"


def with_mediapipe(version):
    """A mark, as marks are asked before the minutes of exports in fixtures."""
    reason = f"mediapipe {version} is not here: run `make clients`"
    return pytest.mark.skipif(not python_of(version).exists(), reason=reason)


EVERY_VERSION = pytest.mark.parametrize(
    "version", [pytest.param(version, marks=with_mediapipe(version)) for version in VERSIONS]
)
WITH_BROWSER = pytest.mark.skipif(
    not (web.VISION.is_dir() and shutil.which("node") and Path("/usr/bin/chromium").exists()),
    reason="the browser or @mediapipe/tasks-vision is not here: run `make clients`",
)


def mediapipe(version, **request):
    """Ask a MediaPipe process."""
    done = subprocess.run(
        [str(python_of(version)), str(ROOT / "tests" / "export" / "mediapipe_client.py")],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["version"] == version
    return found["answer"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """{net: a weights directory of Google's detector and that net}."""
    root = tmp_path_factory.mktemp("clients")
    for name in NETS:
        import_weights(
            [
                shared("models", "pose_detection.tflite"),
                shared("models", f"pose_landmark_{name}.tflite"),
            ],
            root / name,
        )
    return {name: root / name for name in NETS}


@pytest.fixture(scope="module")
def tasks(weights):
    """{(net, kind): .task}: Google's own files, ours in two precisions, ours by the heatmaps."""
    found = {}
    for name, directory in weights.items():
        original = directory.parent / f"{name}-google.task"
        original.write_bytes(
            task_bytes(
                add_normalization((directory / "detector.tflite").read_bytes(), 127.5, 127.5),
                add_normalization((directory / "pose.tflite").read_bytes(), 0.0, 255.0),
            )
        )
        found[name, "google"] = original
        # The other backend's files have the same operators and Google's bits (test_export).
        for kind, precision in (
            ("float32", "float32"),
            ("float16", "float16"),
            ("heatmap", "float32"),
            ("heatmap float16", "float16"),
        ):
            path = directory.parent / f"{name}-{kind}.task"
            assert (
                main(
                    [
                        "export",
                        "--weights",
                        str(directory),
                        "--output",
                        str(path),
                        "--precision",
                        precision,
                        "--backend",
                        "litert",
                        "--decode",
                        "heatmap" if "heatmap" in kind else "regression",
                    ]
                )
                == 0
            )
            found[name, kind] = path
    return found


@pytest.fixture(scope="module")
def photographs(tmp_path_factory, astronaut):
    """Frames as .npy: stills, and the beginning of a video."""
    root = tmp_path_factory.mktemp("frames")
    images = [
        astronaut,
        *(
            read_image(path)
            for path in sorted(shared("data", "coco_dev", "images").glob("*.jpg"))[:6]
        ),
    ]
    clip = [
        picture.image
        for _, picture in zip(
            range(20), read_media(shared("data", "video", "pose_squats.mp4")), strict=False
        )
    ]
    paths = {"image": images, "video": clip}
    for kind, frames in paths.items():
        for i, frame in enumerate(frames):
            np.save(root / f"{kind}{i:03d}.npy", frame)
    return {
        kind: [str(root / f"{kind}{i:03d}.npy") for i in range(len(frames))]
        for kind, frames in paths.items()
    }


@EVERY_VERSION
def test_python_gives_the_points_of_googles_own_files(version, tasks, photographs):
    jobs = [
        (name, kind, mode)
        for name in NETS
        for kind in ("google", "float32", "float16")
        for mode in ("image", "video")
    ]
    answers = mediapipe(
        version,
        jobs=[
            {"task": str(tasks[name, kind]), "frames": photographs[mode], "video": mode == "video"}
            for name, kind, mode in jobs
        ],
    )
    found = dict(zip(jobs, answers, strict=True))
    for name in NETS:
        for mode in ("image", "video"):
            expected = found[name, "google", mode]
            assert sum(bool(people) for people in expected) >= 3
            for kind, tolerance in (("float32", 5e-5), ("float16", 2e-3)):
                ours = found[name, kind, mode]
                assert [len(people) for people in ours] == [len(people) for people in expected]
                for a, b in zip(ours, expected, strict=True):
                    if a:
                        np.testing.assert_allclose(
                            a, b, atol=tolerance, err_msg=f"{name} {kind} {mode}"
                        )


@pytest.fixture(scope="module")
def own_tasks(weights, tmp_path_factory):
    """The paper's net, small, and an own keypoint set: MediaPipe must load and run them."""
    root = tmp_path_factory.mktemp("own")
    detector = read_stored(weights["lite"])["detector"]
    nets = {
        "paper": scattered_pose_net("smoke", BLAZEPOSE, side=128),
        "coco": scattered_pose_net("smoke", COCO, side=128, fields=("x", "y", "visibility")),
    }
    for name, net in nets.items():
        # As drawn, it is sure that nobody is there.
        net.variables["params"]["heads"]["presence"]["kernel"] *= 0.01
        save_weights(root / name, {"detector": detector, "pose": net})
        assert (
            main(["export", "--weights", str(root / name), "--output", str(root / f"{name}.task")])
            == 0
        )
    return {name: root / f"{name}.task" for name in nets}


@EVERY_VERSION
def test_python_runs_paper_nets_and_own_keypoint_sets(version, own_tasks, photographs):
    answers = mediapipe(
        version,
        jobs=[
            {"task": str(path), "frames": photographs["image"][:1], "video": False, "presence": 0.0}
            for path in own_tasks.values()
        ],
    )
    for name, frames in zip(own_tasks, answers, strict=True):
        assert len(frames[0]) == 1, name
        points = np.array(frames[0][0])
        assert points.shape == (33, 8)
        assert np.isfinite(points).all()
        np.testing.assert_array_equal(points[:, 5:], 0)  # neither has world landmarks
    hidden = [i for i, name in enumerate(BLAZEPOSE.keypoints) if name not in COCO.keypoints]
    np.testing.assert_allclose(
        np.array(answers[1][0][0])[hidden, 3], 1 / (1 + np.exp(10)), rtol=1e-3
    )


@with_mediapipe("0.10.21")
def test_mediapipe_reads_our_metadata(weights, tmp_path):
    assert (
        main(
            [
                "export",
                "--weights",
                str(weights["lite"]),
                "--output",
                str(tmp_path / "x.tflite"),
                "--backend",
                "litert",
            ]
        )
        == 0
    )
    found = mediapipe("0.10.21", describe=str(tmp_path / "x.tflite"))
    assert found["files"] == ["blazepose.json", "keypoints.txt"]
    graph = found["metadata"]["subgraph_metadata"][0]
    image = graph["input_tensor_metadata"][0]
    assert image["content"]["content_properties_type"] == "ImageProperties"
    assert image["content"]["content_properties"]["color_space"] == "RGB"
    assert image["process_units"][0]["options"] == {"mean": [0.0], "std": [255.0]}
    assert [row["name"] for row in graph["output_tensor_metadata"]] == [
        "landmarks",
        "presence",
        "mask",
        "heatmap",
        "world",
    ]
    assert graph["output_tensor_metadata"][0]["associated_files"][0] == {
        "name": "keypoints.txt",
        "type": "TENSOR_AXIS_LABELS",
    }
    assert found["metadata"]["name"] == "BlazePose pose (lite)"


@pytest.fixture
def browse(tmp_path):
    """Serve a .task and a picture, open the page, return what the browser found."""

    def open_page(task, image, delegate, *video):
        with web.make_server(task.read_bytes(), image, 0) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            address = f"http://localhost:{server.server_address[1]}/?delegate={delegate}"
            done = subprocess.run(
                [
                    "node",
                    str(web.PAGE / "check.mjs"),
                    address,
                    str(tmp_path / "page.png"),
                    *map(str, video),
                ],
                capture_output=True,
                text=True,
                timeout=240,
                env={**os.environ, "TMPDIR": "/tmp"},
            )
            server.shutdown()
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout)
        assert found["error"] is None, found
        assert found["elsewhere"] == []
        assert (tmp_path / "page.png").stat().st_size > 10_000
        return found

    return open_page


def points_in(found):
    return np.array([[p["x"], p["y"]] for p in found["landmarks"][0]])


def our_points(task, frames):
    """The pipeline's points by MediaPipe's refinement of what the file says: (33, 2) a frame."""
    settings = dataclasses.replace(MEDIAPIPE, smoothing=False)
    tracker = Tracker(task, settings=settings, runtime="litert")
    found = []
    for path in frames:
        image = np.load(path)
        tracker.reset()
        height, width, _ = image.shape
        found.append(tracker(image).keypoints[0, :, :2] / [width, height])
    return found


@with_mediapipe("1.2.2")
def test_python_refines_the_points_of_our_heatmap_decode(tasks, photographs):
    frames = photographs["video"][:2]
    kinds = ("heatmap", "heatmap float16", "google")
    answers = mediapipe(
        "1.2.2",
        jobs=[
            {"task": str(tasks[name, kind]), "frames": frames, "video": False}
            for name in NETS
            for kind in kinds
        ],
    )
    for i, name in enumerate(NETS):
        expected = our_points(tasks[name, "heatmap"], frames)
        for points, *found in zip(expected, *answers[i * len(kinds) :][: len(kinds)], strict=True):
            heatmap, half, google = (np.array(people[0]) for people in found)
            np.testing.assert_allclose(heatmap[:, :2], points, atol=2e-4)
            np.testing.assert_allclose(half, heatmap, atol=4e-3)
            # z, visibility and the world's points are Google's.
            np.testing.assert_allclose(heatmap[:, 2:], google[:, 2:], atol=1e-4)
            assert np.abs(heatmap[:, :2] - google[:, :2]).max() > 1e-3


@pytest.fixture(scope="module")
def standing(photographs, tasks, tmp_path_factory):
    """A photograph of a whole person, and where MediaPipe for Python sees their points."""
    [[[people]]] = [
        mediapipe(
            "1.2.2",
            jobs=[
                {
                    "task": str(tasks["lite", "float32"]),
                    "frames": photographs["video"][:1],
                    "video": False,
                }
            ],
        )
    ]
    path = tmp_path_factory.mktemp("standing") / "photograph.png"
    save_image(np.load(photographs["video"][0]), path)
    return path, np.array(people[0])[:, :2]


@WITH_BROWSER
@with_mediapipe("1.2.2")
def test_browser_gives_the_points_of_python(browse, tasks, standing):
    path, expected = standing
    np.testing.assert_allclose(
        points_in(browse(tasks["lite", "float32"], path, "CPU")), expected, atol=0.005
    )


@WITH_BROWSER
@with_mediapipe("1.2.2")
def test_browser_gives_the_points_of_googles_file_on_the_gpu(browse, tasks, standing):
    """MediaPipe's WebGL path computes in half precision.

    Google's own file lies as far from Python's points.
    """
    path, expected = standing
    ours, theirs = (
        points_in(browse(tasks["lite", kind], path, "GPU")) for kind in ("float32", "google")
    )
    np.testing.assert_allclose(ours, theirs, atol=0.005)
    assert np.abs(ours - expected).mean() < 0.005


@WITH_BROWSER
@with_mediapipe("1.2.2")
def test_browser_runs_the_heatmap_decode_whole_on_the_gpu(browse, tasks, standing):
    path, _ = standing
    on_cpu, on_gpu = (
        points_in(browse(tasks["lite", "heatmap"], path, delegate)) for delegate in ("CPU", "GPU")
    )
    assert np.abs(on_gpu - on_cpu).mean() < 0.005
    assert np.abs(on_gpu - on_cpu).max() < 0.03


@WITH_BROWSER
def test_browser_plays_a_video(browse, tasks):
    found = browse(tasks["lite", "float16"], None, "CPU", shared("data", "video", "pose_1.mp4"))
    assert re.fullmatch(r"[\d.]+ frames/s", found["status"])
    assert float(found["status"].split()[0]) > 0


@WITH_BROWSER
def test_browser_takes_a_camera(browse, tasks, tmp_path):
    film = write_camera(tmp_path / "camera.mjpeg", shared("data", "video", "pose_squats.mp4"))
    found = browse(tasks["lite", "float16"], None, "CPU", film)
    assert re.fullmatch(r"[\d.]+ frames/s", found["status"])
    assert float(found["status"].split()[0]) > 0
    # On a narrow screen nothing sticks out to the right.
    assert found["width"] <= 390


@WITH_BROWSER
@pytest.mark.parametrize("name", ["paper", "coco"])
def test_browser_runs_our_nets_on_the_gpu(browse, name, own_tasks, astronaut, tmp_path):
    save_image(astronaut, tmp_path / "photograph.png")
    found = browse(own_tasks[name], tmp_path / "photograph.png", "GPU")
    assert found["gpu"], "WebGL is not there: the page has run nothing on the GPU"
    assert any("Graph successfully started running" in message for message in found["messages"])


# A page without a browser, whose user chooses the GPU while a landmarker for the CPU is made.
BUNDLE = """
export const made = [];
export const FilesetResolver = { forVisionTasks: async () => ({}) };
export const PoseLandmarker = {
  POSE_CONNECTIONS: [],
  createFromOptions: async (files, { baseOptions: { delegate } }) => {
    made.push(delegate);
    const choice = document.getElementById("delegate");
    if (choice.value === "CPU") Object.assign(choice, { value: "GPU" }).change();
    return { close() {}, detect: () => ({ landmarks: [] }) };
  },
};
"""
DRIVER = """
const element = () => ({
  addEventListener(kind, action) { this[kind] = action; },
  getContext: () => ({ drawImage() {} }), pause() {}, removeAttribute() {},
});
const elements = {};
globalThis.document = { getElementById: (id) => (elements[id] ??= element()) };
globalThis.location = { search: "" };
globalThis.window = globalThis;
globalThis.fetch = async () => ({ status: 404 });
globalThis.Image = class { async decode() {} };
await import("./app.mjs");
await window.finished;
await elements.file.change({ target: { files: [new Blob([], { type: "image/png" })] } });
const { made } = await import("./vision/vision_bundle.mjs");
console.log(elements.status.textContent, ...made);
"""


@pytest.mark.skipif(not shutil.which("node"), reason="node is not here: run `make clients`")
def test_a_delegate_that_is_chosen_while_another_is_made_is_taken(tmp_path):
    (tmp_path / "vision").mkdir()
    (tmp_path / "vision" / "vision_bundle.mjs").write_text(BUNDLE)
    (tmp_path / "driver.mjs").write_text(DRIVER)
    shutil.copy(ROOT / "tools" / "web" / "app.js", tmp_path / "app.mjs")
    words = ["node", tmp_path / "driver.mjs"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert re.fullmatch(r"nobody, \d+ ms with start-up CPU GPU\n", done.stdout), done.stdout


def test_web_command_says_what_is_missing(tmp_path, capsys, monkeypatch, weights):
    monkeypatch.setattr(web, "VISION", tmp_path / "nothing")
    assert main(["web", "--weights", str(weights["lite"])]) == 2
    assert "run `make clients`" in capsys.readouterr().err
    monkeypatch.setattr(web, "VISION", tmp_path)
    assert main(["web", "--weights", str(weights["lite"]), "--image", "nowhere.png"]) == 2
    assert main(["web", "--weights", str(weights["lite"]), "--port", "-1"]) == 2
    assert main(["web", "--weights", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("blazepose:") == 3


def test_the_server_gives_its_own_files_only(tmp_path):
    from urllib.error import HTTPError
    from urllib.request import urlopen

    with web.make_server(b"model", None, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_address[1]}"
        with urlopen(f"{root}/model.task") as answer:
            assert answer.read() == b"model"
        with urlopen(root) as answer:
            assert b"app.js" in answer.read()
        for path in (
            "image",
            "../../setup.py",
            "package.json",
            "%2e%2e/%2e%2e/README.md",
            "vision/../package.json",
        ):
            with pytest.raises(HTTPError, match="404"):
                urlopen(f"{root}/{path}")
        server.shutdown()
