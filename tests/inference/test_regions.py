"""Squares of hands and faces, and models that look into them."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import part_presence
import pytest
from helpers import ROOT, fails
from PIL import Image

from blazepose_jax.cli.main import main
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.part_model import PartModel
from blazepose_jax.inference.regions import (
    RECROP_FACE_SCALE,
    RECROP_HAND_SCALE,
    face_roi,
    hand_rois,
)
from blazepose_jax.io.media import Picture
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import ROI, Poses

WHEEL = next((ROOT / ".venv-mediapipe-0.10.21").glob("lib/*/site-packages/mediapipe/modules"), None)
FACES = "face_landmark/face_landmark.tflite"
HANDS = "hand_landmark/hand_landmark_full.tflite"


def poses_of(points, visibility=None):
    """(N, 33, 2) px as Poses."""
    points = np.asarray(points, np.float32)
    n = len(points)
    keypoints = np.concatenate([points, np.zeros((n, 33, 1), np.float32)], -1)
    ones, many = np.ones(n, np.float32), np.ones((n, 33), np.float32)
    square = ROI(np.zeros((n, 2), np.float32), ones, 0 * ones)
    visibility = many if visibility is None else np.asarray(visibility, np.float32)
    present = np.ones(n, bool)
    return Poses(present, np.arange(n), ones, keypoints, visibility, many, square, ones, many)


def somebody(n=2, seed=0):
    return np.random.default_rng(seed).uniform(50, 400, (n, 33, 2))


def mediapipe_hand(wrist, pinky, index):
    """Centre, side and rotation as its calculators compute them, from their description."""
    middle = (2 * index + pinky) / 3
    box = 2 * np.hypot(*(middle - wrist))
    turn = np.pi / 2 - np.arctan2(-(middle[1] - wrist[1]), middle[0] - wrist[0])
    # RectTransformationCalculator: shift_y of the height, along the turned axes.
    shift = -0.1 * box * np.array([-np.sin(turn), np.cos(turn)])
    return middle + shift, 2.7 * box, turn


def test_hands_are_where_mediapipe_looks():
    points = somebody(5)
    roi, valid = hand_rois(poses_of(points), scale=RECROP_HAND_SCALE)
    assert np.asarray(valid).all()
    for person in range(5):
        for side, (wrist, pinky, index) in enumerate(((15, 17, 19), (16, 18, 20))):
            center, length, turn = mediapipe_hand(*points[person, [wrist, pinky, index]])
            np.testing.assert_allclose(roi.center[person, side], center, rtol=1e-5)
            np.testing.assert_allclose(roi.side[person, side], length, rtol=1e-5)
            away = np.asarray(roi.angle[person, side]) - turn
            assert abs(np.angle(np.exp(1j * away))) < 1e-5


def test_fingers_point_up_in_the_square_of_a_hand():
    points = np.zeros((1, 33, 2))
    points[0, 15], points[0, 17], points[0, 19] = [100, 100], [160, 94], [160, 103]
    roi, _ = hand_rois(poses_of(points))
    # To the right of the picture: a quarter clockwise.
    np.testing.assert_allclose(roi.angle[0, 0], np.pi / 2, atol=1e-3)
    assert roi.center[0, 0, 0] > 160, "moved towards the fingertips"


def test_faces_are_where_mediapipe_looks():
    points = somebody(5)
    roi, valid = face_roi(poses_of(points), scale=RECROP_FACE_SCALE)
    assert np.asarray(valid).all()
    for person in range(5):
        face = points[person, :11]
        low, high = face.min(0), face.max(0)
        np.testing.assert_allclose(roi.center[person], (low + high) / 2, rtol=1e-5)
        np.testing.assert_allclose(roi.side[person], 3 * (high - low).max(), rtol=1e-5)
        right, left = face[5], face[2]
        turn = -np.arctan2(-(left[1] - right[1]), left[0] - right[0])
        assert abs(np.angle(np.exp(1j * (np.asarray(roi.angle[person]) - turn)))) < 1e-5


@pytest.mark.parametrize("turn", [0.5, -2.0, 3.1])
def test_hands_turn_and_move_with_the_body(turn):
    points = somebody(3)
    q = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    before, _ = hand_rois(poses_of(points))
    after, _ = hand_rois(poses_of(points @ q + [30, -20]))
    np.testing.assert_allclose(after.center, np.asarray(before.center) @ q + [30, -20], atol=1e-3)
    np.testing.assert_allclose(after.side, before.side, rtol=1e-4)
    away = np.asarray(after.angle) - np.asarray(before.angle) - turn
    np.testing.assert_allclose(np.angle(np.exp(1j * away)), 0, atol=1e-4)


def test_mirrored_people_have_mirrored_squares():
    """The left hand of the mirror image is the right hand's mirror image."""
    points = somebody(3)
    mirrored = points[:, np.asarray(BLAZEPOSE.flip)[:33]] * [-1, 1] + [500, 0]
    before, _ = hand_rois(poses_of(points))
    after, _ = hand_rois(poses_of(mirrored))
    there = np.asarray(before.center)[:, ::-1] * [-1, 1] + [500, 0]
    np.testing.assert_allclose(after.center, there, atol=1e-3)
    away = np.asarray(after.angle) + np.asarray(before.angle)[:, ::-1]
    np.testing.assert_allclose(np.angle(np.exp(1j * away)), 0, atol=1e-4)


