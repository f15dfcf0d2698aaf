"""Damaged weights, archives and checkpoints; requests that nobody should send."""

import io
import json
import shutil
import socket
import struct
import threading
import time
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from blazepose_jax.cli.web import host_of, make_server
from blazepose_jax.data.jpeg import decode_jpeg
from blazepose_jax.data.lsp import unpack
from blazepose_jax.data.matlab import read_matrix
from blazepose_jax.data.resident import read_records
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.tensors import parse_tensors
from blazepose_jax.models import create_model
from blazepose_jax.weights import load_weights, read_stored, save_weights
from blazepose_jax.weights.archive import read_wheel
from blazepose_jax.weights.tflite import load_schema
from blazepose_jax.weights.tflite_check import check_tflite


@pytest.fixture
def weights(random_weights, tmp_path):
    shutil.copytree(random_weights, tmp_path / "w")
    return tmp_path / "w"


def rewrite(weights, change):
    tensors = load_file(weights / "pose.safetensors")
    change(tensors)
    save_file(tensors, weights / "pose.safetensors")


class TestWeights:
    def test_a_flipped_bit_is_noticed(self, weights):
        data = bytearray((weights / "pose.safetensors").read_bytes())
        data[-40] ^= 1
        (weights / "pose.safetensors").write_bytes(data)
        with pytest.raises(BlazePoseError, match=r"its sha256 is not that of model\.json"):
            load_weights(weights)

    def test_so_is_one_of_the_tflite(self, released, tmp_path):
        shutil.copytree(released, tmp_path / "w")
        data = bytearray((tmp_path / "w" / "pose.tflite").read_bytes())
        data[len(data) // 2] ^= 1
        (tmp_path / "w" / "pose.tflite").write_bytes(data)
        with pytest.raises(BlazePoseError, match=r"pose\.tflite is damaged .its sha256"):
            read_stored(tmp_path / "w")

    def test_a_network_of_nan_is_refused(self):
        from helpers import shared

        schema = load_schema()
        data = shared("models", "pose_landmark_lite.tflite").read_bytes()
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        kernel = max(
            (t for t in model.subgraphs[0].tensors if t.type == 1 and t.sparsity is None),
            key=lambda t: len(t.shape),
        )
        values = np.frombuffer(bytes(model.buffers[kernel.buffer].data), np.float16).copy()
        values[0] = np.nan
        model.buffers[kernel.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
        from blazepose_jax.export import flatbuffer

        with pytest.raises(BlazePoseError, match="NaN or infinite values in the constant"):
            check_tflite(flatbuffer.write(model), "x", schema)

    def test_no_import_and_no_run_writes_over_what_it_reads(self, weights, capsys):
        from blazepose_jax.cli.main import main

        (weights / "pose.tflite").write_bytes(b"x")
        assert main(["import", str(weights / "pose.tflite"), "--output", str(weights)]) == 2
        assert "which would be lost" in capsys.readouterr().err
        shutil.copytree(weights, weights.parent / "run" / "weights")
        for words in (
            ["--init", str(weights.parent / "run" / "weights")],
            [f"teacher.weights={weights.parent / 'run' / 'weights'}"],
        ):
            assert main(["train", "smoke", "--workdir", str(weights.parent / "run"), *words]) == 2
            assert "is where this run writes its own weights" in capsys.readouterr().err

    def test_directories_without_checksums_are_still_read(self, weights):
        described = json.loads((weights / "model.json").read_text())
        for entry in described["networks"].values():
            del entry["sha256"]
        (weights / "model.json").write_text(json.dumps(described))
        assert load_weights(weights).pose is not None

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (np.nan, "NaN or infinite values in '{name}'"),
            (np.inf, "NaN or infinite values in '{name}'"),
            ("int32", "'{name}' of type int32"),
            ("float64", "'{name}' of type float64"),
        ],
    )
    def test_tensors_that_are_no_weights_are_named(self, weights, value, message):
        name = "params/heads/landmarks/bias"

        def change(tensors):
            assert name in tensors
            if isinstance(value, str):
                tensors[name] = tensors[name].astype(value)
            else:
                tensors[name][0] = value

        rewrite(weights, change)
        with pytest.raises(BlazePoseError, match=message.format(name=name)):
            load_weights(weights)

    def test_a_name_that_stands_there_twice(self):
        entry = '"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
        header = f"{{{entry}, {entry}}}".encode()
        with pytest.raises(ValueError, match="'a' stands there twice"):
            parse_tensors(struct.pack("<Q", len(header)) + header + bytes(4))

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("file", "../elsewhere.safetensors", "must be a file in the same folder"),
            ("tflite", "/etc/hostname", "same folder"),
            ("file", "a\nb", "same folder"),
            ("model", 7, "not text"),
            ("arguments", [1], "arguments are list"),
            ("arguments", {"side": 0}, "cannot have side 0"),
            ("arguments", {"side": "128"}, "cannot have side '128'"),
            ("arguments", {"keypoints": 10**9}, "cannot have keypoints"),
            ("arguments", {"fields": ["x"]}, "x and y among"),
            ("arguments", {"colour": 1}, "no argument 'colour'"),
            ("skeleton", {"name": "x"}, "lacks the field"),
            ("skeleton", None, "must be an object"),
            ("form", "gas", "knows no such network"),
        ],
    )
    def test_descriptions_are_checked_field_by_field(self, weights, field, value, message):
        described = json.loads((weights / "model.json").read_text())
        described["networks"]["pose"][field] = value
        (weights / "model.json").write_text(json.dumps(described))
        with pytest.raises(BlazePoseError, match=message):
            read_stored(weights)

    def test_an_import_over_an_old_directory_is_whole_at_any_time(self, weights, random_weights):
        nets = read_stored(random_weights)
        save_weights(weights, nets)
        assert read_stored(weights).keys() == nets.keys()
        assert [path.name for path in weights.parent.iterdir()] == ["w"]

    def test_arguments_of_networks(self):
        with pytest.raises(BlazePoseError, match="96 or a multiple of 64"):
            create_model("smoke", side=160)


