"""JSON and CSV: every number of the poses, under its name and in its place."""

import csv
import json

import numpy as np
from helpers import made_up_poses

from blazepose_jax.io.media import Picture
from blazepose_jax.io.results import CsvWriter, JsonWriter, people
from blazepose_jax.skeleton import BLAZEPOSE

POINTS = len(BLAZEPOSE.keypoints)
PICTURE = Picture(0, 0.0, np.zeros((100, 100, 3), np.uint8))
BEFORE = ["index", "time", "file", "id", "person_presence", "keypoint"]
BEFORE += ["x", "y", "z", "visibility", "presence"]
WORLD, QUALITY = ["world_x", "world_y", "world_z"], ["person_quality", "confidence"]


def rounded(values):
    """To the four decimals that are written."""
    return np.round(np.asarray(values, np.float64), 4).tolist()


def json_of(path, *frames):
    writer = JsonWriter(path, "clip.mp4", 10.0, "drawn", BLAZEPOSE)
    for poses in frames:
        writer.write(PICTURE, poses)
    writer.close()
    return json.loads(path.read_text(encoding="utf-8"))["frames"]


def csv_of(path, poses, world):
    writer = CsvWriter(path, BLAZEPOSE, world)
    writer.write(PICTURE, poses)
    writer.close()
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_json_holds_the_numbers_of_the_poses(tmp_path):
    poses = made_up_poses((True, False, True), ids=(7, -1, 3))
    first, second = json_of(tmp_path / "o.json", poses, made_up_poses((False,)))
    assert second["people"] == []
    assert [person["id"] for person in first["people"]] == [3, 7]
    for person, slot in zip(first["people"], (2, 0), strict=True):
        assert list(person) == ["id", "presence", "quality", "keypoints", "confidence", "world"]
        assert person["presence"] == rounded(poses.presence[slot])
        assert person["quality"] == rounded(poses.quality[slot])
        assert person["confidence"] == rounded(poses.confidence[slot])
        assert person["world"] == rounded(poses.world[slot])
        flags = [poses.visibility[slot], poses.point_presence[slot]]
        rows = np.column_stack([poses.keypoints[slot], *flags])
        assert person["keypoints"] == rounded(rows)
    assert "world" not in people(poses.replace(world=None))[0]


def test_csv_columns_keep_their_names_and_positions(tmp_path):
    poses = made_up_poses((False, True))
    for world in (False, True):
        header, *rows = csv_of(tmp_path / "o.csv", poses, world)
        assert header == BEFORE + (WORLD if world else []) + QUALITY
        columns = dict(zip(header, zip(*rows, strict=True), strict=True))
        assert columns["keypoint"] == BLAZEPOSE.keypoints
        assert columns["id"] == ("1",) * POINTS
        for name, values in {
            "person_presence": [poses.presence[1]] * POINTS,
            "y": poses.keypoints[1, :, 1],
            "visibility": poses.visibility[1],
            "presence": poses.point_presence[1],
            "person_quality": [poses.quality[1]] * POINTS,
            "confidence": poses.confidence[1],
        }.items():
            assert [float(value) for value in columns[name]] == rounded(values), name
        if world:
            assert [float(value) for value in columns["world_z"]] == rounded(poses.world[1, :, 2])


def test_csv_of_a_net_without_world_points(tmp_path):
    poses = made_up_poses(world=None)
    header, *rows = csv_of(tmp_path / "o.csv", poses, world=True)
    first = dict(zip(header, rows[0], strict=True))
    assert [first[name] for name in WORLD] == ["", "", ""]
    assert float(first["confidence"]) == rounded(poses.confidence[0, 0])
