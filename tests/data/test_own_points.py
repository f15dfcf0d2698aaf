"""Keypoint sets of one's own, in every command that takes data."""

import json

import numpy as np
import pytest
from helpers import person, scattered_pose_net, standing, write_folder
from PIL import Image

from blazepose_jax.cli.main import main
from blazepose_jax.data.readers import DataConfig, open_readers
from blazepose_jax.evaluation.report import TORSOS, choose_torso
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE, COCO, Skeleton
from blazepose_jax.weights import save_weights

PAIR = Skeleton("pair", ("Pelvis", "Neck"), (("Pelvis", "Neck"),), ("Pelvis",), ("Neck",))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """People of two points under names that no other set has, and a net with random numbers for
    them.
    """
    root = tmp_path_factory.mktemp("pair")
    people = []
    for i in range(12):
        rows = standing(90 + 3 * i, 40)
        hips, shoulders = rows[[11, 12], :2].mean(0), rows[[5, 6], :2].mean(0)
        people.append({**person(i + 1), "keypoints": [*hips, 2, *shoulders, 2]})
    folder = write_folder(root / "data", people)
    data = json.loads((folder / "annotations.json").read_text())
    data["categories"][0]["keypoints"] = list(PAIR.keypoints)
    (folder / "annotations.json").write_text(json.dumps(data))
    save_weights(root / "w", {"pose": scattered_pose_net("smoke", PAIR, side=128)})
    return root


def test_evaluation_measures_by_their_own_centre_and_up_points(pair, capsys):
    assert (
        main(
            [
                "evaluate",
                "--weights",
                str(pair / "w"),
                "--data",
                str(pair / "data"),
                "--json",
                str(pair / "report.json"),
            ]
        )
        == 0
    )
    report = json.loads((pair / "report.json").read_text())
    assert report["torso"] == "Pelvis to Neck"
    assert (report["people"], report["points"]) == (12, 24)
    assert 0 <= report["pck@0.2"] <= 100
    assert "torso: Pelvis to Neck" in capsys.readouterr().out


def test_int8_is_calibrated_on_their_people(pair, capsys):
    output = pair / "pair.tflite"
    code = main(
        [
            "export",
            "--weights",
            str(pair / "w"),
            "--output",
            str(output),
            "--precision",
            "int8",
            "--backend",
            "litert",
            "--calibration",
            str(pair / "data"),
        ]
    )
    said = capsys.readouterr()
    assert code == 0, said.err
    assert output.is_file()
    assert "(6 people," in said.out  # the other six have calibrated
    assert said.err == ""


def test_who_calibrates_judges_nothing(tmp_path):
    from blazepose_jax.export.calibration import read_calibration_set

    folder = write_folder(
        tmp_path / "d",
        [{**person(i + 1), "image_id": i // 2} for i in range(20)],
        [f"{i}.jpg" for i in range(10)],
    )
    for i in range(10):  # pictures that can be told apart
        Image.fromarray(np.full((200, 220, 3), 20 * i, np.uint8)).save(folder / f"{i}.jpg")
    material = read_calibration_set(str(folder), BLAZEPOSE)
    calibrating, judging = (
        {int(read_image(path).mean()) // 20 for path, _ in rows}
        for rows in (material.images, material.judged)
    )
    assert calibrating
    assert judging
    assert not calibrating & judging
    assert not {p.image.stem for p in material.measured.people} & {str(i) for i in calibrating}
    alone = read_calibration_set(None, BLAZEPOSE)
    assert (
        len({(image.shape, float(square.side)) for image, square in alone.images + alone.judged})
        == 16
    )
    # as a detector sees them, too
    assert len({image.shape for image, _ in alone.images + alone.judged}) == 16


def test_flip_does_nothing_and_says_so(pair):
    from blazepose_jax.inference import Settings
    from blazepose_jax.inference.engine import load_engine

    with pytest.warns(
        UserWarning, match="flip does nothing for 'pair': left and right: no left and right names"
    ):
        load_engine(pair / "w", None, Settings(flip=True))


def test_a_detector_from_elsewhere_is_taken_whatever_the_weights_are(pair, random_weights):
    from blazepose_jax.inference import Settings
    from blazepose_jax.inference.engine import load_engine
    from blazepose_jax.weights import load_weights

    for weights in (pair / "w", load_weights(pair / "w")):
        engine = load_engine(weights, random_weights, Settings())
        assert engine.detector.side == 128


def test_a_few_people_are_a_share_and_not_an_error(pair, tmp_path, capsys):
    (tmp_path / "s.json").write_text(json.dumps(PAIR.to_dict()))
    assert (
        main(
            [
                "data",
                "prepare",
                "coco_keypoints",
                "--source",
                str(pair / "data"),
                "--skeleton",
                str(tmp_path / "s.json"),
                "--output",
                str(tmp_path / "r"),
                "--size",
                "128",
            ]
        )
        == 0
    )
    assert "mirroring is off" in capsys.readouterr().out
    for reader in ("resident", "grain"):
        learn, held_out = open_readers(DataConfig(records=str(tmp_path / "r"), reader=reader))
        assert (len(learn), len(held_out)) == (10, 2)
        assert learn.batch(0, 16, 0).ids.shape == (16,)  # more than there are: some come twice
    assert "about 2 are held out" in capsys.readouterr().out


def test_torsos_are_of_points_that_everybody_has():
    for skeleton in (BLAZEPOSE, COCO):
        assert choose_torso("lsp", skeleton.keypoints, skeleton) == TORSOS["lsp"]
    body = Skeleton("body", (*COCO.keypoints, "pelvis", "neck"), (), ("pelvis",), ("neck",))
    # shoulders may be unlabelled
    assert choose_torso("lsp", body.keypoints, body) == (
        ("pelvis",),
        ("neck",),
    )
    assert choose_torso("center", COCO.keypoints, COCO) == (COCO.center, COCO.up)