class TestArchives:
    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_methods_that_unpack_without_bounds_are_refused(self, tmp_path, method):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
            archive.writestr("joints.mat", bytes(10_000))
            archive.writestr(
                "mediapipe/modules/pose_detection/pose_detection.tflite", bytes(10_000)
            )
        for read in (read_wheel, lambda path: unpack(path, tmp_path / "out")):
            with pytest.raises(BlazePoseError, match="bounded memory"):
                read(tmp_path / "a.zip")

    def test_lsp_unpacks_pictures_alone_and_no_more_than_there_can_be(self, tmp_path, monkeypatch):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in (
                "lsp/joints.mat",
                "lsp/images/im0001.jpg",
                "lsp/../../evil.jpg",
                "lsp/tool.exe",
            ):
                archive.writestr(name, bytes(1000))
        folder = unpack(tmp_path / "a.zip", tmp_path / "out")
        assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
            "images/evil.jpg",
            "images/im0001.jpg",
            "joints.mat",
        ]
        monkeypatch.setattr("blazepose_jax.data.lsp.MAX_UNPACKED", 2000)
        with pytest.raises(BlazePoseError, match="unpacks to more than 2000 bytes"):
            unpack(tmp_path / "a.zip", tmp_path / "out2")

    def test_arrays_of_matlab_are_those_of_scipy(self):
        from scipy.io import loadmat, savemat

        for packed in (False, True):
            for array in (
                np.random.default_rng(0).random((3, 14, 5)),
                np.arange(24).reshape(2, 3, 4),
                np.ones((14, 3, 2), np.uint8),
            ):
                buffer = io.BytesIO()
                savemat(buffer, {"first": 1, "joints": array, "text": "x"}, do_compression=packed)
                np.testing.assert_array_equal(read_matrix(buffer.getvalue(), "joints"), array)
                np.testing.assert_array_equal(
                    loadmat(io.BytesIO(buffer.getvalue()))["joints"], array
                )


