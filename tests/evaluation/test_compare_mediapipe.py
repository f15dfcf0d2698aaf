"""The accuracy mode of compare_mediapipe.py: what is counted, shown and drawn; one small run."""

import json
import sys
from pathlib import Path

import compare_mediapipe
import numpy as np
import pytest
from helpers import NAMES, ROOT, person, shared, standing, write_folder
from mediapipe_accuracy import read_people
from mediapipe_counts import (
    MEDIAPIPE,
    SHOWN,
    Counts,
    count,
    example,
    largest,
    photographs,
    sum_up,
    table,
)
from mediapipe_skeletons import COLOURS, TILE, skeleton_sheet
from mediapipe_turns import CHUNK, Answers, Worker, in_turns
from person_free import CLEAR, SMALLEST, choose_corners, distance, rendered_backgrounds
from PIL import Image

from blazepose_jax.data.annotations import size_of
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.evaluation.report import paired_difference
from blazepose_jax.skeleton import BLAZEPOSE

TORSO = np.hypot(24, 40)  # px, of helpers.standing


def answers(*points):
    times = np.full(len(points), 0.01)
    return Answers(list(points), times, times)


def true_points(shift=0.0):
    """(33, 2) what is labelled of helpers.standing, moved to the right."""
    points = np.zeros((33, 2), np.float32)
    points[list(BLAZEPOSE.indices(NAMES))] = standing()[:, :2]
    return points + np.array([shift, 0], np.float32)


@pytest.fixture
def data(tmp_path):
    """Three people, each in a picture of their own."""
    people = [{**person(i), "image_id": i} for i in range(3)]
    return read_annotations(write_folder(tmp_path / "data", people, ("a.jpg", "b.jpg", "c.jpg")))


def test_the_interval_is_of_both_hits_drawn_together():
    hits, counted = np.array([3, 0, 12, 7]), np.full(4, 12)
    assert paired_difference(hits, hits, counted) == (0, 0, 0)
    # Everybody gains as much, whoever is drawn.
    np.testing.assert_allclose(paired_difference(hits - 3, hits, counted), 25)
    gain, low, high = paired_difference(np.zeros(100), np.arange(100) < 30, np.ones(100))
    assert gain == pytest.approx(30)
    # 1.96 standard deviations of a binomial.
    np.testing.assert_allclose((low, high), 30 + 1.96 * np.sqrt(21) * np.array([-1, 1]), atol=1)
    assert paired_difference(hits, hits[::-1], counted)[0] == 0


def test_who_is_not_found_has_missed_all_points(data):
    found = answers(
        true_points(0.15 * TORSO), None, true_points(0.25 * TORSO), None, true_points(), None
    )
    counts = count(data, found, {"rendered": 2, "corners": 1})
    np.testing.assert_array_equal(counts.hits["pck@0.2"], [17, 0, 0])
    np.testing.assert_array_equal(counts.hits["pck@0.1"], [0, 0, 0])
    np.testing.assert_array_equal(counts.labelled, [17, 17, 17])
    np.testing.assert_array_equal(counts.found, [True, False, True])
    np.testing.assert_array_equal(counts.false["rendered"], [False, True])
    np.testing.assert_array_equal(counts.false["corners"], [False])
    exact = count(data, answers(*[true_points(0.05 * TORSO)] * 3), {})
    np.testing.assert_array_equal(exact.hits["pck@0.1"], [17, 17, 17])
    assert exact.false == {}


def test_people_of_one_photograph_share_an_answer(tmp_path):
    moved = standing(150)
    people = [person(1), {**person(2), "keypoints": moved.reshape(-1).tolist()}]
    both = read_annotations(write_folder(tmp_path / "data", people))
    assert len(photographs(both)) == 1
    counts = count(both, answers(true_points()), {})
    np.testing.assert_array_equal(counts.hits["pck@0.2"], [17, 0])
    np.testing.assert_array_equal(counts.found, [True, True])


