"""Weights between the two ends of a fine-tuning."""

import jax
import numpy as np
import pytest
from average_weights import average
from helpers import scattered_pose_net

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.skeleton import BLAZEPOSE


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
