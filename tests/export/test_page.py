"""The page beside an exported file and the description inside: for those without this package."""

import dataclasses
import json
import re
import subprocess
import sys
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import drawn_weights, fails, scattered_pose_net

from blazepose_jax.cli.main import main
from blazepose_jax.export import description
from blazepose_jax.export.page import MARK, page_path
from blazepose_jax.inference import Settings, detect, estimate
from blazepose_jax.inference.settings import MIN_SCORE
from blazepose_jax.io.draw import save_image
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import ROI
from blazepose_jax.weights import import_weights, load_weights, read_stored, save_weights

LICENCE = "Apache-2.0 (derived from pose_landmark_lite.tflite); training data: CC BY 4.0"
# Off the middle, turned, and beyond the picture's edge.
SQUARE = (210.0, 130.0, 330.0, 0.4)
OWN = Skeleton(
    "own",
    ("L_Shoulder", "R_Shoulder", "L_Hip", "R_Hip", "Griff | *oben*"),
    (("L_Shoulder", "R_Shoulder"), ("L_Hip", "R_Hip")),
    ("L_Hip", "R_Hip"),
    ("L_Shoulder", "R_Shoulder"),
).with_roi_points()


@pytest.fixture(scope="module")
def picture(tmp_path_factory, astronaut):
    path = tmp_path_factory.mktemp("picture") / "photo.png"
    save_image(np.ascontiguousarray(astronaut[::2, ::2]), path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A net of BlazePose's rows and one of own points with a heatmap, each with a detector."""
    root = tmp_path_factory.mktemp("weights")
    nets = {
        "rows": scattered_pose_net("smoke", BLAZEPOSE, LICENCE, side=128),
        "own": scattered_pose_net("demo", OWN, LICENCE, side=128),
    }
    for name, net in nets.items():
        save_weights(root / name, {"detector": drawn_weights("detector"), "pose": net})
    return {name: root / name for name in nets}


def export(weights, output, *words):
    words = ("--weights", weights, "--output", output, *words)
    return main(["export", *map(str, words)])


def code_of(page):
    """The one Python block of a page, or of its pose net's part."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)[-1]


def printed_by(page, *words):
    """What a page's code prints, run as a reader runs it."""
    (page.parent / "run.py").write_text(code_of(page), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "run.py", *map(str, words)],
        cwd=page.parent,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [line for line in done.stdout.splitlines() if line]


def rows_in(lines):
    """Presence, names, and (K', 3) x, y, visibility."""
    presence = float(lines[0].removeprefix("somebody is there: "))
    rows = [line.rsplit(" ", 3) for line in lines[1:]]
    return presence, [row[0] for row in rows], np.array([row[1:] for row in rows], float)


def ours(weights, picture):
    """The same by JAX."""
    center, side, angle = np.array([SQUARE[:2]], np.float32), SQUARE[2:3], SQUARE[3:]
    roi = ROI(jnp.asarray(center), jnp.asarray(side), jnp.asarray(angle))
    net = load_weights(weights).pose
    poses = estimate(net, to_frame(read_image(picture)), roi, settings=Settings(decode="refine"))
    return poses


EXPORTS = {
    # Of regressed points, so that the code's refinement shows.
    "own.tflite": ("own", "--backend", "litert", "--decode", "regression"),
    "rows.tflite": ("rows", "--backend", "litert", "--batch", "2"),
    "rows.task": ("rows", "--backend", "litert"),
    "rows.onnx": ("rows", "--backend", "litert"),
    "saved": ("rows",),
}


@pytest.fixture(scope="module")
def exported(weights, tmp_path_factory):
    """Where an export of ``EXPORTS`` lies, made when it is first asked for."""
    root, made = tmp_path_factory.mktemp("exported"), {}

    def path_of(output):
        if output not in made:
            name, *words = EXPORTS[output]
            folder = root / output.replace(".", "_")
            folder.mkdir()
            assert export(weights[name], folder / output, *words) == 0
            made[output] = folder / output
        return made[output]

    return path_of


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(output, marks=pytest.mark.long if output == "saved" else ())
        for output in EXPORTS
    ],
)
def test_the_code_of_the_page_gives_our_points(weights, picture, exported, output):
    name, path = EXPORTS[output][0], exported(output)
    page = page_path(path)
    if output == "saved":
        page.write_bytes((path / "saved.md").read_bytes())
    presence, names, rows = rows_in(printed_by(page, picture, *SQUARE))
    expected = ours(weights[name], picture)
    skeleton = OWN if name == "own" else BLAZEPOSE
    assert names == list(skeleton.keypoints + skeleton.auxiliary)
    count = len(skeleton.keypoints)
    np.testing.assert_allclose(rows[:count, :2], expected.keypoints[0, :, :2], atol=0.2)
    np.testing.assert_allclose(rows[:count, 2], expected.visibility[0], atol=1e-3)
    assert presence == pytest.approx(float(expected.presence[0]), abs=1e-3)
    assert not list(page.parent.glob(".*"))


def test_own_points_are_refined(weights, picture):
    """Else the test above would not see the refinement."""
    roi = ROI(*(jnp.asarray(v, jnp.float32) for v in ([SQUARE[:2]], SQUARE[2:3], SQUARE[3:])))
    net, frame = load_weights(weights["own"]).pose, to_frame(read_image(picture))
    refined, regressed = (
        estimate(net, frame, roi, settings=Settings(decode=decode)).keypoints[0, :, :2]
        for decode in ("refine", "regression")
    )
    assert (np.abs(refined - regressed).max(-1) > 0.5).any()