class TestRecords:
    def test_pictures_of_records_are_jpegs_of_their_size(self, records, tmp_path):
        from PIL import Image

        for form, size in (("PNG", 320), ("JPEG", 64)):
            shutil.copytree(records, tmp_path / form)
            buffer = io.BytesIO()
            Image.new("RGB", (size, size)).save(buffer, form)
            labels = load_file(tmp_path / form / "labels.safetensors")
            data = (tmp_path / form / "images.bin").read_bytes()
            (tmp_path / form / "images.bin").write_bytes(
                buffer.getvalue() + data[int(labels["length"][0]) :]
            )
            labels["length"][0] = len(buffer.getvalue())
            save_file(labels, tmp_path / form / "labels.safetensors")
            with pytest.raises(BlazePoseError, match=r"is damaged \(record 0"):
                read_records(tmp_path / form)
        with pytest.raises(BlazePoseError, match="picture is damaged"):
            decode_jpeg(b"%!PS-Adobe-3.0 EPSF-3.0\n")

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("flags", lambda a: a + 97, "flags other than"),
            ("side", lambda a: a * np.nan, "NaN"),
            ("weight", lambda a: -a, "negative weight"),
            ("group", lambda a: np.stack([a, a], 1), "has the shape"),
            ("angle", lambda a: a.astype(np.int32), "has the type"),
            ("keypoints", lambda a: a[:, :5], "has the shape"),
        ],
    )
    def test_labels_are_checked(self, records, tmp_path, name, value, message):
        shutil.copytree(records, tmp_path / "r")
        labels = load_file(tmp_path / "r" / "labels.safetensors")
        labels[name] = np.ascontiguousarray(value(labels[name]))
        save_file(labels, tmp_path / "r" / "labels.safetensors")
        with pytest.raises(BlazePoseError, match=message):
            read_records(tmp_path / "r")


def shared_graphs(count):
    """A .tflite of ``count`` offsets to one subgraph of as many offsets to one tensor."""
    import flatbuffers

    schema = load_schema()
    builder = flatbuffers.Builder(0)
    schema.TensorStart(builder)
    tensor = schema.TensorEnd(builder)
    schema.SubGraphStartTensorsVector(builder, count)
    for _ in range(count):
        builder.PrependUOffsetTRelative(tensor)
    tensors = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graph = schema.SubGraphEnd(builder)
    schema.ModelStartSubgraphsVector(builder, count)
    for _ in range(count):
        builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_lists_that_are_shared_cost_no_more_than_they_are():
    began = time.process_time()  # of this process alone, whatever runs beside it
    with pytest.raises(BlazePoseError, match="600 graphs instead of one"):
        check_tflite(shared_graphs(600), "x", load_schema())
    assert time.process_time() - began < 5


class TestWeb:
    @pytest.fixture
    def ask(self):
        server = make_server(b"model", None, 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def ask(request):
            with socket.create_connection(server.server_address, timeout=10) as connection:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while block := connection.recv(65536):
                    answer += block
                return answer

        yield ask
        server.shutdown()
        server.server_close()

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("localhost", 200),
            ("localhost:8000", 200),
            ("127.0.0.1:1", 200),
            ("[::1]:80", 200),
            ("LOCALHOST", 200),
            ("evil.example", 403),
            ("localhost.evil.example", 403),
            ("", 403),
            ("127.0.0.1.nip.io", 403),
        ],
    )
    def test_it_answers_to_local_names_alone(self, ask, host, status):
        answer = ask(
            f"GET /model.task HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        assert answer.startswith(f"HTTP/1.0 {status}".encode())
        assert (b"model" in answer.partition(b"\r\n\r\n")[2]) == (status == 200)

    @pytest.mark.parametrize(
        "path",
        [
            "/%00",
            "/" + "a" * 5000,
            "/../../setup.py",
            "/vision/../../../setup.py",
            "//[::1",
            "/image",
            "/\\..\\x",
            "http://[::/",
        ],
    )
    def test_strange_requests_are_answered_quietly(self, ask, path, capfd):
        answer = ask(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        assert answer[9:12] in (b"404", b"400", b"414"), answer[:80]
        assert "Traceback" not in capfd.readouterr().err

    def test_hosts(self):
        assert host_of(" LocalHost:80 ") == "localhost"
        assert host_of("[::1]:80") == "[::1]"
