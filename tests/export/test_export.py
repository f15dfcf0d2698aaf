"""Exported files against the networks that they were made of, in LiteRT and ONNX Runtime."""

import dataclasses
import io
import json
import re
import sys
import zipfile
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    drawn_weights,
    person,
    random_variables,
    scattered_pose_net,
    shared,
    standing,
    write_folder,
)

from blazepose_jax.cli.export_formats import FORMATS
from blazepose_jax.cli.main import main
from blazepose_jax.codecs import soft_argmax
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export import (
    calibration,
    flatbuffer,
    jax2tf_backend,
    litert_backend,
    metadata,
    parity,
    quantize,
)
from blazepose_jax.export.convert import (
    BACKENDS,
    default_backend,
    to_native_tflite,
    to_tflite,
)
from blazepose_jax.export.graph import make_graph
from blazepose_jax.export.mediapipe_rows import (
    ROWS,
    known_rows,
    left_out,
    to_mediapipe_rows,
    with_roi_rows,
)
from blazepose_jax.geometry import rois
from blazepose_jax.inference import Settings
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.models import FOLDED, LayerConfig, create_model
from blazepose_jax.models.batch_norm import fold_batch_norm
from blazepose_jax.models.resize import upsample2x
from blazepose_jax.skeleton import BLAZEPOSE, COCO, LSP, Skeleton
from blazepose_jax.weights import StoredNetwork, read_stored, save_weights
from blazepose_jax.weights.mediapipe import decode_of, import_files, import_tflite
from blazepose_jax.weights.tflite import load_schema

GOOGLE = {"full": "pose_landmark_full.tflite", "lite": "pose_landmark_lite.tflite"}


def small_net(skeleton=BLAZEPOSE, **arguments):
    arguments = {
        "side": 128,
        "keypoints": len(skeleton.keypoints) + len(skeleton.auxiliary),
        **arguments,
    }
    model = create_model("smoke", LayerConfig(), **arguments)
    images = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
    return StoredNetwork(
        "smoke", "batch", random_variables(model, images), arguments, "drawn", "", skeleton
    )


# Hips and shoulders, and a point that MediaPipe does not have.
OWN_POINTS = Skeleton(
    "own",
    ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "chest"),
    (),
    ("left_hip", "right_hip"),
    ("left_shoulder", "right_shoulder"),
)


def respelled(spelling):
    """``OWN_POINTS`` in another spelling."""
    new = {"chest": "chest"}
    for name in OWN_POINTS.keypoints[:4]:
        side, part = name.split("_")
        new[name] = spelling.format(side=side, s=side[0], part=part, Part=part.title())
    rows = (OWN_POINTS.keypoints, OWN_POINTS.center, OWN_POINTS.up)
    keypoints, center, up = (tuple(new[name] for name in names) for names in rows)
    return Skeleton("respelled", keypoints, (), center, up)


def crops(count=4, side=128):
    """Smooth pictures, so that neighbouring pixels agree as in photographs."""
    coarse = jax.random.uniform(jax.random.key(0), (count, 8, 8, 3))
    return np.asarray(jax.image.resize(coarse, (count, side, side, 3), "bilinear"))


def largest(graph, data, images, net=None, **arguments):
    """The largest difference of each output from JAX, relative to the output's peak."""
    expected = parity.run_jax(
        make_graph(net, convolution="auto", **arguments) if net else graph, images
    )
    found = parity.run_tflite(data, graph, images)
    return {
        name: max(
            float(np.abs(a[i] - b[i]).max() / max(np.abs(b[i]).max(), 1e-6))
            for a, b in zip(found, expected, strict=True)
        )
        for i, name in enumerate(graph.outputs)
    }


@pytest.fixture(scope="module")
def net():
    return small_net()


@pytest.fixture(scope="module")
def exported(net):
    """{backend: (graph, file)} of one small net."""
    graph = make_graph(net)
    return {backend: (graph, to_tflite(graph, backend=backend)) for backend in ("jax2tf", "litert")}


