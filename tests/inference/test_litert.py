"""Files that LiteRT runs, without the outputs that nobody asks for."""

import dataclasses
import io
import zipfile

import numpy as np
import pytest
from helpers import google_file, scattered_pose_net

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export import calibration, convert, flatbuffer, metadata
from blazepose_jax.export.bundle import task_bytes
from blazepose_jax.export.convert import to_native_tflite
from blazepose_jax.export.graph import make_graph
from blazepose_jax.inference import Settings, litert
from blazepose_jax.inference.litert import LiteRTModel, litert_networks
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.cache import graphs_cache
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.weights import TFLiteFile
from blazepose_jax.weights.mediapipe import input_of

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
    assert len({convert.fingerprint(net, b, "float32") for b in ("litert", "jax2tf")}) == 2
    to_native_tflite(net)
    assert len(made) == 2  # other weights


def test_int8_is_calibrated_on_rendered_people(monkeypatch, tmp_path):
    pytest.importorskip("ai_edge_quantizer")
    monkeypatch.setenv("BLAZEPOSE_CACHE", str(tmp_path))
    monkeypatch.setattr(calibration, "CALIBRATION_CROPS", 4)
    net = scattered_pose_net("smoke", BLAZEPOSE, side=128, heads=())
    plain, small = to_native_tflite(net), to_native_tflite(net, "int8")
    assert len(small) < len(plain)
    assert to_native_tflite(net, "int8") == small  # from the cache, beside the other
    assert to_native_tflite(net) == plain
    crops = calibration.rendered_crops(make_graph(net, mediapipe=False, decode="regression"))
    assert crops.shape == (4, 128, 128, 3)
    assert crops.std() > 0.05  # somebody is in the picture
    models = [LiteRTModel(TFLiteFile(data), "x", 1) for data in (plain, small)]
    places = [model(crops).landmarks[..., :2] for model in models]
    apart = np.abs(places[0] - places[1])
    assert 0 < apart.mean() < 2  # px of 128; int8 has been computed


def test_people_cannot_calibrate_other_points():
    bird = Skeleton("bird", ("tail", "beak"), (), ("tail",), ("beak",))
    net = scattered_pose_net("smoke", bird, side=128, heads=())
    with pytest.raises(BlazePoseError, match="rendered people, who have no tail: track in float32"):
        to_native_tflite(net, "int8")


def test_int8_is_litert_s_and_of_weights(released, tmp_path):
    settings = Settings(precision="int8")
    with pytest.raises(BlazePoseError, match="precision int8 is of the runtime litert"):
        Tracker(released, settings=settings)
    with pytest.raises(BlazePoseError, match="unknown precision 'int4'"):
        Tracker(released, settings=Settings(precision="int4"), runtime="litert")
    files = [google_file(name).read_bytes() for name in ("pose_detection", "pose_landmark_full")]
    task = tmp_path / "x.task"
    task.write_bytes(task_bytes(*files))
    with pytest.raises(BlazePoseError, match="networks of one precision: give the weights"):
        Tracker(task, settings=settings, runtime="litert")


@pytest.mark.long
def test_int8_tracks_as_float32_does(released, astronaut):
    found = [
        Tracker(released, settings=Settings(precision=name, smoothing=False), runtime="litert")(
            astronaut
        )
        for name in ("float32", "int8")
    ]
    seen = found[0].visibility[0] > 0.5
    assert seen.sum() > 10
    apart = np.linalg.norm(found[0].keypoints[0] - found[1].keypoints[0], axis=-1)[seen]
    assert 0 < np.median(apart) < 15  # px of a square of 600


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


def test_a_damaged_file_of_the_cache_is_made_anew(monkeypatch, tmp_path):
    monkeypatch.setenv("BLAZEPOSE_CACHE", str(tmp_path))
    net = scattered_pose_net("smoke", BLAZEPOSE, side=128, heads=())
    data = to_native_tflite(net)
    (file,) = graphs_cache().iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], bytes(len(whole))):
        file.write_bytes(damaged)
        assert to_native_tflite(net) == data
        assert file.read_bytes() == whole


def test_grey_levels_become_inputs_as_the_architecture_says(monkeypatch):
    """Of a directory by its architecture, of a .task by what its export states."""
    net = scattered_pose_net("smoke", BLAZEPOSE, side=128, heads=())
    spec = dataclasses.replace(net.spec, mean=127.5, std=127.5)
    monkeypatch.setattr(type(net), "spec", property(lambda _: spec))
    file = TFLiteFile(to_native_tflite(net), BLAZEPOSE, normalisation=(spec.mean, spec.std))
    found = litert_networks({"pose": file})["pose"]
    assert (found.mean, found.std) == (127.5, 127.5)
    graph = make_graph(net)
    exported = metadata.describe(to_native_tflite(net), graph)
    assert input_of(exported) == (127.5, 127.5)
    assert input_of(google_file("pose_landmark_lite").read_bytes()) is None


@pytest.mark.parametrize("mean", ["true", "1" + 400 * "0", "NaN", '"1"', "null"])
def test_a_description_that_is_none_says_nothing(mean):
    told = f'{{"input": {{"mean": {mean}, "std": 1}}}}'
    assert input_of(zipped(told)) is None
    whole = zipped('{"input": {"mean": 0, "std": 2}}', zipfile.ZIP_DEFLATED)
    assert input_of(whole) == (0, 2)
    place = whole.index(b"blazepose.json") + len("blazepose.json")
    assert input_of(whole[:place] + b"\xff\xff" + whole[place + 2 :]) is None


def zipped(text: str, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("blazepose.json", text)
    return file.getvalue()
