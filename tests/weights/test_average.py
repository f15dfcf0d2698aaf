"""Weights between the two ends of a fine-tuning."""

import dataclasses

import jax
import numpy as np
import pytest
from average_weights import average, main
from helpers import scattered_pose_net

from blazepose_jax.cli.options import locate
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import ALL_HEADS, FIELDS
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.weights import read_stored, save_weights


def test_the_share_is_of_the_end():
    start = scattered_pose_net("smoke", BLAZEPOSE, side=128, heads=())
    end = scattered_pose_net("smoke", BLAZEPOSE, side=128, heads=())
    end.variables["params"]["heads"]["landmarks"]["bias"] += 8
    found = average(start, end, 0.25)
    assert found.norm == "folded"
    for share, net in ((0.0, start), (1.0, end)):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
            average(start, end, share).variables,
            net.folded().variables,
        )
    first, last, between = (
        net.folded().variables["params"]["heads"]["landmarks"]["bias"]
        for net in (start, end, found)
    )
    np.testing.assert_allclose(between, 0.75 * first + 0.25 * last, rtol=1e-5)
    assert "0.25 of" in found.source


def test_nets_that_do_not_fit_and_shares_outside_are_errors():
    net = scattered_pose_net("smoke", BLAZEPOSE, side=128, heads=())
    other = scattered_pose_net("smoke", BLAZEPOSE, side=128, heads=("world",))
    with pytest.raises(BlazePoseError, match="differ in their variables"):
        average(net, other, 0.5)
    with pytest.raises(BlazePoseError, match=r"--share is 1\.5"):
        average(net, net, 1.5)


def test_what_a_run_states_of_its_network_may_be_the_default():
    """Google's files state nothing."""
    start = read_stored(locate("lite.lsp"))["pose"]
    stated = {"keypoints": 39, "side": 256, "fields": FIELDS, "heads": ALL_HEADS}
    for one, other in (({}, stated), (stated, {})):
        nets = [dataclasses.replace(start, arguments=given) for given in (one, other)]
        found = average(*nets, 0.5)
        assert found.arguments == other
    with pytest.raises(BlazePoseError, match="differ in their variables"):
        average(start, dataclasses.replace(start, arguments={**stated, "side": 128}), 0.5)


def test_detectors_are_averaged_where_one_has_no_pose_net(tmp_path):
    detector = read_stored(locate("detector.lsp"))["detector"]
    pose = scattered_pose_net("smoke", BLAZEPOSE, side=128, heads=())
    save_weights(tmp_path / "start", {"detector": detector, "pose": pose})
    moved = jax.tree.map(lambda a: np.asarray(a, np.float32) + 1, detector.variables)
    end = dataclasses.replace(detector, variables=moved, tflite=None)
    save_weights(tmp_path / "end", {"detector": end})
    save_weights(tmp_path / "pose", {"pose": pose})
    output = tmp_path / "averaged"
    main([*(str(tmp_path / name) for name in ("start", "end")), "--output", str(output)])
    found = read_stored(output)
    assert sorted(found) == ["detector", "pose"]
    half = jax.tree.map(lambda a: np.asarray(a, np.float32) + 0.5, detector.variables)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
        found["detector"].variables,
        half,
    )
    with pytest.raises(SystemExit, match="2"):
        main([*(str(tmp_path / name) for name in ("end", "pose")), "--output", str(output) + "2"])