@pytest.mark.parametrize("backend", ["jax2tf", "litert"])
def test_the_file_is_the_network(exported, net, backend):
    graph, data = exported[backend]
    assert graph.outputs == ("landmarks", "presence", "mask", "heatmap", "world")
    for name, error in largest(graph, data, crops(), net).items():
        assert error < 1e-4, name
    names = [d["name"] for d in interpreter(data).get_output_details()]
    assert tuple(names) == graph.outputs


def test_both_backends_give_the_same_operators(exported):
    kinds = [flatbuffer.histogram(data) for _, data in exported.values()]
    assert kinds[0] == kinds[1]
    assert kinds[0]["RESIZE_BILINEAR"] == 4
    assert not set(kinds[0]) - flatbuffer.PORTABLE


def interpreter(data):
    from ai_edge_litert.interpreter import Interpreter

    found = Interpreter(model_content=data)
    found.allocate_tensors()
    return found


def test_no_tensor_has_more_than_four_axes(exported):
    for _, data in exported.values():
        assert max(len(t.shape) for t in flatbuffer.read(data).subgraphs[0].tensors) <= 4
    schema, model = load_schema(), flatbuffer.read(exported["litert"][1])
    model.subgraphs[0].tensors[3].shape = [1, 2, 3, 4, 5]
    with pytest.raises(BlazePoseError, match="5 axes: GPU delegates refuse more than 4"):
        flatbuffer.check_portable(model)
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.GATHER_ND
    with pytest.raises(BlazePoseError, match="uses GATHER_ND"):
        flatbuffer.check_portable(model)


def test_a_mark_never_leaves_the_exporter():
    """With every other ``convolution`` the upsampling is complete."""
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 2))
    marked = upsample2x(x, LayerConfig("folded", convolution="tflite"))
    assert marked.shape == (1, 8, 8, 2)
    assert not np.allclose(marked, upsample2x(x, FOLDED))


@pytest.mark.parametrize("name", ["full", "lite"])
def test_released_nets_have_googles_operators_and_bits(name):
    original = shared("models", GOOGLE[name]).read_bytes()
    imported = import_tflite(original, name)
    stored = StoredNetwork(name, "folded", imported.variables, {}, "", "", BLAZEPOSE)
    graph = make_graph(stored, decode="regression")
    data = to_tflite(graph)
    ours, theirs = flatbuffer.histogram(data), flatbuffer.histogram(original)
    for kind in ("DEQUANTIZE", "PAD"):
        assert ours.pop(kind, 0) <= theirs.pop(kind)
    assert ours == theirs
    for ours, theirs in zip(
        parity.run_tflite(data, graph, crops(2, 256)),
        parity.run_tflite(original, graph, crops(2, 256)),
        strict=True,
    ):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())
    again = import_tflite(data, "exported")
    assert again.name == name
    jax.tree.map(np.testing.assert_array_equal, again.variables, imported.variables)


def test_the_heatmaps_answer_stands_in_the_file_and_the_network_comes_back():
    stored = scattered_pose_net("lite", BLAZEPOSE)
    graph = make_graph(stored)
    assert graph.decode == "heatmap"
    data = to_tflite(graph, backend="litert")
    assert decode_of(data) == "heatmap"
    assert decode_of(to_tflite(make_graph(stored, decode="regression"), backend="litert")) == (
        "regression"
    )
    images = crops(1, 256)
    ((rows, _, _, heat, _),) = parity.run_tflite(data, graph, images)
    plain = make_graph(stored, decode="regression", convolution="auto")
    ((regressed, *_),) = parity.run_jax(plain, images)
    expected = soft_argmax.decode(regressed.reshape(39, 5)[:, :2] / 256, heat[0]) * 256
    found, regressed = rows.reshape(39, 5), regressed.reshape(39, 5)
    np.testing.assert_allclose(found[:33, :2], expected[:33], atol=0.02)
    # z, flags and the rows that place the next crop stay.
    np.testing.assert_allclose(found[:33, 2:], regressed[:33, 2:], atol=2e-3)
    np.testing.assert_allclose(found[33:], regressed[33:], atol=2e-3)
    again = import_tflite(data, "exported")
    assert again.name == "lite"
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        again.variables["params"],
        stored.folded().variables["params"],
    )


