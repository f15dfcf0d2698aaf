"""Files that LiteRT runs, without the outputs that nobody asks for."""

import numpy as np
import pytest
from helpers import google_file, scattered_pose_net

from blazepose_jax.export import convert, flatbuffer
from blazepose_jax.export.convert import to_native_tflite
from blazepose_jax.inference import Settings, litert
from blazepose_jax.inference.litert import LiteRTModel
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.cache import graphs_cache
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.weights import TFLiteFile

pytest.importorskip("ai_edge_litert")


def googles():
    return google_file("pose_landmark_lite").read_bytes()


def ours(heads=("mask", "world")):
    return to_native_tflite(scattered_pose_net("smoke", BLAZEPOSE, side=128, heads=heads))


@pytest.mark.parametrize("make", [googles, ours])
def test_what_nobody_asks_for_is_not_computed(make, monkeypatch):
    data, without, pruned = make(), ("mask", "world"), []
    prune = litert.prune
    monkeypatch.setattr(litert, "prune", lambda *given: pruned.append(prune(*given)) or pruned[-1])
    whole = LiteRTModel(TFLiteFile(data), "whole", 1)
    part = LiteRTModel(TFLiteFile(data), "part", 1, without)
    images = np.random.default_rng(0).uniform(size=(2, whole.side, whole.side, 3))
    expected, found = (vars(model(images.astype(np.float32))) for model in (whole, part))
    assert part.kind == whole.kind == "pose"
    for name, values in expected.items():
        if name in without:
            assert values is not None
            assert found[name] is None
        else:
            np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert flatbuffer.histogram(pruned[0]).total() < flatbuffer.histogram(data).total()
    assert len(pruned[0]) < len(data)
    # The second time it comes from the cache; a damaged cache or none is no error.
    LiteRTModel(TFLiteFile(data), "again", 1, without)
    assert len(pruned) == 1
    for file in graphs_cache().iterdir():
        file.unlink()
    monkeypatch.setenv("BLAZEPOSE_CACHE", "/dev/null")
    LiteRTModel(TFLiteFile(data), "no cache", 1, without)
    assert pruned[1] == pruned[0]


def test_a_trained_net_is_converted_once(monkeypatch, tmp_path):
    monkeypatch.setenv("BLAZEPOSE_CACHE", str(tmp_path))
    made = []
    make = convert.to_tflite
    monkeypatch.setattr(convert, "to_tflite", lambda *a, **k: made.append(1) or make(*a, **k))
    net = scattered_pose_net("smoke", BLAZEPOSE, side=128, heads=())
    assert to_native_tflite(net) == to_native_tflite(net)
    assert len(made) == 1
    kernel = net.variables["params"]["heads"]["landmarks"]["kernel"]
    kernel[0] += 0.001
    assert convert.fingerprint(net, "litert") != convert.fingerprint(net, "jax2tf")
    to_native_tflite(net)
    assert len(made) == 2  # other weights


def test_a_file_that_lacks_the_output_stays_as_it_is(monkeypatch):
    monkeypatch.delattr(litert, "prune")
    assert LiteRTModel(TFLiteFile(ours(heads=())), "x", 1, ("mask",)).kind == "pose"


def test_a_tracker_computes_what_its_settings_name(released, astronaut):
    masks = {
        mask: Tracker(released, settings=Settings(mask=mask), runtime="litert")(astronaut)
        for mask in (False, True)
    }
    assert masks[False].mask is None
    assert masks[True].mask is not None
    np.testing.assert_array_equal(masks[True].keypoints, masks[False].keypoints)
    np.testing.assert_array_equal(masks[True].world, masks[False].world)


def test_whoever_takes_the_file_traces_no_architecture(released, monkeypatch):
    from blazepose_jax.weights import directory, load_weights, read_tflite_files

    def traced(*_):
        raise AssertionError("an architecture was traced")

    monkeypatch.setattr(directory, "expected_shapes", traced)
    assert read_tflite_files(released).keys() == {"detector", "pose"}
    with pytest.raises(AssertionError, match="was traced"):
        load_weights(released)
