"""The parity report's own eyes: what it must see."""

import dataclasses

import numpy as np
import pytest
from helpers import scattered_pose_net

from blazepose_jax.cli.export_report import _finite
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.graph import make_graph
from blazepose_jax.export.parity import Z_ALLOWANCE, compare
from blazepose_jax.models import ALL_HEADS
from blazepose_jax.skeleton import BLAZEPOSE


@pytest.fixture(scope="module")
def graph():
    return make_graph(scattered_pose_net("smoke", BLAZEPOSE, side=128, heads=ALL_HEADS))


def outputs_of(graph, seed=0):
    rng = np.random.default_rng(seed)
    rows = len(graph.keypoints) * len(graph.fields)
    shapes = {"landmarks": (1, rows), "presence": (1, 1), "mask": (1, 8, 8, 1)}
    return [
        rng.uniform(0.1, 0.9, shapes.get(name, (1, 4, 4, 3))).astype(np.float32)
        for name in graph.outputs
    ]


def found(graph, change):
    ours, expected = outputs_of(graph), outputs_of(graph)
    change(dict(zip(graph.outputs, ours, strict=True)))
    return {row.output: row for row in compare(graph, [ours], [expected], "float32")}


def test_equal_outputs_are_equal(graph):
    assert all(row.largest == 0 for row in found(graph, lambda _: None).values())


def test_depth_is_seen(graph):
    def deeper(outputs):
        z = graph.fields.index("z")
        outputs["landmarks"].reshape(-1, len(graph.fields))[:, z] += 500

    rows = found(graph, deeper)
    assert rows["z"].mean == pytest.approx(500)
    assert rows["landmarks"].largest == 0
    assert rows["z"].allowed == Z_ALLOWANCE * rows["landmarks"].allowed


@pytest.mark.parametrize("name", ["mask", "landmarks", "presence", "world"])
def test_a_nan_is_infinitely_far(graph, name):
    def broken(outputs):
        outputs[name].reshape(-1)[:3] = np.nan

    row = found(graph, broken)[name]
    assert row.largest == np.inf
    assert not row.mean <= row.allowed
    assert _finite(dataclasses.asdict(row))["largest"] is None  # JSON knows no infinity


def test_boxes_are_seen_where_nobody_is():
    from helpers import drawn_weights

    graph = make_graph(drawn_weights("detector"))
    expected = [np.full((1, 2254, 12), 5.0, np.float32), np.full((1, 2254, 1), -4.0, np.float32)]
    expected[1][0, 7] = -3.0
    ours = [expected[0] + 1000, expected[1]]
    (row,) = (r for r in compare(graph, [ours], [expected], "float32") if r.output == "boxes")
    assert row.mean == pytest.approx(1000)


def test_maps_that_cannot_be_pooled_are_not_decoded():
    """Of 15 cells a side the last one would be lost, and all places be scaled."""
    from blazepose_jax.export.graph import _checked_decode

    assert _checked_decode(None, "own", 16) == "heatmap"
    assert _checked_decode(None, "own", 15) == "regression"
    assert _checked_decode(None, "own", 0) == "regression"
    with pytest.raises(
        BlazePoseError, match="a multiple of 2 cells a side, and those of own have 15"
    ):
        _checked_decode("heatmap", "own", 15)
    with pytest.raises(BlazePoseError, match="which own does not have"):
        _checked_decode("heatmap", "own", 0)