def test_a_net_without_heatmaps_has_no_answer_of_theirs():
    stored = scattered_pose_net("paper_lite", BLAZEPOSE)
    assert make_graph(stored).decode == "regression"
    with pytest.raises(BlazePoseError, match="needs a net with a heatmap head"):
        make_graph(stored, decode="heatmap")
    with pytest.raises(BlazePoseError, match="unknown decode 'peaks'"):
        make_graph(stored, decode="peaks")


class TestOwnKeypointSets:
    def test_points_go_into_their_rows_and_the_rest_is_hidden(self):
        stored = small_net(COCO, fields=("x", "y", "visibility"))
        stored = dataclasses.replace(
            stored, norm="folded", variables=fold_batch_norm(stored.variables)
        )
        moved = to_mediapipe_rows(stored)
        images = crops(2)
        before, after = (
            jax.jit(
                lambda x, n=n: create_model("smoke", FOLDED, **n.arguments).apply(
                    n.variables, x, train=True, mutable=["batch_stats"]
                )[0]
            )(images)
            for n in (stored, moved)
        )
        assert after.landmarks.shape == (2, 39, 5)
        for i, name in enumerate(COCO.keypoints):
            row = ROWS.index(name)
            np.testing.assert_allclose(
                after.landmarks[:, row, [0, 1, 3]], before.landmarks[:, i], rtol=1e-5
            )
            np.testing.assert_allclose(after.landmarks[:, row, [2, 4]], [[0, 10]] * 2)
            np.testing.assert_allclose(
                after.heatmap[..., row], before.heatmap[..., i], rtol=1e-4, atol=1e-5
            )
        unknown = [i for i, name in enumerate(ROWS) if name not in COCO.keypoints]
        np.testing.assert_array_equal(
            after.landmarks[:, unknown], np.tile([64, 64, 0, -10, -10], (2, len(unknown), 1))
        )
        np.testing.assert_array_equal(after.heatmap[..., unknown], -10)

    def test_rows_that_place_the_next_crop_are_computed(self):
        rng = np.random.default_rng(0)
        rows = jnp.asarray(rng.uniform(20, 100, (2, 39, 5)), jnp.float32)
        known = [ROWS.index(name) for name in COCO.keypoints]
        filled = with_roi_rows(rows, known, 128)
        np.testing.assert_allclose(filled[:, :33], rows[:, :33], rtol=1e-5)
        points = rows[:, known, :2]
        expected = rois.from_keypoints(points, COCO)
        found = rois.from_keypoints(filled[..., :2], BLAZEPOSE)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)

    def test_the_file_computes_them_too(self):
        stored = small_net(COCO)
        graph = make_graph(stored)
        data = to_tflite(graph, backend="litert")
        for name, error in largest(graph, data, crops(), stored).items():
            assert error < 1e-4, name

    def test_in_a_tflite_they_keep_their_rows(self):
        stored = small_net(COCO)
        graph = make_graph(stored, mediapipe=False)
        assert graph.outputs == ("landmarks", "presence", "mask")
        assert graph.keypoints == COCO.keypoints
        assert interpreter(to_native_tflite(stored)).get_output_details()[0]["shape"].tolist() == [
            1,
            85,
        ]

    def test_without_hips_there_is_no_task(self):
        keypoints = ("nose", "left_shoulder", "right_shoulder", "pelvis")
        skeleton = dataclasses.replace(
            COCO, name="no hips", keypoints=keypoints, bones=(), center=("pelvis",), up=("nose",)
        )
        with pytest.raises(
            BlazePoseError, match=r"'no hips' has no left_hip: .* export this net as a \.tflite"
        ):
            make_graph(small_net(skeleton))
        assert make_graph(small_net(skeleton), mediapipe=False).keypoints == keypoints

    @pytest.mark.parametrize("spelling", ["{s}_{Part}", "{Part}.{s}"])
    def test_points_are_placed_whatever_their_spelling(self, spelling):
        skeleton = respelled(spelling)
        graph = make_graph(small_net(skeleton))
        expected = make_graph(small_net(OWN_POINTS))
        images = crops(1)
        for a, b in zip(graph.call(images), expected.call(images), strict=True):
            np.testing.assert_array_equal(a, b)
        placed = dict(zip(ROWS, graph.own_names, strict=True))
        assert placed["left_hip"] == skeleton.keypoints[2]
        assert placed["nose"] == ""
        assert left_out(small_net(skeleton)) == ("chest",)

    def test_like_places_what_no_spelling_tells(self):
        names = ("a", "b", "c", "d")
        bodies = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
        like = tuple(zip(names, bodies, strict=True))
        skeleton = Skeleton("letters", names, (), names[:2], names[2:], like=like)
        assert known_rows(skeleton) == {23: 0, 24: 1, 11: 2, 12: 3}

    def test_own_roi_rows_become_rows_33_and_34(self):
        """An arm: no hips, but the net places its own crop."""
        names = ("R_Shoulder", "R_Elbow", "R_Wrist")
        arm = Skeleton("arm", names, (), names[1:2], names[:1])
        with pytest.raises(BlazePoseError, match="'arm' has no left_hip"):
            make_graph(small_net(arm))
        stored = small_net(arm.with_roi_points())
        images = crops(1)
        native = make_graph(stored, mediapipe=False).call(images)[0].reshape(5, 5)
        rows = make_graph(stored).call(images)[0].reshape(39, 5)
        np.testing.assert_allclose(rows[np.array([12, 14, 16, 33, 34])], native, rtol=1e-5)

    def test_a_set_without_any_of_the_33_has_no_task(self):
        paw = Skeleton("paw", ("toe", "heel pad"), (), ("toe",), ("heel pad",)).with_roi_points()
        with pytest.raises(BlazePoseError, match=r"'paw' has none of MediaPipe's 33 points.*like"):
            make_graph(small_net(paw))

    def test_the_litert_runtime_tracks_them(self, tmp_path):
        """A trained directory holds no .tflite: it is converted in memory."""
        networks = {
            "detector": drawn_weights("smoke_detector"),
            "pose": scattered_pose_net("smoke", LSP, side=128),
        }
        save_weights(tmp_path / "w", networks)
        settings = Settings(min_detection_confidence=0.0, min_presence_confidence=0.0)
        found = {}
        for runtime in ("jax", "litert"):
            tracker = Tracker(tmp_path / "w", settings=settings, runtime=runtime)
            found[runtime] = [tracker(np.uint8(255 * crops(1)[0])) for _ in range(2)]
        for ours, theirs in zip(found["jax"], found["litert"], strict=True):
            assert ours.present.tolist() == theirs.present.tolist() == [True]
            assert ours.keypoints.shape == (1, 14, 3)
            # A random detector's square is large: by what they span.
            close = 2e-3 * np.ptp(ours.keypoints)
            np.testing.assert_allclose(theirs.keypoints, ours.keypoints, atol=close)