def test_rows_and_table(data):
    nobody = {"rendered": 2, "corners": 0}
    found = {
        MEDIAPIPE: answers(true_points(), None, None, true_points(), None),
        SHOWN["ours"]: answers(true_points(), true_points(), None, None, None),
    }
    counts = {name: count(data, one, nobody) for name, one in found.items()}
    rows = sum_up(counts, found, 3)
    assert "difference" not in rows[MEDIAPIPE]
    ours = rows[SHOWN["ours"]]
    assert ours["pck@0.2"] == pytest.approx(200 / 3)
    assert (ours["people_found"], ours["rendered"], ours["corners"]) == (2, 0, 0)
    assert rows[MEDIAPIPE]["rendered"] == 1
    assert ours["ms"] == pytest.approx(10)
    difference = ours["difference"]
    assert set(difference) == {"pck@0.2", "pck@0.1", "people_found", "rendered"}
    assert difference["pck@0.2"][0] == difference["people_found"][0] == pytest.approx(100 / 3)
    assert difference["rendered"] == pytest.approx((-50, -100, 0))
    report = {
        "people": 3,
        "points": 51,
        "photographs": 3,
        "torso": "a to b",
        "person_free": nobody,
        "clear": CLEAR,
        "litert_threads": 1,
        "nets": {"full": rows},
    }
    lines = table(report).splitlines()
    assert "33.3 | 33.3 | 1 | 1 | 0 | 10 (10) |" in lines[2]
    assert "66.7, +33.3 (+0.0 to +100.0)" in lines[3]
    assert "| 2, +1 (+0 to +3) | 0, -1 (-2 to +0) | 0 |" in lines[3]
    assert {line.count("|") for line in lines[:4]} == {9}


def test_the_largest_gains_and_losses():
    before, after = np.array([5, 5, 0, 9, 9]), np.array([7, 7, 12, 9, 2])
    fine = np.array([0, 1, 0, 5, 0])
    zeros, all_found = np.zeros(5, int), np.ones(5, bool)
    counts = {
        MEDIAPIPE: Counts({"pck@0.2": before, "pck@0.1": zeros}, 12 + zeros, all_found, {}),
        SHOWN["ours"]: Counts({"pck@0.2": after, "pck@0.1": fine}, 12 + zeros, all_found, {}),
    }
    gains, losses = largest(counts).values()
    assert gains == [2, 1, 0]
    assert losses == [4]


def test_skeletons_are_drawn_on_plain_ground(data):
    for one in data.people:
        Image.new("RGB", (220, 200), (0, 250, 0)).save(one.image)
    found = {MEDIAPIPE: answers(None, None, None), SHOWN["ours"]: answers(*[true_points(30)] * 3)}
    counts = {name: count(data, one, {}) for name, one in found.items()}
    one = example(data, 0, counts, found)
    assert one.text == "MediaPipe nobody, ours 0 of 17"
    sheet = skeleton_sheet({"gains": [one] * 6, "losses": []})
    assert sheet.shape[1] == 5 * TILE
    colours = {tuple(colour) for colour in sheet.reshape(-1, 3).tolist()}
    assert {*COLOURS["labels"][:2], *COLOURS["ours"][:2]} <= colours
    assert not {*COLOURS["MediaPipe"][:2]} & colours
    assert not any(g > 200 and max(r, b) < 50 for r, g, b in colours)


def test_corners_keep_clear_of_people(tmp_path):
    names = [f"{i}.jpg" for i in range(6)]
    # The last fills its picture.
    scales = [0.5, 0.6, 0.7, 0.8, 0.9, 3.2]
    people = []
    for i, scale in enumerate(scales):
        rows = standing()
        rows[:, :2] = 200 + scale * (rows[:, :2] - [100, 100])
        people.append({**person(i), "image_id": i, "keypoints": rows.reshape(-1).tolist()})
    folder = write_folder(tmp_path / "data", people, names)
    shown = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    for image in shown["images"]:
        Image.new("RGB", (400, 400)).save(folder / image["file_name"])
        image |= {"width": 400, "height": 400}
    (folder / "annotations.json").write_text(json.dumps(shown), encoding="utf-8")
    found = read_annotations(folder).people
    corners = choose_corners(found, 100, 0)
    assert corners == choose_corners(found, 100, 0) != choose_corners(found, 100, 1)
    assert len(corners) == 20
    assert len({corner.image for corner in corners[:5]}) == 5
    by_image = {one.image: one for one in found}
    for corner in corners:
        one = by_image[corner.image]
        assert corner.side >= SMALLEST
        assert corner.pixels().shape == (corner.side, corner.side, 3)
        start = np.array([corner.x, corner.y])
        assert distance(one, start, corner.side) >= CLEAR * size_of(one)
    assert distance(found[0], np.array([0, 0]), 400) == 0
    assert choose_corners(found, 3, 0) == corners[:3]