def test_the_code_of_a_detectors_page(weights, picture, tmp_path):
    words = ("--part", "detector", "--backend", "litert")
    assert export(weights["rows"], tmp_path / "d.tflite", *words) == 0
    score, square = printed_by(tmp_path / "d.tflite.md", picture)
    found = detect(load_weights(weights["rows"]).detector, to_frame(read_image(picture)))
    hip, circle = np.asarray(found.keypoints[0, :2], np.float64)
    dx, dy = circle - hip
    expected = [*hip, 2.5 * np.hypot(dx, dy), np.arctan2(dx, -dy)]
    assert float(score.split()[-1]) == pytest.approx(float(found.scores[0]), abs=1e-4)
    np.testing.assert_allclose(
        [float(word) for word in square.split(":")[1].split()], expected, rtol=1e-3, atol=1e-2
    )


def test_the_description_inside_says_it_all(exported):
    with zipfile.ZipFile(exported("own.tflite")) as file:
        assert file.namelist() == ["blazepose.json", "keypoints.txt"]
        found = json.loads(file.read("blazepose.json"))
        assert file.read("keypoints.txt").decode().splitlines() == found["keypoints"] + [
            "roi_center",
            "roi_circle",
        ]
    assert found["licence"] == LICENCE
    assert found["source"] == "drawn"
    assert (found["input"]["mean"], found["input"]["std"]) == (0, 255)
    assert [(out["name"], out["shape"]) for out in found["outputs"]][:2] == [
        ("landmarks", [1, 35]),
        ("presence", [1, 1]),
    ]
    assert found["keypoints"] == list(OWN.keypoints)
    assert found["blazepose_names"] == [
        "left_shoulder",
        "right_shoulder",
        "left_hip",
        "right_hip",
        "",
    ]
    assert found["bones"] == [[0, 1], [2, 3]]
    assert found["left_right"] == [[0, 1], [2, 3]]
    assert (found["center"], found["up"]) == ([2, 3], [0, 1])
    roi = found["roi"]
    assert (roi["rule"], roi["center"], roi["above"], roi["scale"]) == ("rows", [5], [6], 2.5)
    refine = found["decode"]["refine"]
    assert (refine["window"], refine["threshold"]) == (7, 0.5)


def test_the_rule_of_the_next_square_is_the_sets_own():
    plain = Skeleton("own", ("a", "b", "c"), (), ("a",), ("b", "c"))
    assert description.roi_rows(plain) == ("points", (0,), (1, 2))
    assert description.roi_rows(plain.with_roi_points()) == ("rows", (3,), (4,))
    boxed = Skeleton("own", ("a",), (), (), (), roi="box")
    assert description.roi_rows(boxed) == ("none", (), ())


def test_thresholds_are_those_of_the_pipeline():
    settings = Settings()
    assert settings.min_presence_confidence == description.MIN_PRESENCE
    assert MIN_SCORE == description.MIN_SCORE
    assert settings.nms_threshold == description.NMS_IOU


@pytest.mark.parametrize("output", ["own.tflite", "rows.task"])
def test_licences_stand_in_every_page(exported, output):
    text = page_path(exported(output)).read_text(encoding="utf-8")
    assert text.startswith(MARK)
    assert f"- Licence: {LICENCE}\n" in text


def test_licences_survive_export_and_import(weights, tmp_path):
    """What was fine-tuned from Google's nets stays theirs, however often it is exported."""
    net = read_stored(weights["rows"])["detector"]
    net = dataclasses.replace(net, licence=LICENCE, source="fine-tuned from pose_detection.tflite")
    save_weights(tmp_path / "w", {"detector": net})
    words = ("--part", "detector", "--backend", "litert")
    assert export(tmp_path / "w", tmp_path / "d.tflite", *words) == 0
    again = import_weights([tmp_path / "d.tflite"], tmp_path / "again")["detector"]
    assert again.licence == read_stored(tmp_path / "again")["detector"].licence == LICENCE
    assert again.source == "d.tflite (fine-tuned from pose_detection.tflite)"


def test_odd_names_leave_the_page_whole(exported):
    text = page_path(exported("own.tflite")).read_text(encoding="utf-8")
    assert "| 4 | Griff \\| \\*oben\\* | Griff \\| \\*oben\\* |\n" in text
    assert "| side | 2.5 times the distance from the centre to row 6 |" in text


def test_only_pages_of_ours_are_replaced(weights, tmp_path, capsys):
    page = tmp_path / "x.tflite.md"
    page.write_text("# My notes\n", encoding="utf-8")
    words = ("export", "--weights", weights["rows"], "--output", tmp_path / "x.tflite")
    assert "was not written by blazepose export" in fails(capsys, *words)
    assert page.read_text(encoding="utf-8") == "# My notes\n"
    assert not (tmp_path / "x.tflite").exists()
    page.write_text(f"{MARK}\nold\n", encoding="utf-8")
    assert export(weights["rows"], tmp_path / "x.tflite", "--backend", "litert") == 0
    printed = capsys.readouterr().out
    assert re.search(r"wrote \S+x\.tflite, \S+ bytes, and \S+x\.tflite\.md, which", printed)
    assert "old" not in page.read_text(encoding="utf-8").splitlines()


def test_the_page_is_an_output_like_others(weights, tmp_path, capsys):
    words = ("export", "--weights", weights["rows"], "--output", tmp_path / "x.tflite")
    assert "two outputs" in fails(capsys, *words, "--json", tmp_path / "x.tflite.md")
    (tmp_path / "x.tflite.md").mkdir()
    assert "is a folder" in fails(capsys, *words)


def test_files_of_one_stem_have_a_page_each(tmp_path):
    """A .task and a .tflite of one network, as the documents export them."""
    assert page_path(tmp_path / "pose.task") != page_path(tmp_path / "pose.tflite")
    assert page_path(tmp_path / "saved").name == "saved.md"
