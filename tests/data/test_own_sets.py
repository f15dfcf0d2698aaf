"""Keypoint sets of any size and spelling through prepare, show and evaluate."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import fails, person, random_variables, standing, write_folder
from PIL import Image

from blazepose_jax.cli.main import main
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.data.records import open_records
from blazepose_jax.evaluation.predict import predict, shared_keypoints
from blazepose_jax.evaluation.report import choose_torso, report
from blazepose_jax.geometry import rois
from blazepose_jax.inference import Settings
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.io.draw import LEFT, MIDDLE, RIGHT
from blazepose_jax.io.draw_labels import legend
from blazepose_jax.models import LayerConfig, create_model
from blazepose_jax.skeleton import BLAZEPOSE, COCO, Skeleton
from blazepose_jax.weights import save_weights
from blazepose_jax.weights.directory import StoredNetwork

PARTS = ("shoulder", "elbow", "wrist", "hip")
EIGHT = tuple(f"{side}_{part}" for part in PARTS for side in ("left", "right"))
# How the eight are called, and in which order they come, is drawn.
FORMS = ("{s}_{Part}", "{Part}-{s}", "{Side}{Part}", "{part} {side}", "{s}.{part}")


def spelt(rng):
    """{EIGHT's name: another name}, in an order of its own."""
    form = FORMS[rng.integers(len(FORMS))]
    found = [
        (
            name,
            form.format(
                side=side, Side=side.title(), s=side[0].upper(), part=part, Part=part.title()
            ),
        )
        for name in EIGHT
        for side, part in [name.split("_")]
    ]
    return dict(found[i] for i in rng.permutation(len(found)))


def people_of(folder, points, names, count=4, box=True):
    """A folder of people of whom these of COCO's points are labelled, under other names."""
    rows = []
    for i in range(count):
        xy = standing(90 + 5 * i, 40)[[COCO.keypoints.index(point) for point in points]]
        one = {**person(i + 1), "keypoints": xy.ravel().tolist(), "area": None}
        one["bbox"] = [60 + 5 * i, 30, 60, 140] if box else None
        rows.append(one)
    write_folder(folder, rows)
    data = json.loads((folder / "annotations.json").read_text())
    data["categories"][0]["keypoints"] = list(names)
    (folder / "annotations.json").write_text(json.dumps(data))
    return folder


def own_net(folder, skeleton):
    """A small net with random numbers for a set, with ROI points as trained nets have them."""
    skeleton = skeleton.with_roi_points()
    arguments = {"keypoints": len(skeleton.keypoints) + len(skeleton.auxiliary), "side": 128}
    model = create_model("smoke", LayerConfig(convolution="xla"), **arguments)
    variables = random_variables(model, jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32))
    net = StoredNetwork("smoke", "batch", variables, arguments, "random", "", skeleton)
    save_weights(folder, {"pose": net})
    return folder


DRAWN = spelt(np.random.default_rng(8))
LIMBS = tuple(
    (DRAWN[f"{s}_{a}"], DRAWN[f"{s}_{b}"])
    for s in ("left", "right")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
)
HIPS, SHOULDERS = (tuple(DRAWN[f"{s}_{p}"] for s in ("left", "right")) for p in ("hip", "shoulder"))
ARM = ("RSho", "RElb", "RWri")
# Set, the COCO points that are labelled, what they are called, the unit of PCK.
SETS = {
    "eight": (
        Skeleton("eight", tuple(DRAWN.values()), LIMBS, HIPS, SHOULDERS),
        tuple(DRAWN),
        tuple(DRAWN.values()),
        f"{DRAWN['left_shoulder']} to {DRAWN['right_hip']}",
    ),
    "arm": (
        Skeleton("arm", ARM, (ARM[:2], ARM[1:]), ARM[1:2], ARM[:1]),
        ("right_shoulder", "right_elbow", "right_wrist"),
        ARM,
        "RElb to RSho",
    ),
    "two": (
        Skeleton("two", ("paw", "tail"), (("paw", "tail"),), (), (), roi="box"),
        ("left_wrist", "right_ankle"),
        ("paw", "tail"),
        "longer side of the box round the labelled points",
    ),
    "one": (
        Skeleton("one", ("tip",), (), (), (), roi="box"),
        ("left_wrist",),
        ("tip",),
        "longer side of the box round the labelled points",
    ),
    "coco": (COCO, COCO.keypoints, COCO.keypoints, "left_shoulder to right_hip"),
    "blazepose": (BLAZEPOSE, EIGHT, tuple(DRAWN[n] for n in EIGHT), "left_shoulder to right_hip"),
}


