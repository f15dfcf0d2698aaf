"""``blazepose analyze``."""

import contextlib
import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import fails, shared
from PIL import Image

from blazepose_jax.analysis import c3d, read_recording
from blazepose_jax.analysis.c3d import at_even_times
from blazepose_jax.cli import analyze
from blazepose_jax.cli.main import main
from blazepose_jax.rendering.exercises import exercise_figures, repeated, usual_person
from blazepose_jax.skeleton import BLAZEPOSE

FPS = 25.0


@pytest.fixture
def points(tmp_path):
    """Six squats as ``blazepose track --json`` writes them; frames 5 and 6 are empty."""
    depth = np.concatenate([np.zeros(15), repeated(6, 1.6, FPS), np.zeros(15)])
    figure = np.asarray(exercise_figures("squat", depth, usual_person(), 0.9).points)
    frames = []
    feet = BLAZEPOSE.keypoints.index("left_ankle")
    for i, body in enumerate(figure):
        body = body - body[feet]  # who stands on the floor
        rows = np.concatenate([body * 300 + [320, 300, 0], np.ones((33, 2))], -1)
        person = {"id": 0, "keypoints": rows.round(3).tolist(), "world": body.round(4).tolist()}
        person["confidence"] = [0.9] * 33
        frames.append({"index": i, "time": i / FPS, "people": [] if i in (5, 6) else [person]})
    path = tmp_path / "points.json"
    content = {
        "source": "squats.mp4",
        "width": 640,
        "height": 600,
        "fps": FPS,
        "keypoint_names": list(BLAZEPOSE.keypoints),
        "bones": [list(bone) for bone in BLAZEPOSE.bone_indices],
        "frames": frames,
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_everything_that_is_written(points, tmp_path, capsys):
    out = {name: tmp_path / name for name in ("a.csv", "long.csv", "dlc.csv", "a.json", "a.png")}
    words = ["analyze", points, "--count", "knee", "--count", "height:nose", "--csv", out["a.csv"]]
    words += ["--long-csv", out["long.csv"], "--deeplabcut", out["dlc.csv"]]
    words += ["--json", out["a.json"], "--plot", out["a.png"]]
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr().out
    assert "squats.mp4: 270 frames, a person in 268" in said
    assert "knee: 6 repetitions" in said
    assert "height:nose: 6 repetitions" in said

    rows = table(out["a.csv"])
    assert len(rows) == 270
    knee = np.array([float(row["left_knee_3d_deg"]) for row in rows])
    # From 4 to 105 degrees of flexion, a little less by smoothing.
    assert abs(knee.max() - 176) < 0.5
    assert abs(knee.min() - 75) < 2
    assert all(c in ("frame", "time_s") or c.endswith(("_deg", "_deg_s")) for c in rows[0])
    speed = np.array([float(row["left_knee_3d_deg_s"]) for row in rows])
    np.testing.assert_allclose(speed[20:-20], np.gradient(knee, 1 / FPS)[20:-20], atol=1)

    long = table(out["long.csv"])
    assert len(long) == 270 * (len(rows[0]) - 2)
    found = [float(row["value"]) for row in long if row["measure"] == "left_knee_3d_deg"]
    np.testing.assert_array_equal(found, knee)

    head = list(csv.reader(out["dlc.csv"].read_text().splitlines()))
    assert [row[0] for row in head[:3]] == ["scorer", "bodyparts", "coords"]
    assert head[1][1:5] == ["nose", "nose", "nose", "left_eye_inner"]
    assert head[2][1:4] == ["x", "y", "likelihood"]
    assert len(head) == 273
    assert {len(row) for row in head} == {100}
    assert head[8][1:] == [""] * 99  # the empty frame

    content = json.loads(out["a.json"].read_text(), parse_constant=pytest.fail)
    assert content["repetitions"]["knee"]["count"] == 6
    assert content["repetitions"]["knee"]["counted"][0]["range"] > 60
    assert content["measures"]["left_knee_3d_deg"]["known"] == 1.0
    picture = Image.open(out["a.png"])
    assert picture.size[0] > 800
    assert len(picture.convert("RGB").getcolors(2**20) or []) > 50


def test_world_landmarks_for_motion_laboratories(points, tmp_path, capsys):
    ezc3d = pytest.importorskip("ezc3d")
    content = json.loads(points.read_text())
    content["frames"][9]["people"][0]["confidence"][3] = 0.2
    points.write_text(json.dumps(content))
    out = tmp_path / "squats.c3d"
    assert main(["analyze", str(points), "--c3d", str(out)]) == 0
    capsys.readouterr()
    found = ezc3d.c3d(str(out))
    about = found["parameters"]["POINT"]
    assert tuple(about["LABELS"]["value"]) == BLAZEPOSE.keypoints
    said = [about[name]["value"] for name in ("UNITS", "X_SCREEN", "Y_SCREEN")]
    assert said == [["mm"], ["+X"], ["+Y"]]
    np.testing.assert_allclose(about["RATE"]["value"], [FPS], rtol=1e-6)
    rows = found["data"]["points"]
    assert rows.shape == (4, 33, 270)
    missing = np.isnan(rows[0])
    assert {tuple(place) for place in np.argwhere(missing)} == {
        (3, 9),
        *((point, frame) for point in range(33) for frame in (5, 6)),
    }
    world = np.array(content["frames"][200]["people"][0]["world"])
    np.testing.assert_allclose(rows[:3, :, 200].T, world * [1000, -1000, -1000], atol=0.01)
    # Who stands has the head above the feet.
    names = BLAZEPOSE.keypoints
    assert rows[1, names.index("nose"), 0] > rows[1, names.index("left_heel"), 0] + 1000

    for frame in content["frames"]:
        for person in frame["people"]:
            del person["world"]
    points.write_text(json.dumps(content))
    out.unlink()
    words = ("analyze", points, "--c3d", out, "--csv", tmp_path / "a.csv")
    assert "has no world landmarks, which C3D holds" in fails(capsys, *words)
    assert not out.exists()
    assert not (tmp_path / "a.csv").exists()


def test_uneven_times_are_made_even():
    times = np.array([0.0, 0.1, 0.25, 0.3, 0.4])
    values = np.stack([times, 2 * times], 1)[:, None]  # (T, 1, 2), straight lines
    even, rate = at_even_times(values, times)
    np.testing.assert_allclose(even[:, 0, 0], np.arange(5) / 10, atol=1e-12)
    assert rate == pytest.approx(10)
    values[2] = np.nan
    unknown = np.isnan(at_even_times(values, times)[0][:, 0, 0])
    np.testing.assert_array_equal(unknown[[0, 2, 4]], [False, True, False])


def test_a_hole_in_time_is_not_filled():
    times = np.array([*np.arange(10) / 10, *(5 + np.arange(10) / 10)])
    even, _ = at_even_times(times[:, None], times)
    unknown = np.isnan(even[:, 0])
    assert unknown.sum() == pytest.approx(40, abs=2)
    assert not unknown[:9].any()
    assert not unknown[-9:].any()


def test_angles_of_ones_own(points, tmp_path):
    path = tmp_path / "a.csv"
    words = ["analyze", points, "--csv", path, "--smooth", "none", "--gap", "0"]
    words += ["--angles", "right_elbow,neck=nose:left_shoulder:left_hip"]
    assert main([str(word) for word in words]) == 0
    rows = table(path)
    assert {c.split("_deg")[0] for c in rows[0]} == {
        "frame",
        "time_s",
        *(f"{name}{kind}" for name in ("right_elbow", "neck") for kind in ("", "_3d")),
    }
    assert rows[5]["neck_deg"] == ""
    assert float(rows[4]["neck_deg"]) > 90


def test_a_recording_is_of_one_person(points):
    content = json.loads(points.read_text())
    for frame in content["frames"][:100]:
        frame["people"].append({**content["frames"][0]["people"][0], "id": 7})
    points.write_text(json.dumps(content))
    recording = read_recording(points)
    assert recording.people == {0: 268, 7: 100}
    assert np.isfinite(recording.points[:, 0, 0]).sum() == 268
    assert np.isfinite(read_recording(points, 7).points[:, 0, 0]).sum() == 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--count", "kneee"), "'kneee' is no angle to count by: did you mean 'knee'?"),
        (("--count", "height:noze"), "the point 'noze': there is none; did you mean 'nose'?"),
        (("--angles", "left_kne"), "left_knee"),
        (("--angles", "x=nose:left_hip"), "give name=POINT:JOINT:POINT, three points"),
        (
            ("--angles", "x=nose:left_hip:tail"),
            "'tail': there is none; the points are nose, ",
        ),
        (("--person", "3"), "blazepose: squats.mp4 has no person 3: there are [0]"),
        (("--min-confidence", "50"), "is 50.0: it is a probability, from 0 to 1"),
        (("--gap", "nan"), "the gap is nan: it is a number of seconds"),
        (("--smooth", "kalman"), "kalman"),
        (("--rest", "left"), "left"),
        (("--plot", "a.doc"), "ends in none of"),
        (("--window", "0"), "both are above 0"),
    ],
)
def test_mistakes(points, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert message in fails(capsys, "analyze", points, *words)
    assert not (tmp_path / "a.doc").exists()


def test_points_without_known_names_need_angles_of_ones_own(points, tmp_path, capsys):
    content = json.loads(points.read_text())
    content["keypoint_names"] = [f"point_{i}" for i in range(33)]
    points.write_text(json.dumps(content))
    out = tmp_path / "a.csv"
    assert "have none of the names" in fails(capsys, "analyze", points, "--csv", out)
    assert not out.exists()
    own = "x=point_1:point_2:point_3"
    words = ["analyze", points, "--csv", out, "--angles", own, "--plot", tmp_path / "a.png"]
    assert main([str(word) for word in words]) == 0
    assert set(table(out)[0]) >= {"x_deg", "x_3d_deg_s"}


def test_stills_are_no_film(points, capsys):
    content = json.loads(points.read_text())
    content["fps"] = 0
    for frame in content["frames"]:
        frame["file"] = f"{frame['index']}.png"
    points.write_text(json.dumps(content))
    assert "nothing to do with each other" in fails(capsys, "analyze", points)


def test_other_files_are_refused(tmp_path, capsys):
    path = tmp_path / "other.json"
    path.write_text('{"frames": [{"time": 0}]}')
    assert "is no result of blazepose track --json" in fails(capsys, "analyze", path)
    path.write_text("[]")
    assert "is no result of blazepose track --json" in fails(capsys, "analyze", path)
    picture = tmp_path / "one.png"
    Image.new("RGB", (64, 64)).save(picture)
    assert "is a picture: analysis is of videos" in fails(capsys, "analyze", picture)
    # Metres are measured anyway.
    assert "does not know '--world'" in fails(capsys, "analyze", picture, "--world")


def test_squats_of_a_real_person(released, tmp_path, capsys):
    """Two squats, and a third that the clip cuts off while she rises, counted by eye."""
    pytest.importorskip("ai_edge_litert")
    clip = shared("data", "video", "pose_squats.mp4")
    words = ["analyze", clip, "--weights", released, "--runtime", "litert", "--count", "knee"]
    assert main([str(word) for word in [*words, "--json", tmp_path / "a.json"]]) == 0
    found = json.loads((tmp_path / "a.json").read_text())["repetitions"]["knee"]
    assert found["count"] == 2
    assert [one["reason"] for one in found["rejected"]] == ["unfinished"]


def test_an_interrupt_leaves_what_was_tracked(released, tmp_path, monkeypatch, capsys):
    """As of a camera, which never ends."""
    pytest.importorskip("ai_edge_litert")
    asked = []

    @contextlib.contextmanager
    def interruptible():
        yield lambda: asked.append(0) or len(asked) >= 20

    monkeypatch.setattr(analyze, "interruptible", interruptible)
    clip, out = shared("data", "video", "pose_squats.mp4"), tmp_path / "a.csv"
    words = ["analyze", clip, "--weights", released, "--runtime", "litert", "--csv", out]
    assert main([str(word) for word in words]) == 130
    assert len(table(out)) == 20
    assert "is of the first 20 frames" in capsys.readouterr().err


def test_angles_are_those_that_are_asked_for(points, tmp_path, capsys):
    out = tmp_path / "a.csv"
    words = ["analyze", str(points), "--csv", str(out), "--count", "knee"]
    assert main([*words, "--angles", "left_elbow"]) == 0
    assert "knee: 6 repetitions" in capsys.readouterr().out
    assert "trunk_lean_deg" not in table(out)[0]
    assert main([*words, "--angles", "trunk_lean"]) == 0
    assert {name for name in table(out)[0] if name.endswith("_deg")} == {
        "trunk_lean_deg",
        "trunk_lean_3d_deg",
    }
    capsys.readouterr()
    said = fails(capsys, *words, "--angles", "trunk_lean=nose:left_hip:left_knee")
    assert "has the name of the trunk's lean" in said


def test_a_recording_longer_than_c3d_can_tell_is_refused_last(
    points, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("ezc3d")
    monkeypatch.setattr(c3d, "MOST_FRAMES", 100)
    files = {name: tmp_path / f"a.{name}" for name in ("csv", "c3d")}
    words = [word for name, path in files.items() for word in (f"--{name}", path)]
    assert main(["analyze", str(points), *map(str, words)]) == 2
    said = capsys.readouterr()
    assert "a C3D file holds 100 frames, and this is 270" in said.err
    assert "blazepose track --world --start" in said.err, "without metres there is no C3D"
    assert "270 frames, a person in 268" in said.out
    assert files["csv"].exists()
    assert not files["c3d"].exists()

    def report(*words):
        raise BrokenPipeError

    # Whoever reads the report stops: that is no reason to say nothing, or to write nothing.
    monkeypatch.setattr(analyze, "print_report", report)
    assert main(["analyze", str(points), *map(str, words)]) == 2
    assert "a C3D file holds 100 frames" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(analyze, "print_report", report)
    main(["analyze", str(points), *map(str, words)])
    assert files["c3d"].exists()


def test_the_result_alone_goes_to_standard_output(points, tmp_path):
    """Into a file, behind what it holds; and the report goes elsewhere."""
    log = tmp_path / "log.csv"
    log.write_text("precious\n")
    code = "import sys; from blazepose_jax.cli.main import main; sys.exit(main(sys.argv[1:]))"
    for _ in range(2):
        with log.open("a") as file:
            words = [sys.executable, "-c", code, "analyze", str(points), "--csv", "/dev/stdout"]
            done = subprocess.run(words, stdout=file, stderr=subprocess.PIPE, text=True, check=True)
            assert "a person in" in done.stderr
    lines = log.read_text().splitlines()
    frames = len(json.loads(points.read_text())["frames"])
    assert lines[0] == "precious"
    assert lines[1].startswith("frame,time_s,")
    assert len(lines) == 1 + 2 * (frames + 1)


def test_an_output_that_nobody_reads_is_an_error(points, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["head", "-c", "10", str(pipe)], stdout=subprocess.DEVNULL)
    code = "import sys; from blazepose_jax.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "analyze", str(points), "--long-csv", str(pipe)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    reader.wait(10)
    assert done.returncode == 2
    assert "has stopped reading" in done.stderr
    assert "Traceback" not in done.stderr