def test_missing_heads_are_constants_of_the_right_shape(net):
    graph = make_graph(net)
    assert create_model("smoke", FOLDED, **net.arguments).sizes.drop_heatmap
    _, _, mask, heatmap, world = parity.run_tflite(
        to_tflite(graph, backend="litert"), graph, crops(1)
    )[0]
    assert mask.shape == (1, 64, 64, 1)  # its own
    np.testing.assert_array_equal(heatmap, np.full((1, 32, 32, 39), -10))
    np.testing.assert_array_equal(world, np.zeros((1, 117)))


def test_metadata_names_the_keypoints(exported):
    for graph, data in exported.values():
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.read("keypoints.txt").decode().split("\n")[:33] == list(
                BLAZEPOSE.keypoints
            )
        entries = flatbuffer.read(data).metadata
        assert [bytes(entry.name) for entry in entries].count(b"TFLITE_METADATA") == 1
        assert graph.keypoints == ROWS


@pytest.fixture(scope="module")
def files(net):
    """One small net in every precision."""
    graph = make_graph(net)
    data = flatbuffer.finish(jax2tf_backend.convert(graph), graph)
    images = crops(6)[:, None]
    return graph, {
        precision: quantize.quantize(data, precision, images) for precision in quantize.PRECISIONS
    }


