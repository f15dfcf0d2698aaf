"""Weights that ship with the package."""

import json

import jax
import numpy as np
import pytest
from helpers import ROOT, fails, google_file

import blazepose_jax as bp
from blazepose_jax.cli.main import main
from blazepose_jax.inference import steps
from blazepose_jax.inference.settings import Settings
from blazepose_jax.io.frames import to_frame
from blazepose_jax.weights import import_weights, load_weights, read_stored
from blazepose_jax.weights.description import read_description
from blazepose_jax.weights.find import PACKAGED, find_weights
from blazepose_jax.weights.names import RELEASES

NAMES = [name for name, release in RELEASES.items() if not release.files]
# What a card must say.
PARTS = ("Architecture", "Data", "Google", "Protocol", "Numbers", "Limits", "Command", "Commit")
MOST = 16_000_000  # bytes


@pytest.mark.parametrize("name", NAMES)
def test_what_ships_is_small_described_and_whole(name):
    release, place = RELEASES[name], find_weights(name)
    assert place == PACKAGED / name
    (entry,) = read_description(place).values()
    assert entry["model"] == release.model
    assert entry["form"] == "folded"
    assert (entry["licence"], entry["changes"]) == (release.licence, release.changes)
    (own,) = {
        kind: net for kind, net in read_stored(place).items() if kind in entry["file"]
    }.values()
    assert {leaf.dtype for leaf in jax.tree.leaves(own.variables)} == {np.dtype(np.float16)}
    card = (place / "card.md").read_text(encoding="utf-8")
    for part in PARTS:
        assert f"\n## {part}" in card, part
    assert release.detector in (None, *NAMES)


def test_all_that_ships_fits():
    assert sum(path.stat().st_size for path in PACKAGED.rglob("*.safetensors")) <= MOST


def test_the_detector_finds_the_astronaut_where_googles_does(tmp_path):
    from skimage.data import astronaut

    import_weights([google_file("pose_detection")], tmp_path / "w")
    found = []
    for weights in (tmp_path / "w", "detector.lsp"):
        net, frame = load_weights(weights).detector, to_frame(astronaut())
        outputs = jax.jit(lambda n, x: n(x))(net, steps.detector_input(net, frame))
        seen = steps.read_detections(net, outputs, frame, settings=Settings())
        assert seen.valid[0]
        found.append(np.asarray(seen.keypoints[0]))
    side = np.linalg.norm(found[0][1] - found[0][0])
    assert np.linalg.norm(found[1][:3] - found[0][:3], axis=-1).max() < 0.35 * side


@pytest.mark.parametrize("name", ["full.lsp", pytest.param("lite.lsp", marks=pytest.mark.long)])
def test_the_pose_net_follows_the_astronaut_with_the_detector_that_it_brings(astronaut, name):
    tracker = bp.Tracker(name)
    poses = tracker(astronaut)
    assert poses.present[0]
    file = ROOT / "tests" / "weights" / "astronaut_mediapipe.json"
    face = np.array(json.loads(file.read_text(encoding="utf-8"))["keypoints"])[:11, :2]
    assert np.linalg.norm(poses.keypoints[0, :11, :2] - face, axis=-1).mean() < 12  # px


def test_what_ships_cannot_be_removed(capsys):
    assert main(["weights"]) == 0
    said = capsys.readouterr().out
    assert "detector.lsp: detector, 5.9 MB" in said
    assert "full.lsp: full, 6.4 MB, score 89.1" in said
    assert "lite.lsp: lite, 2.7 MB, score 84.6" in said
    assert "part of the package" in fails(capsys, "weights", "remove", "detector.lsp")