def prepared(name, folder, capsys):
    """The records of a set's people, what was said of them, and the people's folder."""
    skeleton, points, names, _ = SETS[name]
    people = people_of(folder / "d", points, names)
    (folder / "s.json").write_text(json.dumps(skeleton.to_dict()))
    command = ["data", "prepare", "coco_keypoints", "--source", people, "--size", 128]
    command += ["--skeleton", folder / "s.json", "--output", folder / "r"]
    assert main([str(word) for word in command]) == 0
    return folder / "r", capsys.readouterr().out, people


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] if name in ("two", "coco") else [])
        for name in SETS
    ],
)
def test_any_set_is_prepared_and_measured(name, tmp_path, capsys):
    skeleton, points, names, unit = SETS[name]
    folder, said, people = prepared(name, tmp_path, capsys)
    assert skeleton.describe_likeness() in said
    assert skeleton.describe_sides() in said
    records = open_records(folder)
    assert (records.labels["flags"] > 0).sum() == 4 * len(points)
    rows = [skeleton.keypoints.index(n) for n in skeleton.names_of(names)]
    for i, xy in enumerate(records.labels["keypoints"]):
        # Labels lie as they were to each other, but for the scale.
        true = standing(90 + 5 * i, 40)[[COCO.keypoints.index(p) for p in points], :2]
        shape, found = true - true.mean(0), xy[rows] - xy[rows].mean(0)
        scale = (found * shape).sum() / max((shape * shape).sum(), 1)
        np.testing.assert_allclose(found, shape * scale, atol=0.05)
        if skeleton.roi == "box":  # of 140 px, centred at 90 + 5i, 100; its circle is widened
            scale = 128 / (140 * rois.MARGIN * rois.CONTEXT)
            np.testing.assert_allclose(xy[rows], (true - (90 + 5 * i, 100)) * scale + 64, atol=0.05)
    net = own_net(tmp_path / "w", skeleton)
    words = ["evaluate", "--weights", str(net), "--data", str(people)]
    assert main([*words, "--json", str(tmp_path / "e.json")]) == 0
    found = json.loads((tmp_path / "e.json").read_text())
    assert (found["people"], found["points"]) == (4, 4 * len(points))
    assert found["torso"] == unit
    assert set(found["per_keypoint"]) == set(skeleton.names_of(names))
    assert (f"torso: {unit}" in capsys.readouterr().out) == (unit != "left_shoulder to right_hip")


@pytest.mark.parametrize("name", ["eight", pytest.param("one", marks=pytest.mark.long)])
def test_show_draws_sides_and_names(name, tmp_path, capsys):
    skeleton = SETS[name][0]
    folder, _, _ = prepared(name, tmp_path, capsys)
    picture = tmp_path / "sheet.png"
    assert main(["data", "show", "smoke", f"data.records={folder}", "--output", str(picture)]) == 0
    assert skeleton.describe_sides() in capsys.readouterr().out
    with Image.open(picture) as sheet:
        assert sheet.size == (8 * 192, 4 * 192 + 512)
        names = np.array(sheet)[4 * 192 :, 512:]
    for colour, side in ((LEFT, "left"), (RIGHT, "right"), (MIDDLE, "")):
        # A disc and letters for each name of the side, in the grey of the legend.
        assert (names == colour).all(-1).any() == (side in skeleton.sides)