class TestPrecision:
    def test_each_is_smaller_and_still_takes_and_gives_float32(self, files):
        _, data = files
        sizes = {precision: len(file) for precision, file in data.items()}
        assert sizes["float16"] < 0.8 * sizes["float32"]
        assert sizes["dynamic"] < sizes["float16"]
        for file in data.values():
            found = interpreter(file)
            assert {
                d["dtype"] for d in [*found.get_input_details(), *found.get_output_details()]
            } == {np.float32}
            flatbuffer.check_portable(flatbuffer.read(file))

    def test_int8_computes_in_int8(self, files):
        _, data = files
        kinds = Counter(
            t.type for t in flatbuffer.read(data["int8"]).subgraphs[0].tensors if len(t.shape) == 4
        )
        int8, float32 = load_schema().TensorType.INT8, load_schema().TensorType.FLOAT32
        assert kinds[int8] > kinds[float32]

    def test_errors_grow_as_bits_shrink(self, files, net):
        graph, data = files
        errors = {p: largest(graph, file, crops(4), net)["landmarks"] for p, file in data.items()}
        assert errors["float32"] < 1e-4
        assert errors["float32"] < errors["float16"] < errors["dynamic"]
        assert errors["float16"] < 0.01
        assert errors["int8"] < 0.2

    def test_corrected_biases_keep_the_mean(self, net):
        graph = make_graph(net)
        data = flatbuffer.finish(jax2tf_backend.convert(graph), graph)
        images = crops(6)
        plain = quantize.quantize(data, "dynamic")
        corrected = quantize.quantize(data, "dynamic", images[:, None])
        expected = np.stack(
            [out[0] for out in parity.run_jax(make_graph(net, convolution="auto"), images)]
        )
        bias = {
            name: (
                np.abs(
                    np.mean([out[0] for out in parity.run_tflite(file, graph, images)], 0)
                    - expected.mean(0)
                ).mean()
            )
            for name, file in (("plain", plain), ("corrected", corrected))
        }
        assert bias["corrected"] < 0.7 * bias["plain"]

    def test_convolutions_that_share_a_bias_are_corrected_apart(self, net, monkeypatch):
        """Converters store equal constants once; each keeps its own correction."""
        graph = make_graph(net)
        data = flatbuffer.finish(jax2tf_backend.convert(graph), graph)
        model = flatbuffer.read(data)
        names = flatbuffer.operator_names(model)
        places = [
            (int(op.inputs[2]), tuple(model.subgraphs[0].tensors[op.inputs[2]].shape))
            for name, op in zip(names, model.subgraphs[0].operators, strict=True)
            if name in quantize.CONVOLUTIONS
        ]
        # Two biases of one length, of which the second becomes the first.
        first, second = next(
            (a, b) for a, n in places for b, m in places if a < b and tuple(n) == tuple(m)
        )
        for op in model.subgraphs[0].operators:
            op.inputs = np.where(op.inputs == second, first, op.inputs).astype(np.int32)
        corrected = flatbuffer.read(
            quantize.correct_biases(flatbuffer.write(model), crops(2)[:, None])
        )
        found = [
            int(op.inputs[2])
            for name, op in zip(names, corrected.subgraphs[0].operators, strict=True)
            if name in quantize.CONVOLUTIONS
        ]
        assert len(set(found)) == len(found) == len(places)

    def test_bad_requests(self, exported):
        with pytest.raises(BlazePoseError, match="unknown precision 'int9': did you mean 'int8'"):
            quantize.quantize(exported["litert"][1], "int9")
        with pytest.raises(BlazePoseError, match="int8 needs the ranges of activations"):
            quantize.quantize(exported["litert"][1], "int8")


def test_a_pair_that_cannot_work_is_named(net):
    graph = make_graph(net)
    broken = dataclasses.replace(
        graph, outputs=("landmarks",), call=lambda x: (jax.lax.top_k(x.reshape(1, -1), 195)[0],)
    )
    if jax.__version_info__ < (0, 10, 1):
        pytest.skip("this jax writes what TensorFlow reads")
    pair = r"jax 0\.10\.2 with tensorflow 2\.21\.0"
    with pytest.raises(BlazePoseError, match=f"{pair}, or export with --backend litert"):
        jax2tf_backend.convert(broken)


