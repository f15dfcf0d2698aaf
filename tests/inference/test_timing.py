"""Times of the pipeline's stages."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from helpers import blob_image, blob_networks

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference import timing
from blazepose_jax.weights import Weights

STAGES = [
    "copy the frame",
    "letterbox",
    "detector net",
    "decode, NMS",
    "crop",
    "pose net",
    "decode, smooth",
]


def test_every_stage_is_run_in_the_pipelines_order(monkeypatch):
    results = []

    def run_once(call):
        results.append(jax.device_get(call()))
        return float(len(results))

    monkeypatch.setattr(timing, "median_ms", run_once)
    monkeypatch.setattr(timing, "load_weights", lambda _: Weights(*blob_networks(), "blobs"))
    times = timing.stage_times("blobs", blob_image(240, 200, (100, 90)), "jax")
    assert list(times.items()) == [(name, i + 1.0) for i, name in enumerate(STAGES)]
    # Each has the person before it: the last gives the pose of the disc.
    state, poses = results[-1]
    assert state.roi.center.shape == (1, 2)
    assert poses.present.tolist() == [True]
    np.testing.assert_allclose(poses.keypoints[0, 0, :2], (100, 90), atol=1.5)


def test_the_median_leaves_out_the_calls_that_compile(monkeypatch):
    ticks, calls = iter([0, 9, 0, 9, 0, 1, 0, 2, 0, 60]), []
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert timing.median_ms(lambda: calls.append(0), repeats=3) == 2000
    assert len(calls) == 5


def test_a_pose_net_alone_is_not_timed(monkeypatch):
    alone = Weights(None, blob_networks()[1], "alone")
    monkeypatch.setattr(timing, "load_weights", lambda _: alone)
    with pytest.raises(BlazePoseError, match="lacks a detector or a pose net: both are timed"):
        timing.stage_times("alone", blob_image(240, 200), "jax")