def test_what_is_not_there_is_not_valid():
    points = somebody(3)
    points[2, [16, 18, 20]] = 7.0  # no length
    visibility = np.ones((3, 33))
    visibility[0, 15] = 0.05
    poses = poses_of(points, visibility)
    poses = poses.replace(present=np.array([True, False, True]))
    _, valid = hand_rois(poses)
    np.testing.assert_array_equal(valid, [[False, True], [False, False], [True, False]])
    np.testing.assert_array_equal(face_roi(poses)[1], [True, False, True])


def test_they_are_pure_and_traced():
    poses = poses_of(somebody())
    for function in (hand_rois, face_roi):
        plain, traced = function(poses), jax.jit(function)(poses)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), plain, traced)


def test_a_skeleton_without_hands_is_an_error():
    bare = Skeleton("bare", ("nose", "tail"), (), ("tail",), ("nose",))
    with pytest.raises(BlazePoseError, match="left_wrist"):
        hand_rois(poses_of(somebody()), bare)


def wheel(name):
    if WHEEL is None:
        pytest.skip("Google's hand and face models lie in mediapipe==0.10.21: make peers")
    pytest.importorskip("ai_edge_litert")
    return WHEEL / name


def test_a_face_is_seen_where_it_is_and_nowhere_else(astronaut):
    model = PartModel(wheel(FACES))
    square = ROI(np.array([225.0, 120.0]), np.float32(190.0), np.float32(0.0))
    face = model(astronaut, square)
    assert face.presence > 0.9
    assert face.keypoints.shape == (468, 3)
    # Her nose's tip, point 1 of the mesh, and the outer corners of her eyes.
    np.testing.assert_allclose(face.keypoints[1, :2], [216, 125], atol=8)
    assert face.keypoints[33, 0] < face.keypoints[1, 0] < face.keypoints[263, 0]
    # A turned square sees the same face.
    turned = model(astronaut, square.replace(angle=np.float32(0.4)))
    error = np.linalg.norm((turned.keypoints - face.keypoints)[:, :2], axis=-1)
    assert error.mean() < 4
    nothing = model(astronaut, ROI(np.array([60.0, 400.0]), np.float32(90.0), np.float32(0.0)))
    assert nothing.presence < 0.1


def test_mediapipes_clock_goes_on_in_frames_with_nothing_to_see(tmp_path, monkeypatch):
    poses = poses_of([np.full((33, 2), 20.0)])
    nobody = poses.replace(present=np.array([False]))
    seen = iter([poses, nobody, nobody, poses])
    monkeypatch.setattr(part_presence, "Tracker", lambda *_, **__: lambda *_: next(seen))
    monkeypatch.setattr(part_presence, "locate", str)
    film = [Picture(i, i / 30, np.zeros((40, 40, 3), np.uint8)) for i in range(4)]
    sought = list(part_presence.in_frames(film, "lite", tmp_path))

    def peer(words, **how):
        assert words[-1] == "--video"
        listed.extend(Path(words[2]).read_text().splitlines())
        return SimpleNamespace(stdout="@ [[[0, 0, 40, 40]], []]\n" * 2)

    listed: list[str] = []
    monkeypatch.setattr(part_presence.subprocess, "run", peer)
    answers = part_presence.by_peer(tmp_path, sought, None, video=True)
    assert listed == [f"0 {tmp_path / '000000.png'}", f"100 {tmp_path / '000003.png'}"]
    assert answers == [one.kind == "hand" for one in sought]


def test_other_files_are_refused(tmp_path):
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(BlazePoseError, match="cannot be read"):
        PartModel(tmp_path / "none.tflite")
    other = wheel("palm_detection/palm_detection_lite.tflite")
    with pytest.raises(BlazePoseError, match="give a model of one square float32 RGB image"):
        PartModel(other)


def test_track_writes_hands_and_faces(astronaut, random_weights, tmp_path):
    """People of random weights have hands somewhere; the files are what is tested."""
    picture, out = tmp_path / "a.png", tmp_path / "a.json"
    Image.fromarray(astronaut).save(picture)
    words = ["track", picture, "--weights", random_weights, "--hands", "--search", "none"]
    words += ["--min-detection-confidence", 0, "--min-presence-confidence", 0]
    words += ["--face-model", wheel(FACES), "--json", out, "--csv", tmp_path / "a.csv"]
    words += ["--video", tmp_path / "b.png", "--decode", "regression"]
    assert main([str(word) for word in words]) == 0
    (person,) = json.loads(out.read_text())["frames"][0]["people"]
    assert set(person["left_hand"]) == {"center", "side", "angle"}
    assert len(person["face"]["keypoints"]) == 468
    assert 0 <= person["face"]["presence"] <= 1
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["keypoint"] for row in rows[33:35]] == ["face_0", "face_1"]
    assert len(rows) == 33 + 468
    assert {len(row) for row in rows} == {len(rows[0])}
    assert (tmp_path / "b.png").exists()


def test_hands_are_of_one_input(random_weights, tmp_path, capsys):
    how = ("--weights", random_weights, "--output", tmp_path / "out", "--hands")
    said = fails(capsys, "track", "a.mp4", "b.mp4", *how)
    assert "--hands holds for one input" in said