def test_a_missing_converter_is_named_for_commands_without_backends(net, monkeypatch):
    remedy = r"pip install 'blazepose_jax\[export\]', or export with --backend "
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(BlazePoseError, match=f"{remedy}litert"):
        jax2tf_backend.convert(make_graph(net))
    monkeypatch.setitem(sys.modules, "litert_converter.mlir._mlir_libs.converter_api_ext", None)
    with pytest.raises(BlazePoseError, match=f"{remedy}jax2tf"):
        litert_backend.convert(make_graph(net))


@pytest.fixture(scope="module")
def weights(tmp_path_factory, net):
    directory = tmp_path_factory.mktemp("export") / "weights"
    save_weights(directory, {"detector": drawn_weights("detector"), "pose": net})
    return directory


class TestCommand:
    @staticmethod
    def export(weights, output, *words):
        return main(["export", "--weights", str(weights), "--output", str(output), *words])

    def test_task_report_and_runtime(self, weights, tmp_path, capsys):
        assert (
            self.export(
                weights,
                tmp_path / "x.task",
                "--backend",
                "litert",
                "--json",
                str(tmp_path / "x.json"),
            )
            == 0
        )
        printed = capsys.readouterr().out
        assert "against JAX on real crops" in printed
        assert "landmarks    mean" in printed
        found = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
        assert found["parts"]["pose"]["model"] == "smoke"
        assert all(
            row["mean"] <= row["allowed"]
            for part in found["parts"].values()
            for row in part["differences"]
        )
        assert not list(tmp_path.glob(".*"))
        tracker = Tracker(
            tmp_path / "x.task",
            runtime="litert",
            settings=Settings(min_detection_confidence=0.0, min_presence_confidence=0.0),
        )
        assert tracker(np.uint8(255 * crops(1)[0])).keypoints.shape == (1, 33, 3)

    def test_a_file_too_far_from_jax_is_kept_under_another_name(
        self, weights, tmp_path, capsys, monkeypatch
    ):
        strict = dataclasses.replace(
            quantize.PRECISIONS["float32"], tolerance_px=0.0, tolerance=0.0
        )
        monkeypatch.setitem(quantize.PRECISIONS, "float32", strict)
        assert self.export(weights, tmp_path / "x.tflite", "--backend", "litert") == 1
        assert "lies too far from JAX (landmarks: mean" in capsys.readouterr().err
        assert (tmp_path / "x.parity-failed.tflite").is_file()
        assert not (tmp_path / "x.tflite").exists()

    def test_parts_and_batches(self, weights, tmp_path):
        assert (
            self.export(weights, tmp_path / "d.tflite", "--part", "detector", "--backend", "litert")
            == 0
        )
        assert (
            self.export(weights, tmp_path / "p.tflite", "--batch", "3", "--backend", "litert") == 0
        )
        details = interpreter((tmp_path / "p.tflite").read_bytes())
        assert details.get_input_details()[0]["shape"].tolist() == [3, 128, 128, 3]
        assert details.get_output_details()[0]["shape"].tolist() == [3, 195]
        assert (
            interpreter((tmp_path / "d.tflite").read_bytes()).get_output_details()[0]["name"]
            == "boxes"
        )

    def test_onnx(self, weights, tmp_path):
        import onnxruntime

        assert (
            self.export(
                weights,
                tmp_path / "x.onnx",
                "--backend",
                "litert",
                "--json",
                str(tmp_path / "x.json"),
            )
            == 0
        )
        session = onnxruntime.InferenceSession(
            tmp_path / "x.onnx", providers=["CPUExecutionProvider"]
        )
        assert [out.name for out in session.get_outputs()] == [
            "landmarks",
            "presence",
            "mask",
            "heatmap",
            "world",
        ]
        rows = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["parts"]["pose"][
            "differences"
        ]
        assert all(row["mean"] <= row["allowed"] for row in rows)

    def test_saved_model(self, weights, tmp_path):
        assert self.export(weights, tmp_path / "saved", "--json", str(tmp_path / "saved.json")) == 0
        assert (tmp_path / "saved" / "saved_model.pb").is_file()
        assert json.loads((tmp_path / "saved.json").read_text(encoding="utf-8"))["parts"]["pose"][
            "differences"
        ]
        assert not list(tmp_path.glob(".*"))

    def test_help_describes_every_format_precision_and_backend(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "1000")
        with pytest.raises(SystemExit):
            main(["export", "--help"])
        text = " ".join(capsys.readouterr().out.split())
        for rows in (FORMATS, quantize.PRECISIONS, BACKENDS):
            for name, row in rows.items():
                assert name in text
                assert row.description in text

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["x.pb"], r"ends in '\.pb': known are \.tflite, \.task, \.onnx"),
            (["x.onnx", "--precision", "int8"], r"an \.onnx is float32"),
            (["x.task", "--batch", "2"], "MediaPipe gives a .task one image at a time"),
            (["x.tflite", "--batch", "0"], "batch is '0': it must be a whole number of at least 1"),
            (["x.tflite", "--batch", "two"], "batch is 'two'"),
            (["x.tflite", "--batch", "²"], "batch is '²'"),
            (["x.tflite", "--precision", "float8"], "unknown precision 'float8'"),
            (["x.tflite", "--backend", "onnx"], "unknown backend 'onnx'"),
            (["x.tflite", "--part", "poes"], "unknown part 'poes': did you mean 'pose'"),
            (["x.task", "--part", "pose"], "a .task holds both networks"),
            (["x.tflite", "--precision", "int8"], "give --calibration DIR"),
            (["saved", "--precision", "float16"], "a SavedModel is float32"),
            (["nowhere/x.tflite"], "folder that does not exist"),
            (["x.tflite", "--calibration", "nobody"], "nobody"),
        ],
    )
    def test_bad_input(self, weights, tmp_path, capsys, words, message, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert self.export(weights, *words) == 2
        printed = capsys.readouterr().err
        assert len(printed.splitlines()) == 1
        assert re.search(message, printed), printed
        assert not list(tmp_path.iterdir())

    def test_output_that_is_a_folder(self, weights, tmp_path, capsys):
        (tmp_path / "x.task").mkdir()
        assert self.export(weights, tmp_path / "x.task") == 2
        assert "is a folder: name a file" in capsys.readouterr().err
        (tmp_path / "saved").mkdir()
        assert self.export(weights, tmp_path / "saved") == 2
        assert "a SavedModel is a new folder" in capsys.readouterr().err

    def test_weights_without_a_detector(self, weights, tmp_path, capsys, net):
        save_weights(tmp_path / "alone", {"pose": net})
        assert self.export(tmp_path / "alone", tmp_path / "x.task") == 2
        assert (
            "holds no detector: a .task needs both networks; give one with --detector W"
            in capsys.readouterr().err
        )

    def test_a_detector_that_mediapipe_cannot_use(self, tmp_path, capsys, net):
        save_weights(tmp_path / "old", {"detector": drawn_weights("paper_detector"), "pose": net})
        assert self.export(tmp_path / "old", tmp_path / "x.task", "--backend", "litert") == 2
        assert (
            "128 px and 896 anchors: MediaPipe hard-wires 224 px and 2254 anchors"
            in capsys.readouterr().err
        )

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--images", "/nonexist"), "where the pictures of --calibration DIR lie: give that"),
            (("--part", "detector", "--decode", "heatmap"), "is of pose nets, and this is a"),
        ],
    )
    def test_options_that_nothing_reads(self, weights, tmp_path, capsys, words, message):
        assert self.export(weights, tmp_path / "x.tflite", *words) == 2
        assert message in capsys.readouterr().err

    def test_a_report_in_the_place_of_the_model(self, weights, tmp_path, capsys):
        path = str(tmp_path / "sm")
        assert self.export(weights, path, "--json", path) == 2
        assert "and --json are the same" in capsys.readouterr().err

    def test_a_detector_sees_whole_photographs_of_anything(self, tmp_path):
        """Of animals, say: no keypoint places a square in them."""
        rows = [
            {"id": i, "image_id": 0, "category_id": 1, "keypoints": [9, 9, 2, 30, 30, 2]}
            for i in (1, 2)
        ]
        folder = write_folder(tmp_path / "data", rows)
        path = folder / "annotations.json"
        file = json.loads(path.read_text(encoding="utf-8"))
        file["categories"] = [{"id": 1, "name": "dog", "keypoints": ["snout", "tail"]}]
        for marks in ({"eval_ok": False}, {}):  # which is of scores of single people
            file["annotations"] = [{**row, **marks} for row in rows]
            path.write_text(json.dumps(file), encoding="utf-8")
            found = calibration.read_calibration_set(str(folder), None)
            assert len(found.images) == len(found.judged) == 1  # the photograph once
        with pytest.raises(BlazePoseError, match="has no keypoint"):
            calibration.read_calibration_set(str(folder), BLAZEPOSE)

    def test_calibration_without_people(self, weights, tmp_path, capsys):
        rows = np.where(np.arange(51) < 15, standing().reshape(-1), 0).tolist()
        folder = write_folder(tmp_path / "data", [{**person(1), "keypoints": rows}])
        assert self.export(weights, tmp_path / "x.tflite", "--calibration", str(folder)) == 2
        assert "labelled" in capsys.readouterr().err
        assert not (tmp_path / "x.tflite").exists()