@pytest.mark.parametrize("count", [1, 9, 33, 1000])
def test_legends_have_room_for_any_set(count):
    names = tuple(f"{side}_{i}" for i in range(count // 2 + 1) for side in ("left", "right"))[
        :count
    ]
    skeleton = Skeleton("set", names, (), (), (), roi="box")
    points = np.stack([np.linspace(10, 90, count)] * 2, -1)
    flags = np.ones(count, bool)
    grey = np.full((100, 100, 3), 90, np.uint8)
    found = legend(grey, points, flags, flags, skeleton, 1536)
    assert found.shape == (512, 1536, 3)
    np.testing.assert_array_equal(grey, 90)
    # Discs with names stand in columns, one below the other, and the last column ends in time.
    lit = (found[:, 512:] != found[-1, -1]).any(-1)
    assert lit.any()
    assert not lit[-4:].any()


def test_a_net_of_33_points_measures_a_file_in_any_spelling_alike(random_weights, tmp_path):
    engine = load_engine(random_weights, None, Settings())
    figures = []
    for seed in range(4):
        names = spelt(np.random.default_rng(seed)) if seed else {name: name for name in EIGHT}
        folder = people_of(tmp_path / str(seed), tuple(names), tuple(names.values()), 2)
        data = read_annotations(folder, skeleton=engine.skeleton)
        assert dict(data.renamed) == {v: k for k, v in names.items() if v != k}
        shared = shared_keypoints(engine, data.names)
        torso = choose_torso("lsp", data.names, engine.skeleton, data.people)
        found = predict(engine, data, "truth", data.people)
        figures.append(report(found, data, shared, torso, engine.skeleton))
        # The order of the file's points is that of float32 sums, and no more.
        np.testing.assert_allclose(found[0].roi.side, rois_of(folder, EIGHT)[0], rtol=1e-5)
    assert all(row["per_keypoint"].keys() == set(EIGHT) for row in figures)
    assert all(row == figures[0] for row in figures)


def rois_of(folder, names):
    """(2,) sides of the ROIs of a folder's people, by the rule written out."""
    sides = []
    for i in range(2):
        rows = standing(90 + 5 * i, 40)[[COCO.keypoints.index(n) for n in names], :2]
        hips = rows[[names.index("left_hip"), names.index("right_hip")]].mean(0)
        sides.append(2 * 1.25 * np.linalg.norm(rows - hips, axis=-1).max())
    return sides


def test_flip_indices_are_renamed_with_the_points(tmp_path):
    names = {name: name[0].upper() + name.split("_")[1] for name in EIGHT}
    folder = people_of(tmp_path / "d", EIGHT, names.values())
    data = json.loads((folder / "annotations.json").read_text())
    data["categories"][0]["flip_indices"] = [1, 0, 3, 2, 5, 4, 7, 6]
    (folder / "annotations.json").write_text(json.dumps(data))
    pairs = tuple((f"left_{part}", f"right_{part}") for part in PARTS)
    assert read_annotations(folder).pairs == pairs
    own = Skeleton("own", tuple(names.values()), (), (), (), roi="box")
    assert read_annotations(folder, skeleton=own).pairs == tuple(
        (names[a], names[b]) for a, b in pairs
    )


def test_the_category_is_chosen_by_the_points_whatever_their_names(tmp_path):
    folder = people_of(tmp_path / "d", EIGHT, [name.replace("_", "-") for name in EIGHT], 2)
    data = json.loads((folder / "annotations.json").read_text())
    hand = {"id": 2, "name": "person", "keypoints": ["thumb_tip", "palm"]}
    data["categories"].append(hand)
    rows = [
        {**data["annotations"][0], "id": 9 + i, "category_id": 2, "keypoints": [9, 9, 2] * 2}
        for i in range(3)
    ]
    data["annotations"] = [{**row, "category_id": 1} for row in data["annotations"]] + rows
    (folder / "annotations.json").write_text(json.dumps(data))
    assert set(read_annotations(folder).names) == set(EIGHT)


def test_lists_of_people(random_weights, tmp_path, capsys):
    folder = people_of(tmp_path / "d", COCO.keypoints, COCO.keypoints, 6)
    (tmp_path / "some.txt").write_text("# learned\n2\n5  # a comment\n\n2\n")
    (tmp_path / "more.txt").write_text("5\n77\n")

    def records(*words):
        command = ["data", "prepare", "coco_keypoints", "--source", folder, "--size", 128, *words]
        output = tmp_path / f"r{len(list(tmp_path.iterdir()))}"
        assert main([str(word) for word in [*command, "--output", output]]) == 0
        described = json.loads((output / "records.json").read_text())
        return open_records(output).labels["id"].tolist(), described

    found, described = records("--only", tmp_path / "some.txt")
    assert found == [2, 5]
    assert described["only"] == "some.txt"
    assert "2 of 6 people, those of" in capsys.readouterr().out
    found, described = records("--leave-out", tmp_path / "more.txt")
    assert found == [1, 2, 3, 4, 6]
    assert described["left_out"] == "more.txt"
    both = ["--only", tmp_path / "some.txt", "--leave-out", tmp_path / "more.txt"]
    assert records(*both)[0] == [2]
    capsys.readouterr()
    words = ["evaluate", "--weights", random_weights, "--data", folder]
    command = [*words, *both, "--json", tmp_path / "e.json"]
    assert main([str(word) for word in command]) == 0
    rows = json.loads((tmp_path / "e.json").read_text())
    assert (rows["people"], rows["decode"]) == (1, "regression")  # the net has no heatmaps
    assert "1 of 2 people left out" in capsys.readouterr().out

    def refused(option, text):
        (tmp_path / "bad.txt").write_text(text)
        return fails(capsys, *words, option, tmp_path / "bad.txt")

    assert "lists 1 people whom the data lacks: 77; list ids" in refused("--only", "5\n77\n")
    assert "nobody is left of 6 people" in refused("--leave-out", "1\n2\n3\n4\n5\n6\n")
    said = refused("--leave-out", "20001\n20002\n")
    assert "lists 2 people to leave out (20001, ...), and the data has none of them: list" in said
    for option in ("--only", "--leave-out"):
        assert "lists nobody: write one annotation id a line" in refused(option, "# none\n")
        assert "cannot be read" in fails(capsys, *words, option, tmp_path / "gone.txt")


def test_labels_alone_give_no_roi_by_face_or_net(tmp_path, capsys):
    two, points, names, _ = SETS["two"]
    folder = people_of(tmp_path / "d", points, names)
    for rule in ("face", "net"):
        skeleton = dataclasses.replace(two, roi=rule)
        (tmp_path / "s.json").write_text(json.dumps(skeleton.to_dict()))
        words = ["data", "prepare", "coco_keypoints", "--source", str(folder)]
        words += ["--skeleton", str(tmp_path / "s.json"), "--output", str(tmp_path / "r")]
        assert main(words) == 2
        said = capsys.readouterr().err
        assert f'"roi": "{rule}", so labels give no ROI: name the weights' in said
        assert not (tmp_path / "r").exists()


def test_one_place_without_a_box_has_no_size(tmp_path, capsys):
    skeleton, points, names, _ = SETS["one"]
    folder = people_of(tmp_path / "d", points, names, box=False)
    net = own_net(tmp_path / "w", skeleton)
    message = fails(capsys, "evaluate", "--weights", net, "--data", folder)
    assert "4 no box, and one labelled place has no size" in message
    assert "give the annotations a bbox" in message
