import io
import json
import shutil
import struct
import types
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_variables, shared
from safetensors.numpy import load_file, save_file

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.bundle import task_bytes
from blazepose_jax.export.metadata import add_normalization
from blazepose_jax.models import LayerConfig, create_model
from blazepose_jax.skeleton import COCO, LSP, Skeleton
from blazepose_jax.weights import import_weights, load_weights, read_stored, save_weights
from blazepose_jax.weights.directory import StoredNetwork, hashable
from blazepose_jax.weights.tflite import densify, read_tflite

ARGUMENTS = {
    "keypoints": 17,
    "fields": ("x", "y", "visibility"),
    "heads": ("heatmap",),
    "side": 128,
}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A weights directory with an own keypoint set, batch normalisation and no detector."""
    directory = tmp_path_factory.mktemp("own") / "weights"
    model = create_model("smoke", LayerConfig(convolution="xla"), **ARGUMENTS)
    variables = random_variables(model, jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32))
    save_weights(
        directory,
        {"pose": StoredNetwork("smoke", "batch", variables, ARGUMENTS, "test", "none", COCO)},
    )
    return directory


def test_round_trip_keeps_every_bit_and_folds_for_inference(own):
    stored = read_stored(own)["pose"]
    model = create_model("smoke", LayerConfig(convolution="xla"), **ARGUMENTS)
    variables = random_variables(model, jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32))
    jax.tree.map(np.testing.assert_array_equal, stored.variables, variables)
    assert stored.norm == "batch"
    loaded = load_weights(own)
    assert loaded.detector is None
    assert loaded.pose.skeleton == COCO
    assert loaded.pose.fields == ("x", "y", "visibility")
    images = jax.random.uniform(jax.random.key(0), (1, 128, 128, 3))
    expected = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images)
    found = jax.jit(lambda n, x: n(x))(loaded.pose, images)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, rtol=1e-3, atol=1e-2)


def test_loading_twice_gives_networks_that_compile_once(own):
    first, second = (load_weights(own).pose for _ in range(2))
    assert jax.tree.structure(first) == jax.tree.structure(second)
    assert hash(first.apply) == hash(second.apply)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda t: t.pop("params/heads/heatmap/bias"),
            "lacks the tensor 'params/heads/heatmap/bias'",
        ),
        (
            lambda t: t.update({"params/extra": np.zeros(3, np.float32)}),
            "has the unknown tensor 'params/extra'",
        ),
        (
            lambda t: t.update({"params/heads/heatmap/bias": np.zeros(3, np.float32)}),
            r"'params/heads/heatmap/bias' with shape \(3,\), the network needs \(17,\)",
        ),
    ],
)
def test_tensors_are_refused_by_name(own, tmp_path, damage, message):
    tensors = load_file(own / "pose.safetensors")
    damage(tensors)
    (tmp_path / "model.json").write_bytes((own / "model.json").read_bytes())
    save_file(tensors, tmp_path / "pose.safetensors")
    with pytest.raises(BlazePoseError, match=message):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        ("{}", "format None"),
        ('{"format": "blazepose_jax weights 1"}', "damaged"),
        (
            json.dumps(
                {
                    "format": "blazepose_jax weights 1",
                    "networks": {"pose": {"model": "detector", "form": "batch"}},
                }
            ),
            "knows no such network",
        ),
    ],
)
def test_damaged_descriptions(tmp_path, text, message):
    (tmp_path / "model.json").write_text(text, encoding="utf-8")
    with pytest.raises(BlazePoseError, match=message):
        load_weights(tmp_path)


def test_damaged_tensors_missing_paths_and_missing_detector(own, tmp_path):
    (tmp_path / "model.json").write_bytes((own / "model.json").read_bytes())
    (tmp_path / "pose.safetensors").write_bytes((own / "pose.safetensors").read_bytes()[:1000])
    with pytest.raises(BlazePoseError, match="cannot be read"):
        load_weights(tmp_path)
    with pytest.raises(BlazePoseError, match="do not exist"):
        load_weights(tmp_path / "nowhere")
    with pytest.raises(BlazePoseError, match=r"no model\.json"):
        load_weights(tmp_path.parent)
    with pytest.raises(BlazePoseError, match="holds no detector"):
        load_weights(own, detector=own)


def test_saving_replaces_weights_but_nothing_else(own, tmp_path):
    stored = read_stored(own)
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(BlazePoseError, match="no weights directory"):
        save_weights(tmp_path, stored)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    target = tmp_path / "new"
    save_weights(target, stored)
    save_weights(target, stored)
    assert sorted(p.name for p in target.iterdir()) == ["model.json", "pose.safetensors"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "thesis.txt"]


def test_skeleton_survives_json_and_checks_itself():
    for skeleton in (COCO, LSP):
        assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton
    data = LSP.to_dict()
    with pytest.raises(BlazePoseError, match="unknown field 'colour'"):
        Skeleton.from_dict({**data, "colour": 1})
    with pytest.raises(BlazePoseError, match="lacks the field 'up'"):
        Skeleton.from_dict({k: v for k, v in data.items() if k != "up"})
    with pytest.raises(BlazePoseError, match="'tail'"):
        Skeleton("cat", ("nose",), (("nose", "tail"),), ("nose",), ("nose",))
    assert [LSP.keypoints[i] for i in LSP.flip[:3]] == ["left_ankle", "left_knee", "left_hip"]


def test_densify_block_sparse():
    # A 4x4 matrix in 1x2 blocks, rows dense, block columns compressed; the format of the released
    # detector.
    dense = np.zeros((4, 4), np.float32)
    dense[0, 2:4], dense[2, 0:2], dense[2, 2:4] = [1, 2], [3, 4], [5, 6]

    def level(kind, size=0, segments=(), indices=()):
        return types.SimpleNamespace(
            format=kind,
            denseSize=size,
            arraySegments=types.SimpleNamespace(values=segments),
            arrayIndices=types.SimpleNamespace(values=indices),
        )

    sparsity = types.SimpleNamespace(
        traversalOrder=[0, 1, 2],
        blockMap=[1],
        dimMetadata=[level(0, 4), level(1, 0, [0, 1, 1, 3, 3], [1, 0, 1]), level(0, 2)],
    )
    np.testing.assert_array_equal(
        densify(np.array([1, 2, 3, 4, 5, 6], np.float32), sparsity, (4, 4)), dense
    )


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


GOOD_NAMES = {"pose_detector.tflite": b"x" * 99, "pose_landmarks_detector.tflite": b"y" * 99}


@pytest.mark.parametrize(
    ("members", "compression", "message"),
    [
        (GOOD_NAMES, zipfile.ZIP_DEFLATED, "is compressed"),
        (
            {"pose_detector.tflite": b"x"},
            zipfile.ZIP_STORED,
            "lacks pose_landmarks_detector.tflite",
        ),
        ({**GOOD_NAMES, "../evil": b"x"}, zipfile.ZIP_STORED, r"unsafe name '\.\./evil'"),
        (GOOD_NAMES, zipfile.ZIP_STORED, r"is no \.tflite file"),
    ],
)
def test_bad_bundles(tmp_path, members, compression, message):
    write_zip(tmp_path / "bad.task", members, compression)
    with pytest.raises(BlazePoseError, match=message):
        import_weights([tmp_path / "bad.task"], tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["bad.task"]


def test_bundle_that_declares_a_huge_size(tmp_path):
    path = tmp_path / "huge.task"
    write_zip(path, GOOD_NAMES)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 4_000_000_000)
    path.write_bytes(data)
    with pytest.raises(BlazePoseError, match="declares 4000000000 bytes"):
        load_weights(path)


def test_sources_that_are_none(tmp_path):
    (tmp_path / "noise.task").write_bytes(b"not a zip")
    (tmp_path / "weights.h5").write_bytes(b"x")
    for source, message in [
        ("noise.task", "no readable zip"),
        ("weights.h5", "ends in '.h5'"),
        ("gone", "is no file"),
    ]:
        with pytest.raises(BlazePoseError, match=message):
            import_weights([tmp_path / source], tmp_path / "out")
    write_zip(
        tmp_path / "mediapipe-1.2.2-py3-none-any.whl",
        {"mediapipe/__init__.py": b""},
        zipfile.ZIP_DEFLATED,
    )
    with pytest.raises(BlazePoseError, match=r"ship no models; give mediapipe==0\.10\.21"):
        import_weights([tmp_path / "mediapipe-1.2.2-py3-none-any.whl"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


class TestReleasedFiles:
    def test_wheel_task_and_files_give_the_same_weights(self, released, tmp_path):
        files = ("pose_detection.tflite", "pose_landmark_full.tflite")
        detector, full = (shared("models", name).read_bytes() for name in files)
        write_zip(
            tmp_path / "mediapipe-0.10.21-cp311-any.whl",
            {
                "mediapipe/modules/pose_detection/pose_detection.tflite": detector,
                "mediapipe/modules/pose_landmark/pose_landmark_full.tflite": full,
            },
            zipfile.ZIP_DEFLATED,
        )
        (tmp_path / "pose.task").write_bytes(
            task_bytes(
                add_normalization(detector, 127.5, 127.5), add_normalization(full, 0.0, 255.0)
            )
        )
        expected = read_stored(released)
        for source in ("mediapipe-0.10.21-cp311-any.whl", "pose.task"):
            import_weights([tmp_path / source], tmp_path / "out")
            for kind, net in read_stored(tmp_path / "out").items():
                jax.tree.map(np.testing.assert_array_equal, net.variables, expected[kind].variables)
                assert net.model == expected[kind].model

    def test_bundle_is_stored_aligned_and_has_metadata(self):
        data = shared("models", "pose_detection.tflite").read_bytes()
        bundle = task_bytes(add_normalization(data, 127.5, 127.5), data)
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            for info in archive.infolist():
                name, extra = struct.unpack(
                    "<HH", bundle[info.header_offset + 26 : info.header_offset + 30]
                )
                assert (info.header_offset + 30 + name + extra) % 4 == 0
                assert info.compress_type == zipfile.ZIP_STORED
        assert b"TFLITE_METADATA" in bundle
        assert b"M001" in bundle

    def test_truncated_and_foreign_tflite_files(self, tmp_path):
        data = shared("models", "pose_landmark_lite.tflite").read_bytes()
        for cut in (10, 1000, len(data) // 2, len(data) - 3000):
            with pytest.raises(BlazePoseError, match=r"damaged|is no"):
                read_tflite(data[:cut], "cut.tflite")
        lite = tmp_path / "lite.tflite"
        lite.write_bytes(data)
        with pytest.raises(BlazePoseError, match="second pose net"):
            import_weights([lite, shared("models", "pose_landmark_full.tflite")], tmp_path / "out")


def test_what_lies_beside_the_networks_stays(random_weights, tmp_path):
    shutil.copytree(random_weights, tmp_path / "w")
    (tmp_path / "w" / "pose.task").write_bytes(b"mine")
    (tmp_path / "w" / "notes").mkdir()
    (tmp_path / "w" / "notes" / "a.txt").write_text("mine, too")
    networks = read_stored(tmp_path / "w")
    save_weights(tmp_path / "w", {"pose": networks["pose"]})
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == [
        "model.json",
        "notes",
        "pose.safetensors",
        "pose.task",
    ]
    assert (tmp_path / "w" / "notes" / "a.txt").read_text() == "mine, too"


def test_files_of_one_name_are_two_files(tmp_path):
    sources = []
    for name in ("pose_detection.tflite", "pose_landmark_lite.tflite"):
        folder = tmp_path / name.removesuffix(".tflite")
        folder.mkdir()
        sources.append(folder / "1.tflite")
        shutil.copy(shared("models", name), sources[-1])
    assert set(import_weights(sources, tmp_path / "w")) == {"detector", "pose"}
    # A part of them would remove the other.
    with pytest.raises(BlazePoseError, match="holds a detector net that is not among the files"):
        import_weights(sources[1:], tmp_path / "w")
    assert set(import_weights(sources, tmp_path / "w")) == {"detector", "pose"}


def test_an_import_writes_over_no_trained_net(own, tmp_path):
    shutil.copytree(own, tmp_path / "w")
    with pytest.raises(BlazePoseError, match="holds a pose net that is trained and would be lost"):
        import_weights([shared("models", "pose_landmark_lite.tflite")], tmp_path / "w")
    assert read_stored(tmp_path / "w")["pose"].tflite is None


def test_arguments_are_tuples_again_however_deep():
    entry = json.loads(json.dumps({"stages": ((1, 8), (2, (16,))), "side": 64}))
    found = {name: hashable(value) for name, value in entry.items()}
    assert found == {"stages": ((1, 8), (2, (16,))), "side": 64}
    hash(tuple(found.items()))