@pytest.mark.parametrize(
    ("output", "precision"),
    [
        *(("x.tflite", precision) for precision in quantize.PRECISIONS),
        ("x.task", "int8"),
        *(
            pytest.param("x.task", precision, marks=pytest.mark.long)
            for precision in quantize.PRECISIONS
            if precision != "int8"
        ),
    ],
)
def test_own_names_are_calibrated_in_every_precision(tmp_path, capsys, output, precision):
    """The data are COCO's names, the net has names of its own."""
    net = scattered_pose_net("smoke", respelled("{Part}.{s}").with_roi_points(), side=128)
    save_weights(tmp_path / "w", {"detector": drawn_weights("detector"), "pose": net})
    folder = write_folder(
        tmp_path / "data",
        [{**person(i), "image_id": i % 2} for i in range(1, 5)],
        ("a.jpg", "b.jpg"),
    )
    words = ["--weights", tmp_path / "w", "--output", tmp_path / output, "--precision", precision]
    words += ["--calibration", folder, "--backend", "litert"]
    assert main(["export", *map(str, words)]) == 0
    printed = capsys.readouterr().out
    assert ("MediaPipe has no row for chest: left out" in printed) == (output == "x.task")
    assert ("where float32 in JAX has" in printed) == (precision != "float32")
    assert (tmp_path / output).is_file()