def test_pictures_are_shown_to_all_in_turns():
    asked = []

    class Fake:
        def __init__(self, name):
            self.name = name

        def ask(self, paths):
            asked.append(self.name)
            values = [int(np.load(path)[0]) for path in paths]
            points = [None if v % 2 else [[v, 0]] for v in values]
            return {"points": points, "seconds": values, "processor": values}

    pictures = (np.array([i]) for i in range(2 * CHUNK + 5))
    found = in_turns({"a": Fake("a"), "b": Fake("b")}, pictures)
    # Once before for compilation; then another begins each chunk.
    assert asked == ["a", "b", "a", "b", "b", "a", "a", "b"]
    for one in found.values():
        np.testing.assert_array_equal(one.seconds, np.arange(2 * CHUNK + 5))
        assert one.points[1] is None
        np.testing.assert_array_equal(one.points[-1], [[2 * CHUNK + 4, 0]])


def test_mistakes_are_one_line(tmp_path, capsys):
    def fails(*words):
        assert compare_mediapipe.main([str(word) for word in words]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        return err

    peer = ("--peer", tmp_path)
    assert "name either an input" in fails(*peer)
    assert "name either an input" in fails("clip.mp4", "--data", tmp_path)
    assert "one net at a time" in fails("clip.mp4", "--weights", "a", "--weights", "b")
    assert "run `make peers`" in fails("--data", tmp_path, *peer)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    assert "--limit is 0" in fails("--data", tmp_path, *peer, "--limit", 0)
    assert "invalid int value" in fails("--data", tmp_path, *peer, "--limit", "few")
    assert "does not exist" in fails("--data", tmp_path / "gone", *peer)
    assert "cannot be written" in fails("--data", tmp_path, *peer, "--pictures", "a.txt")
    folder = write_folder(tmp_path / "data", [person(1)])
    same = ("--weights", tmp_path / "a" / "w", "--weights", tmp_path / "b" / "w")
    assert "two --weights" in fails("--data", folder, *peer, *same)
    seated = np.where(np.arange(51) < 33, standing().reshape(-1), 0).tolist()
    folder = write_folder(tmp_path / "seated", [{**person(1), "keypoints": seated}])
    assert "there is no torso" in fails("--data", folder, *peer)


def test_a_worker_says_why_it_ended():
    with pytest.raises(BlazePoseError, match=r"mediapipe_stills\.py ended: .*gone"):
        Worker(Path(sys.executable), {"weights": "gone", "search": "none", "threads": 1})


def test_only_eval_ok_people_are_measured(tmp_path):
    people = [person(1, eval_ok=True), person(2, eval_ok=False), person(3, eval_ok=True)]
    folder = str(write_folder(tmp_path / "data", people))
    assert [one.id for one in read_people(folder, None, None).people] == [1, 3]
    assert [one.id for one in read_people(folder, None, 1).people] == [1]


def test_backgrounds_are_pictures_of_their_seed():
    found = rendered_backgrounds(2, 0)
    assert found[0].dtype == np.uint8
    assert found[0].std() > 5
    assert (found[0] != found[1]).mean() > 0.5
    np.testing.assert_array_equal(found[0], rendered_backgrounds(1, 0)[0])


@pytest.mark.long
def test_a_small_run_on_photographs(tmp_path, released, capsys):
    python = ROOT / ".venv-mediapipe-1.2.2" / "bin" / "python"
    if not python.exists():
        pytest.skip("mediapipe 1.2.2 is not here: run `make peers`")
    folder, file, picture = shared("data", "coco_dev"), tmp_path / "a.json", tmp_path / "a.png"
    words = ["--data", folder, "--weights", released, "--limit", 3, "--person-free", 4]
    words += ["--json", file, "--pictures", picture]
    assert compare_mediapipe.main([str(word) for word in words]) == 0
    out = capsys.readouterr().out
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["mediapipe"] == "1.2.2"
    assert report["people"] == 3
    assert report["person_free"] == {"rendered": 2, "corners": 2}
    rows = report["nets"]["full"]
    assert len(rows) == 5
    assert all(name in out for name in rows)
    for name, row in rows.items():
        assert row["people_found"] == 3
        assert row["pck@0.2"] >= row["pck@0.1"] > 0
        assert row["ms"] > 0
        assert (name == MEDIAPIPE) == ("difference" not in row)
    with Image.open(picture) as drawn:
        assert drawn.width == 5 * TILE
