"""Keypoint sets: the spelling of names, and files that describe a set."""

import json

import numpy as np
import pytest
from helpers import NAMES, fails, person, write_folder

from blazepose_jax.cli.main import main
from blazepose_jax.skeleton import BLAZEPOSE, COCO, LSP, Skeleton

# (left, right) words, and how a name is made of a side and a part.
SIDES = (("left", "right"), ("L", "R"), ("Left", "Right"), ("l", "r"))
SPELLINGS = ("{side}_{part}", "{side}-{part}", "{part}_{side}", "{part}.{side}", "{side} {part}")
PARTS = ("shoulder", "elbow", "wrist", "hip")


def drawn_names(rng):
    """{BlazePose's name: another spelling} of eight points, in an order of their own."""
    words, form = SIDES[rng.integers(len(SIDES))], SPELLINGS[rng.integers(len(SPELLINGS))]
    title = bool(rng.integers(2))
    names = [
        (f"{side}_{part}", form.format(side=word, part=part.title() if title else part))
        for part in PARTS
        for side, word in zip(("left", "right"), words, strict=True)
    ]
    return dict(names[i] for i in rng.permutation(8))


@pytest.mark.parametrize("seed", range(20))
def test_points_of_the_body_are_known_in_any_spelling_and_order(seed):
    names = drawn_names(np.random.default_rng(seed))
    own = Skeleton("own", tuple(names.values()), (), (), (), roi="box")
    assert own.body_names == tuple(names)
    assert own.mirrors
    assert {frozenset(pair) for pair in own.left_right} == {
        frozenset((names[f"left_{part}"], names[f"right_{part}"])) for part in PARTS
    }
    for other in (BLAZEPOSE, COCO, LSP):
        # Into the other set's names, and from the other set's names into these.
        assert other.names_of(own.keypoints) == tuple(names)
        back = dict(zip(other.keypoints, own.names_of(other.keypoints), strict=True))
        assert {body: back[body] for body in names} == names
        assert all(back[name] == name for name in other.keypoints if name not in names)


def folder_of(path, names, **category):
    """Two people of COCO's 17 points under other names, and more fields of their category."""
    folder = write_folder(path, [person(1), person(2)])
    data = json.loads((folder / "annotations.json").read_text())
    data["categories"] = [{"id": 1, "name": "person", "keypoints": list(names), **category}]
    (folder / "annotations.json").write_text(json.dumps(data))
    return folder


OWN = tuple(f"{n[0].upper()}_{n.split('_')[1]}" if "_" in n else "Snout" for n in NAMES)


def test_init_writes_what_it_recognises(tmp_path, capsys):
    links = [[6, 8], [8, 10], [6, 12], [99, 1], "x", [3, 3]]
    folder = folder_of(tmp_path / "d", OWN, skeleton=links)
    output = tmp_path / "own.json"
    assert main(["skeleton", "init", str(folder), "--output", str(output)]) == 0
    said = capsys.readouterr().out
    fields = json.loads(output.read_text())
    skeleton = Skeleton.from_dict(fields)
    assert skeleton.keypoints == OWN
    assert skeleton.bones == (
        ("L_shoulder", "L_elbow"),
        ("L_elbow", "L_wrist"),
        ("L_shoulder", "L_hip"),
    )
    assert (skeleton.center, skeleton.up) == (("L_hip", "R_hip"), ("L_shoulder", "R_shoulder"))
    assert fields["like"]["R_ankle"] == "right_ankle"
    assert "Snout" not in fields["like"]
    assert skeleton.pairs is not None
    assert len(skeleton.pairs) == 8
    assert "left and right: 8 pairs (L_eye <-> R_eye" in said
    assert "R_ankle = right_ankle" in said
    assert "new: Snout" in said
    assert "ROI: centre L_hip+R_hip, up L_shoulder+R_shoulder" in said
    assert main(["skeleton", "show", str(output)]) == 0
    assert capsys.readouterr().out == said[: said.index("wrote ")]
    before = output.read_bytes()
    assert "exists: name a new file with --output" in fails(
        capsys, "skeleton", "init", folder, "--output", output
    )
    assert output.read_bytes() == before
    command = ["data", "prepare", "coco_keypoints", "--source", folder, "--skeleton", output]
    assert main([str(word) for word in [*command, "--output", tmp_path / "r"]]) == 0


def test_init_takes_the_files_word_for_sides_and_counts_bones_from_0(tmp_path, capsys, monkeypatch):
    names = [f"p{i}" for i in range(17)]
    flip = [0, 2, 1, *range(3, 17)]
    folder = folder_of(tmp_path / "d", names, flip_indices=flip, skeleton=[[0, 1], [1, 16]])
    monkeypatch.chdir(tmp_path)
    assert main(["skeleton", "init", str(folder / "annotations.json")]) == 0
    found = Skeleton.from_dict(json.loads((tmp_path / "person.json").read_text()))
    assert found.pairs == (("p1", "p2"),)
    assert found.bones == (("p0", "p1"), ("p1", "p16"))
    assert (found.roi, found.center, found.up) == ("box", (), ())
    assert "ROI: upright, round the annotated box" in capsys.readouterr().out


def test_init_keeps_a_one_sided_set_from_being_mirrored(tmp_path, capsys):
    arm = ("right_shoulder", "right_elbow", "right_wrist", "nose")
    folder = folder_of(tmp_path / "d", arm)
    assert main(["skeleton", "init", str(folder), "--output", str(tmp_path / "s.json")]) == 0
    found = Skeleton.from_dict(json.loads((tmp_path / "s.json").read_text()))
    assert found.pairs is None
    assert not found.mirrors
    assert "mirroring is off" in capsys.readouterr().out


def test_init_asks_for_the_category(tmp_path, capsys):
    folder = folder_of(tmp_path / "d", NAMES)
    data = json.loads((folder / "annotations.json").read_text())
    data["categories"].append({"id": 2, "name": "old dog", "keypoints": ["nose", "tail"]})
    (folder / "annotations.json").write_text(json.dumps(data))
    words = ["skeleton", "init", str(folder), "--output", str(tmp_path / "s.json"), "--category"]
    assert "did you mean 'old dog'" in fails(capsys, *words, "olddog")
    assert main([*words, "old dog"]) == 0
    capsys.readouterr()
    found = Skeleton.from_dict(json.loads((tmp_path / "s.json").read_text()))
    assert (found.name, found.keypoints) == ("old_dog", ("nose", "tail"))
    assert "does not exist" in fails(capsys, "skeleton", "init", tmp_path / "gone.json")
    assert "unknown skeleton 'lps'" in fails(capsys, "skeleton", "show", "lps")


def test_show_says_what_a_set_is(tmp_path, capsys):
    rows = {"name": "stick", "keypoints": ["RWri", "tip"], "bones": [["RWri", "tip"]]}
    rows |= {"roi": "net", "near": {"tip": ["RWri"]}, "sigmas": [0.05, 0.1]}
    (tmp_path / "s.json").write_text(json.dumps(rows))
    assert main(["skeleton", "show", str(tmp_path / "s.json")]) == 0
    said = capsys.readouterr().out
    for line in (
        "stick: 2 keypoints, 1 bones",
        "mirroring is off",
        "RWri = right_wrist; new: tip (near right_wrist)",
        "ROI: where a pose net looks next",
        "sigmas: RWri 0.05, tip 0.1",
    ):
        assert line in said