def test_reduced_precision_reports_what_it_costs(tmp_path, capsys):
    """Real people: half of them calibrate, half of them are measured."""
    weights, people = tmp_path / "lite", tmp_path / "people"
    source = shared("data", "coco_dev")
    data = json.loads((source / "annotations.json").read_text(encoding="utf-8"))
    data["annotations"] = [row for row in data["annotations"] if row["eval_ok"]][:40]
    people.mkdir()
    (people / "images").symlink_to(source / "images")
    (people / "annotations.json").write_text(json.dumps(data), encoding="utf-8")
    from blazepose_jax.weights import import_weights

    import_weights([shared("models", GOOGLE["lite"])], weights)
    assert (
        main(
            [
                "export",
                "--weights",
                str(weights),
                "--output",
                str(tmp_path / "x.tflite"),
                "--precision",
                "int8",
                "--backend",
                "litert",
                "--calibration",
                str(people),
                "--json",
                str(tmp_path / "x.json"),
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "where float32 in JAX has" in printed
    drop = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["pck@0.2"]
    assert drop["people"] > 10
    assert drop["drop"] <= 1.0 + 2 * drop["standard_error"]
    assert 0 < drop["standard_error"] < 3
    assert read_stored(weights).keys() == {"pose"}


def test_a_graph_that_computes_the_roi_is_not_imported(tmp_path):
    """The network in it does not know where to look next; the file does."""
    points = Skeleton(
        "few",
        ("left_shoulder", "right_shoulder", "left_hip", "right_hip"),
        (),
        center=("left_hip", "right_hip"),
        up=("left_shoulder", "right_shoulder"),
    )
    net = scattered_pose_net("lite", points)
    graph = make_graph(net)
    assert "" in graph.own_names[33:35]
    data = metadata.describe(
        to_tflite(graph, backend=default_backend(), precision="float32"), graph
    )
    with pytest.raises(BlazePoseError, match="computes the points of the next ROI"):
        import_files({"few.tflite": data})
