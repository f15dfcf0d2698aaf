import csv
import json
import os
import pty
import re
import socket
import subprocess
import sys

import av
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROOT, TRUTH, fails, random_variables, shared, write_clip
from PIL import Image

from blazepose_jax.cli import COMMANDS, models
from blazepose_jax.cli.demo import clip as demo_clip
from blazepose_jax.cli.main import build_parsers, is_abandoned, main
from blazepose_jax.cli.track import settings_of
from blazepose_jax.inference import Settings, SmoothingConfig, timing
from blazepose_jax.io.media import read_media
from blazepose_jax.models import LayerConfig, create_model
from blazepose_jax.models.summary import conv_calls
from blazepose_jax.skeleton import BLAZEPOSE, COCO
from blazepose_jax.weights import import_weights, save_weights
from blazepose_jax.weights.directory import StoredNetwork


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", 6)


def test_models_as_json_and_as_a_table(capsys, monkeypatch):
    # Here the detectors are counted, in tests/models every network.
    monkeypatch.setattr(
        models, "conv_calls", lambda model, side: conv_calls(model, side) if side < 256 else []
    )
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    counted = {name: numbers if "detector" in name else (0, 0) for name, numbers in TRUTH.items()}
    assert {r["name"]: (r["parameters"], r["macs"]) for r in rows} == counted
    assert set(rows[0]) == {"name", "input", "parameters", "macs", "keypoints", "weights"}
    assert main(["models"]) == 0
    assert "2,964,586" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trakc"], "did you mean 'track'"),
        (["track", "x", "--wieghts", "y"], "did you mean --weights"),
        (["track", "x"], "'x' does not exist"),
        (["track", "x", "--weights"], "expected one argument"),
        (["track", "x", "--weights", "y", "--max-people", "two"], "invalid int value: 'two'"),
        ([], "COMMAND"),
        (["import", "gone.task", "--output", "w"], "is no file"),
        (["import", "mediapipe", "--output", "w"], "mediapipe is not installed"),
    ],
)
def test_usage_errors(capsys, words, message):
    if words[:2] == ["import", "mediapipe"] and "mediapipe" in sys.modules:
        pytest.skip("mediapipe is installed here")
    assert message in fails(capsys, *words)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--decode", "refin"], "did you mean 'refine'"),
        (["--runtime", "litret"], "did you mean 'litert'"),
        (["--max-people", "0"], "must be a whole number, at least 1"),
        (["--min-detection-confidence", "1.5"], "must lie between 0 and 1"),
        (["--json", "missing/out.json"], "folder that does not exist"),
        (["--video", "."], "is a folder"),
        (["--start", "-1"], "start must be at least 0"),
        (["--start", "99"], "no frame between"),
        (["--decode", "heatmap"], "needs a net with a heatmap"),
        (["--min-cutoff", "0"], "min_cutoff is 0.0: it must be a finite number above 0"),
        (["--beta", "-1"], "beta is -1.0: it must be a finite number above 0"),
        (["--beta", "9", "--no-smoothing"], "--beta sets a filter that --no-smoothing turns off"),
    ],
)
def test_bad_options_leave_nothing_behind(
    capsys, clip, random_weights, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    written = [] if "--json" in options else ["--json", "out.json"]
    assert message in fails(capsys, "track", clip, "--weights", random_weights, *written, *options)
    assert sorted(tmp_path.iterdir()) == before


def test_the_filters_constants_are_options():
    words = ["track", "x", "--weights", "y"]

    def settings(*options):
        return settings_of(build_parsers("track")[0].parse_args([*words, *options]), True)

    assert settings().filters == SmoothingConfig()
    found = settings("--min-cutoff", "1.5", "--beta", "3")
    assert found.smoothing
    assert found.filters == SmoothingConfig(keypoints_min_cutoff=1.5, keypoints_beta=3.0)
    assert (settings().decode, settings().search) == (Settings().decode, Settings().search)
    args = build_parsers("track")[0].parse_args(words)
    assert settings_of(args, False).decode == "stills"


def test_commands_offer_what_they_read():
    args = build_parsers("track")[0].parse_args(["track", "x"])
    assert not settings_of(args, True).world
    # Which measures in space whenever it can.
    assert settings_of(build_parsers("analyze")[0].parse_args(["analyze", "x"]), True).world
    for command, shown in [
        ("track", "json, csv or json,csv"),
        ("track", "heatmap for video, peaks for stills, regression without"),
        ("evaluate", "(default: peaks, regression without heatmaps)"),
    ]:
        called = build_parsers(command)[1]
        assert called is not None
        assert shown in " ".join(called.format_help().split())


def test_help_lists_the_commands_without_importing_them(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for name, (_, help_line) in COMMANDS.items():
        assert f"    {name} " in out
        assert help_line.split()[0] in out
    code = (
        "import sys\n"
        "from blazepose_jax.cli import COMMANDS\n"
        "from blazepose_jax.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {module for module, _ in COMMANDS.values()} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: blazepose {command}" in capsys.readouterr().out


def test_what_the_system_refuses_is_one_line(capsys, random_weights, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "cannot be read or written" in fails(
        capsys, "demo", "--output", tmp_path / "file" / "demo", "--source", random_weights
    )


def test_a_pipe_or_socket_that_nobody_reads_is_known(tmp_path):
    reader, pipe = os.pipe()
    here, there = socket.socketpair()
    terminal, line = pty.openpty()
    with here, open(tmp_path / "file", "wb") as file:
        healthy = (pipe, here.fileno(), line, file.fileno())
        assert [is_abandoned(descriptor) for descriptor in healthy] == [False] * 4
        os.close(reader)
        there.close()
        os.close(terminal)
        assert [is_abandoned(descriptor) for descriptor in healthy] == [True] * 3 + [False]
    os.close(pipe)
    os.close(line)


def test_output_over_the_input_is_refused(capsys, clip, random_weights):
    before = clip.read_bytes()
    assert "is the input" in fails(
        capsys, "track", clip, "--weights", random_weights, "--video", clip
    )
    assert clip.read_bytes() == before


def test_weights_without_a_detector(capsys, clip, tmp_path):
    model = create_model("lite", LayerConfig(convolution="xla"), keypoints=17, side=128, heads=())
    variables = random_variables(model, jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32))
    arguments = {"keypoints": 17, "side": 128, "heads": ()}
    save_weights(
        tmp_path / "w", {"pose": StoredNetwork("lite", "batch", variables, arguments, "", "", COCO)}
    )
    assert "hold no detector: give one that does with --detector" in fails(
        capsys, "track", clip, "--weights", tmp_path / "w"
    )


def test_everything_that_track_writes(capsys, clip, random_weights, tmp_path):
    out = {name: tmp_path / name for name in ("o.json", "o.csv", "o.mp4", "masks")}
    assert (
        main(
            [
                "track",
                str(clip),
                "--weights",
                str(random_weights),
                "--json",
                str(out["o.json"]),
                "--csv",
                str(out["o.csv"]),
                "--video",
                str(out["o.mp4"]),
                "--mask",
                str(out["masks"]),
                "--world",
                "--min-detection-confidence",
                "0",
                "--min-presence-confidence",
                "0",
                "--search",
                "none",
            ]
        )
        == 0
    )
    assert "6 frames, 6 with people" in capsys.readouterr().out
    data = json.loads(out["o.json"].read_text(encoding="utf-8"))
    assert {k: data[k] for k in ("source", "width", "height", "fps")} == {
        "source": "clip.mp4",
        "width": 64,
        "height": 48,
        "fps": 10.0,
    }
    assert data["keypoint_names"] == list(BLAZEPOSE.keypoints)
    assert len(data["bones"]) == 35
    assert [f["index"] for f in data["frames"]] == list(range(6))
    np.testing.assert_allclose([f["time"] for f in data["frames"]], np.arange(6) / 10, atol=1e-3)
    for frame in data["frames"]:
        (person,) = frame["people"]
        assert np.shape(person["keypoints"]) == (33, 5)
        assert 0 <= person["quality"] <= 1
        assert np.shape(person["confidence"]) == (33,)
        assert "world" not in person  # the paper's net has no such head
    with out["o.csv"].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 33
    person = data["frames"][0]["people"][0]
    columns = ("x", "y", "z", "visibility", "presence", "confidence", "person_quality")
    first = [*person["keypoints"][0], person["confidence"][0], person["quality"]]
    assert [float(rows[0][c]) for c in columns] == first
    assert [p.image.shape for p in read_media(out["o.mp4"])] == [(48, 64, 3)] * 6
    assert sorted(p.name for p in out["masks"].iterdir()) == [f"{i:06d}.png" for i in range(6)]
    with Image.open(out["masks"] / "000000.png") as mask:
        assert mask.size == (64, 48)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_folder_writes_file_names_and_nobody_means_an_empty_list(clip, random_weights, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.png", "a.png"):
        Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(folder / name)
    assert (
        main(
            [
                "track",
                str(folder),
                "--weights",
                str(random_weights),
                "--json",
                str(tmp_path / "o.json"),
                "--min-detection-confidence",
                "1",
                "--min-presence-confidence",
                "1",
            ]
        )
        == 0
    )
    frames = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))["frames"]
    assert [(f["file"], f["people"]) for f in frames] == [("a.png", []), ("b.png", [])]


def test_a_video_that_changes_size_is_tracked_to_its_end(random_weights, tmp_path):
    stream = b""
    for name, size in (("a", (64, 48)), ("b", (96, 80))):
        writer = av.open(str(tmp_path / f"{name}.h264"), "w")
        track = writer.add_stream("libx264", rate=10)
        track.width, track.height, track.pix_fmt = *size, "yuv420p"
        for _ in range(4):
            frame = av.VideoFrame.from_ndarray(
                np.full((size[1], size[0], 3), 90, np.uint8), format="rgb24"
            )
            writer.mux(track.encode(frame))
        writer.mux(track.encode(None))
        writer.close()
        stream += (tmp_path / f"{name}.h264").read_bytes()
    (tmp_path / "both.h264").write_bytes(stream)
    assert (
        main(
            [
                "track",
                str(tmp_path / "both.h264"),
                "--weights",
                str(random_weights),
                "--video",
                str(tmp_path / "out.mp4"),
                "--json",
                str(tmp_path / "o.json"),
                "--min-detection-confidence",
                "0",
                "--min-presence-confidence",
                "0",
            ]
        )
        == 0
    )
    shapes = [p.image.shape for p in read_media(tmp_path / "both.h264")]
    assert shapes == [(48, 64, 3)] * 4 + [(80, 96, 3)] * 4
    assert [p.image.shape for p in read_media(tmp_path / "out.mp4")] == [(48, 64, 3)] * 8
    assert len(json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))["frames"]) == 8


