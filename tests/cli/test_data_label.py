"""``blazepose data label`` on real photographs, with Google's Full as its own teacher."""

import dataclasses
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from helpers import fails, shared
from PIL import Image

from blazepose_jax.cli import data_label, label_sources
from blazepose_jax.cli.main import main
from blazepose_jax.data.annotations import Person, TeacherLabels
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.data.coco_writer import category_row
from blazepose_jax.data.run_lengths import RunLengths, decode
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI

PERSON = Person(
    1, Path("a.png"), np.zeros((33, 2), np.float32), np.zeros(33, np.int32), 100.0, "lspet"
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two photographs of two people each, of whom one is labelled; and how the others stand."""
    source = shared("data", "coco_dev")
    file = json.loads((source / "annotations.json").read_text(encoding="utf-8"))
    people: dict[int, list[dict]] = {}
    for row in file["annotations"]:
        people.setdefault(row["image_id"], []).append(row)
    both = [rows for rows in people.values() if len(rows) == 2 and all(r["eval_ok"] for r in rows)]
    assert len(both) >= 2
    chosen = both[:2]
    images = [i for i in file["images"] if i["id"] in {rows[0]["image_id"] for rows in chosen}]
    folder = tmp_path_factory.mktemp("photographs")
    kept = [rows[0] for rows in chosen]
    (folder / "annotations.json").write_text(
        json.dumps({**file, "images": images, "annotations": kept}), encoding="utf-8"
    )
    return folder, source, chosen


def words(photographs, released, output):
    folder, source, _ = photographs
    found = ["data", "label", "coco_keypoints", "--source", folder, "--images", source]
    found += ["--teacher", released, "--finder", released, "--runtime", "litert"]
    return [str(word) for word in (*found, "--output", output)]


def test_everybody_is_labelled_and_a_stopped_run_goes_on(
    photographs, released, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("ai_edge_litert")
    output, (_, _, chosen) = tmp_path / "out", photographs
    label_one, seen = data_label.label_one, []

    def stopping(labeller, path, people, photographs):
        if len(seen) == 1:
            seen.append("")
            raise KeyboardInterrupt
        seen.append(path.name)
        return label_one(labeller, path, people, photographs)

    monkeypatch.setattr(data_label, "label_one", stopping)
    assert main(words(photographs, released, output)) == 130
    assert not output.exists()
    journal = tmp_path / "out.journal"
    assert len(journal.read_text(encoding="utf-8").splitlines()) == 2
    capsys.readouterr()
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"file_name": "ima')  # the process was killed while it wrote
    # Another finder would label otherwise.
    other = [*words(photographs, released, output), "--finder", "full"]
    assert "had another finder" in fails(capsys, *other)
    assert main(words(photographs, released, output)) == 0
    assert "going on with" in capsys.readouterr().out
    assert not journal.exists()
    assert len(set(seen) - {""}) == 2  # each photograph once

    data = read_annotations(output, images=photographs[1])
    own = Namespace(
        source=str(output),
        images=str(photographs[1]),
        strict=False,
        only=None,
        leave_out=None,
        correct=None,
        finder="full",
    )
    # Whoever is left out would be found again, under another id.
    (tmp_path / "test.txt").write_text(
        "".join(one.label for one in data.people if not (one.visibility_flags > 0).any())
    )
    for own.finder, count in (("full", 1), ("none", 2)):
        own.leave_out = str(tmp_path / "test.txt")
        assert len(label_sources.annotated_photographs(own).people) == count
    by_hand = [one for one in data.people if (one.visibility_flags > 0).any()]
    assert [one.id for one in by_hand] == [rows[0]["id"] for rows in chosen]
    for one, rows in zip(by_hand, chosen, strict=True):
        labels = np.array(rows[0]["keypoints"]).reshape(-1, 3)
        known = labels[:, 2] > 0
        assert (one.visibility_flags > 0).sum() == known.sum()
        here = np.flatnonzero(one.visibility_flags)
        order = np.argsort(BLAZEPOSE.indices(read_names(photographs[0])))
        np.testing.assert_allclose(one.keypoints[here], labels[order][known[order], :2], atol=0.01)
        assert one.teacher is not None
        assert one.teacher.confidence[here].mean() > 0.8
        assert one.teacher.confidence.min() > 0
        # The nose lies on what is taken for the person.
        assert one.teacher.mask is not None
        assert 0.02 < decode(one.teacher.mask).mean() < 0.9
        x, y = one.teacher.keypoints[:, :2].mean(0).astype(int)
        assert decode(one.teacher.mask)[y - 20 : y + 20, x - 20 : x + 20].any()
        hips = np.array(BLAZEPOSE.indices(("left_hip", "right_hip")))
        np.testing.assert_allclose(one.teacher.world[hips].mean(0), 0, atol=0.02)
    # Who was not labelled is found, where the labels that were left out say: in the first
    # photograph; the other's is too small for the detector.
    other = chosen[0][1]
    labels = np.array(other["keypoints"]).reshape(-1, 3)
    known, size = labels[:, 2] > 0, max(other["bbox"][2:])
    names = np.array(BLAZEPOSE.indices(read_names(photographs[0])))[known]
    (found,) = [one.teacher for one in data.people if not (one.visibility_flags > 0).any()]
    assert found is not None
    apart = np.linalg.norm(found.keypoints[names] - labels[known, :2], axis=-1)
    assert np.median(apart) < 0.1 * size


def read_names(folder: Path) -> tuple[str, ...]:
    file = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    return tuple(file["categories"][0]["keypoints"])


def test_labels_of_a_poor_data_set_give_way(photographs, released, tmp_path, capsys):
    pytest.importorskip("ai_edge_litert")
    folder, source, chosen = photographs
    file = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    for image in file["images"]:
        image["dataset"] = "crowd"
    row = next(one for one in file["annotations"] if one["id"] == chosen[0][0]["id"])
    points = np.array(row["keypoints"]).reshape(-1, 3)
    names = read_names(folder)
    known = [i for i, name in enumerate(names) if "_knee" in name or "_ankle" in name]
    wrong = next(i for i in known if points[i, 2] > 0)
    right = points[wrong, :2].copy()
    height = row["bbox"][3]
    points[wrong, :2] += 0.4 * height
    row["keypoints"] = points.reshape(-1).tolist()
    poor, output = tmp_path / "poor", tmp_path / "out"
    poor.mkdir()
    (poor / "annotations.json").write_text(json.dumps(file), encoding="utf-8")
    run = ["data", "label", "coco_keypoints", "--source", poor, "--images", source]
    run += ["--teacher", released, "--runtime", "litert", "--finder", "none", "--output", output]
    assert "those of the file (key dataset of its images): crowd" in fails(
        capsys, *run, "--correct", "crowds"
    )
    assert main([str(word) for word in (*run, "--correct", "crowd")]) == 0

    data = read_annotations(output, images=source)
    one = next(person for person in data.people if person.label == str(row["id"]))
    assert one.teacher is not None
    assert not one.visibility_flags.any()  # nothing is by hand any more
    place = data.names.index(names[wrong])
    assert np.linalg.norm(one.teacher.keypoints[place] - right) < 0.1 * height
    assert 0 < one.teacher.confidence[place] <= 2 / 3
    agreed = [
        data.names.index(name)
        for name, (_, _, flag) in zip(names, points, strict=True)
        if flag > 0 and name != names[wrong]
    ]
    assert np.median(one.teacher.confidence[agreed]) == 1


def labels_at(points: np.ndarray) -> TeacherLabels:
    ones = np.ones(len(points), np.float32)
    roi = ROI(points.mean(0), np.float32(100), np.float32(0))
    return TeacherLabels(points, ones, ones, 0 * ones, np.zeros((len(points), 3)), roi, 0.9)


def test_a_second_pass_and_boxes_of_who_is_found_now(tmp_path, monkeypatch):
    """Nobody comes twice, and nobody whom a net had labelled is lost."""
    Image.new("RGB", (300, 200)).save(tmp_path / "a.png")
    rng = np.random.default_rng(0)
    found = (rng.uniform(0, 1, (33, 2)) * (40, 90) + (100, 50)).astype(np.float32)
    by_net = dataclasses.replace(PERSON, id=7, image=tmp_path / "a.png", teacher=labels_at(found))
    by_hand = dataclasses.replace(
        PERSON, id=8, image=tmp_path / "a.png", visibility_flags=np.full(33, 2), keypoints=found
    )
    boxes = [np.array(b, np.float32) for b in ([98, 45, 145, 145], [90, 0, 300, 200])]
    given = label_sources.Photographs(
        {by_net.image: [by_net, by_hand]},
        BLAZEPOSE.keypoints,
        tmp_path,
        frozenset("78"),
        others={by_net.image: boxes},
    )
    looked_at = []

    def look(labeller, frame, people, names, corrected):
        looked_at.append([person.id for person in people])
        others = [] if labeller.finder is None else [labels_at(found)]
        return [None for _ in people], others

    monkeypatch.setattr(data_label, "label_picture", look)
    rows = {}
    for finder in (None, "full"):
        labeller = Namespace(finder=finder)
        row = data_label.label_one(labeller, by_net.image, [by_net, by_hand], given)
        assert row is not None
        rows[finder] = [
            (one["id"], "teacher" in one, one["num_keypoints"]) for one in row["annotations"]
        ]
    assert looked_at == [[8], [8]]
    # Without a finder who was labelled by a net stays, and so do all boxes; with one they are found
    # again, and of the boxes the crowd's alone is left.
    assert rows[None] == [(8, False, 33), (7, True, 33), (-1, False, 0), (-1, False, 0)]
    assert rows["full"] == [(8, False, 33), (-1, True, 33), (-1, False, 0)]


def test_pairs_of_own_points_stay_pairs():
    names = (*BLAZEPOSE.keypoints, "tip_1", "tip_2", "tail")
    row = category_row(names, (("tip_1", "tip_2"), ("left_hip", "right_hip")))
    assert row["flip_indices"] == [*BLAZEPOSE.flip[:33], 34, 33, 35]
    assert "flip_indices" not in category_row(names)


def test_pictures_that_nobody_labelled(photographs, released, tmp_path):
    pytest.importorskip("ai_edge_litert")
    source = tmp_path / "mine"
    source.mkdir()
    first = next((photographs[1] / "images").glob("*.jpg"))
    (source / "a.jpg").write_bytes(first.read_bytes())
    Image.new("RGB", (200, 100), (90, 120, 90)).save(source / "nobody.png")
    arguments = ["data", "label", "photographs", "--source", source, "--teacher", released]
    arguments += ["--finder", released, "--runtime", "litert", "--output", tmp_path / "out"]
    assert main([str(word) for word in arguments]) == 0
    file = json.loads((tmp_path / "out" / "annotations.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in file["images"]] == ["a.jpg", "nobody.png"]
    assert {row["image_id"] for row in file["annotations"]} <= {1}
    for row in file["annotations"]:
        assert sum(row["teacher"]["by_hand"]) == 0
        height, width = row["segmentation"]["size"]
        assert (width, height) == (file["images"][0]["width"], file["images"][0]["height"])
        assert decode(RunLengths((width, height), tuple(row["segmentation"]["counts"]))).any()


def test_what_cannot_be_labelled_is_said(tmp_path, capsys, random_weights):
    arguments = ["data", "label", "photographs", "--output", tmp_path / "out"]
    assert "kind of photographs" in fails(
        capsys, "data", "label", "lsp", "--output", tmp_path / "out"
    )
    assert "is no folder" in fails(capsys, *arguments, "--source", tmp_path / "nothing")
    assert "--correct is for labels by hand" in fails(
        capsys, *arguments, "--source", tmp_path, "--correct", "lspet"
    )
    (tmp_path / "empty").mkdir()
    assert "holds no images" in fails(capsys, *arguments, "--source", tmp_path / "empty")
    assert "33 points" in fails(
        capsys, *arguments, "--source", tmp_path / "empty", "--skeleton", "coco"
    )
    (tmp_path / "out").mkdir()
    assert "exists" in fails(capsys, *arguments, "--source", tmp_path / "empty")
