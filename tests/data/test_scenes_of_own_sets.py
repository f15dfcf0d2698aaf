"""Scenes of own keypoint sets: a detector's labels from any centre, up points and box."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from blazepose_jax.cli.main import main
from blazepose_jax.data.annotations import Person, roi_of_box
from blazepose_jax.data.records import open_records
from blazepose_jax.data.rendered import Rendered
from blazepose_jax.skeleton import BLAZEPOSE

LEGS = ("left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel")
NAMES = ("L_Kne", "R_Kne", "hoof_front_l", "hoof_front_r", "hoof_back_l", "hoof_back_r")
SET = {
    "name": "legs",
    "keypoints": list(NAMES),
    "bones": [["L_Kne", "hoof_front_l"], ["R_Kne", "hoof_front_r"]],
    "center": ["hoof_front_l", "hoof_front_r"],
    "up": ["L_Kne", "R_Kne"],
}


@pytest.fixture(scope="module")
def legs(tmp_path_factory):
    """Rendered people of whom nothing but the legs is labelled, with their boxes."""
    folder = tmp_path_factory.mktemp("legs")
    people = jax.device_get(Rendered(10, 160, seed=11).take(np.arange(10)))
    rows = list(BLAZEPOSE.indices(LEGS))
    images, annotations = [], []
    for i in range(10):
        Image.fromarray(people.pixels[i]).save(folder / f"{i}.jpg", quality=95)
        xy = people.keypoints[i][rows]
        low, high = xy.min(0) - 5, xy.max(0) + 5
        annotations.append(
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "keypoints": np.c_[xy, np.full(6, 2)].ravel().tolist(),
                "bbox": [*low.tolist(), *(high - low).tolist()],
            }
        )
        images.append({"id": i, "file_name": f"{i}.jpg", "width": 160, "height": 160})
    category = {"id": 1, "name": "horse", "keypoints": list(NAMES)}
    data = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "annotations.json").write_text(json.dumps(data))
    (folder / "legs.json").write_text(json.dumps(SET))
    boxed = {key: value for key, value in SET.items() if key not in ("center", "up")}
    (folder / "boxed.json").write_text(json.dumps({**boxed, "roi": "box"}))
    return folder


def prepared(folder, output, skeleton, *words):
    command = ["data", "prepare", "coco_keypoints", "--source", folder, "--output", output]
    command += ["--skeleton", folder / skeleton, "--size", 160, *words]
    assert main([str(word) for word in command]) == 0
    return open_records(output)


def test_alignment_points_come_from_the_sets_own(legs, tmp_path):
    found = json.loads((legs / "annotations.json").read_text())["annotations"]
    scenes = prepared(legs, tmp_path / "scenes", "legs.json", "--scenes")
    for i, entry in enumerate(found):
        xy = np.reshape(entry["keypoints"], (-1, 3))[:, :2]
        center, up = xy[2:4].mean(0), xy[:2].mean(0)
        radius = np.linalg.norm(xy - center, axis=-1).max()
        circle = center + radius * (up - center) / np.linalg.norm(up - center)
        points = scenes.labels["points"][i, 0]
        np.testing.assert_allclose(points[[0, 1, 4]], [center, circle, up], atol=0.05)
        assert scenes.labels["kinds"][i].tolist() == [1] + [0] * 11


def test_boxes_do_where_there_is_no_centre(legs, tmp_path):
    found = json.loads((legs / "annotations.json").read_text())["annotations"]
    scenes = prepared(legs, tmp_path / "scenes", "boxed.json", "--scenes")
    for i, entry in enumerate(found):
        x, y, width, height = entry["bbox"]
        middle = np.array([x + width / 2, y + height / 2])
        top = middle - [0, max(width, height) / 2]
        points = scenes.labels["points"][i, 0]
        np.testing.assert_allclose(points[[0, 1, 4]], [middle, top, middle], atol=0.05)


def test_boxes_do_where_the_file_lacks_points(legs, tmp_path):
    """Also those that an own set calls its centre or up points; and of whom a net alone knows."""
    described = {**SET, "keypoints": ["mane", *NAMES], "up": ["mane"], "roi": "box"}
    (legs / "mane.json").write_text(json.dumps(described))
    scenes = prepared(legs, tmp_path / "scenes", "mane.json", "--scenes")
    assert (scenes.labels["kinds"][:, 0] == 1).all()
    nobody = Person(1, legs / "0.jpg", np.zeros((6, 2)), np.zeros(6, int), 0.0, "")
    assert roi_of_box(nobody) is None


@pytest.mark.long
def test_a_set_without_hips_goes_the_whole_way(legs, tmp_path, capsys):
    """Detector and pose net are trained on its own labels, then track together and by a square."""
    prepared(legs, tmp_path / "scenes", "legs.json", "--scenes")
    prepared(legs, tmp_path / "people", "legs.json")
    short = ["optimizer.steps=2", "optimizer.batch_size=2", "validate_every=2"]
    detector = [
        "train",
        "detector",
        "--workdir",
        str(tmp_path / "detector"),
        "model.name=smoke_detector",
        f"data.records={tmp_path / 'scenes'}",
        "data.rendered=0",
        "quick_compile=True",
        "optimizer.groups=()",
        *short,
    ]
    assert main(detector) == 0
    words = [f"data.records={tmp_path / 'people'}", "--workdir", str(tmp_path / "pose"), *short]
    assert main(["train", "smoke", *words]) == 0
    capsys.readouterr()
    track = [
        "track",
        str(legs / "0.jpg"),
        "--weights",
        str(tmp_path / "pose" / "weights"),
        "--json",
    ]
    both = ["--detector", str(tmp_path / "detector" / "weights")]
    assert main([*track, str(tmp_path / "a.json"), *both]) == 0
    assert main([*track, str(tmp_path / "b.json"), "--roi", "whole"]) == 0
    frame = json.loads((tmp_path / "b.json").read_text())["frames"][0]
    for person in frame["people"]:
        assert len(person["keypoints"]) == len(NAMES)
    data = ["--data", str(legs), "--json", str(tmp_path / "e.json")]
    assert main(["evaluate", "--weights", str(tmp_path / "pose" / "weights"), *data]) == 0
    assert set(json.loads((tmp_path / "e.json").read_text())["per_keypoint"]) == set(NAMES)