def test_an_image_can_become_an_image(random_weights, tmp_path):
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(tmp_path / "in.png")
    assert (
        main(
            [
                "track",
                str(tmp_path / "in.png"),
                "--weights",
                str(random_weights),
                "--video",
                str(tmp_path / "out.png"),
                "--min-detection-confidence",
                "0",
                "--min-presence-confidence",
                "0",
            ]
        )
        == 0
    )
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (30, 40)


@pytest.mark.parametrize("words", [["demo", "--output", "demo"], ["track", "clip.mp4"]])
def test_without_network_one_line_says_what_to_copy_where(
    capsys, clip, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(clip.parent)
    monkeypatch.setenv("BLAZEPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert main(words) == 2
    told, error = capsys.readouterr().err.splitlines()
    assert "released-full is not on this machine: fetching mediapipe==0.10.21 by pip" in told
    assert "`pip download mediapipe==0.10.21" in error
    assert f"copy mediapipe-0.10.21-*.whl to {tmp_path / 'cache' / 'weights'}" in error


LITE = ("pose_landmark_lite.tflite", "pose_detection.tflite")


def test_demo_writes_a_page_a_video_and_points(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_clip, "SECONDS", 1)
    # Each stage alone is a program more to compile; test_timing times them.
    monkeypatch.setattr(timing, "stage_times", lambda *_: {"letterbox": 1.25})
    import_weights([shared("models", name) for name in LITE], tmp_path / "lite")
    assert (
        main(
            [
                "demo",
                "--output",
                str(tmp_path / "demo"),
                "--source",
                str(tmp_path / "lite"),
                "optimizer.steps=2",
                "optimizer.batch_size=8",
                "data.people=8",
                "data.held_out=8",
                "data.size=160",
            ]
        )
        == 0
    )
    written = {path.name for path in (tmp_path / "demo" / "training").iterdir()}
    assert {"curves.png", "demo.png", "demo.json", "weights"} <= written
    report = json.loads((tmp_path / "demo" / "training" / "demo.json").read_text(encoding="utf-8"))
    assert 10 < report["floor"] < 50
    assert report["people"] == 8
    page = (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    assert "found in 30 of 30 frames" in page
    assert "$" not in page
    assert "<td>letterbox</td><td>1.25</td>" in page
    frames = json.loads((tmp_path / "demo" / "poses.json").read_text(encoding="utf-8"))["frames"]
    assert len(frames) == 30
    assert len(list(read_media(tmp_path / "demo" / "overlay.mp4"))) == 30


def test_import_then_track_real_people(capsys, tmp_path):
    pytest.importorskip("ai_edge_litert")
    sources = [shared("models", name) for name in LITE]
    weights = tmp_path / "lite"
    assert main(["import", *map(str, sources), "--output", str(weights)]) == 0
    assert sorted(p.name for p in weights.iterdir()) == [
        "detector.safetensors",
        "detector.tflite",
        "model.json",
        "pose.safetensors",
        "pose.tflite",
    ]
    described = json.loads((weights / "model.json").read_text(encoding="utf-8"))["networks"]
    assert (described["pose"]["model"], described["pose"]["form"]) == ("lite", "folded")
    clip = shared("data", "video", "pose_squats.mp4")
    assert (
        main(
            [
                "track",
                str(clip),
                "--weights",
                str(weights),
                "--runtime",
                "litert",
                "--end",
                "1",
                "--json",
                str(tmp_path / "o.json"),
                "--world",
            ]
        )
        == 0
    )
    assert "5 frames, 5 with people, 1 detector runs" in capsys.readouterr().out
    (person,) = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))["frames"][4]["people"]
    nose, ankle = person["keypoints"][0], person["keypoints"][27]
    assert 150 < nose[1] < 400
    assert ankle[1] > 900
    assert 0.5 < person["world"][27][1] < 1.1  # ankles lie below the hips by a leg, in metres


def test_five_lines_of_python(released):
    import blazepose_jax as bp

    tracker = bp.Tracker(released)
    for frame in bp.read_media(shared("data", "video", "pose_squats.mp4"), end=0.5):
        poses = tracker(frame.image, frame.time)
        assert poses.present[0]
    assert poses.keypoints.shape == (1, 33, 3)


def test_readme_shows_the_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for words in ("make demo", "make test", "blazepose track", "blazepose import"):
        assert words in text


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (ROOT / page).parent.joinpath(link).exists(), link
