"""Networks, objectives and heads of an experiment file, from training to export."""

import hashlib
import json
import os
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROOT, fails, person, random_variables, write_folder
from PIL import Image

from blazepose_jax.cli.main import main
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.calibration import CalibrationSet
from blazepose_jax.export.exported import export_onnx, export_saved_model
from blazepose_jax.export.mediapipe_rows import ROWS, has_mediapipe_rows, to_mediapipe_rows
from blazepose_jax.export.page import page_path
from blazepose_jax.models import FIELDS, MODELS, LayerConfig, create_model
from blazepose_jax.skeleton import COCO
from blazepose_jax.structs import ROI
from blazepose_jax.training.experiments import read_own_parts
from blazepose_jax.training.initialise import find
from blazepose_jax.weights import (
    ExperimentFile,
    StoredNetwork,
    load_weights,
    read_stored,
    save_weights,
)
from blazepose_jax.weights.own import own_networks, run_file

# The page's own example, so that it runs as it stands there.
EXAMPLE = re.search(
    r'```python title="contact.py"\n(.*?)```',
    (ROOT / "docs" / "training.md").read_text(encoding="utf-8"),
    re.DOTALL,
).group(1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The example after three steps: its file, and the weights."""
    folder = tmp_path_factory.mktemp("own")
    file = folder / "contact.py"
    file.write_text(EXAMPLE, encoding="utf-8")
    words = ["optimizer.steps=3", "data.people=16", "data.held_out=4", "quick_compile=True"]
    words += ["log_every=1", "validate_every=3"]
    assert main(["train", str(file), "--workdir", str(folder / "run"), *words]) == 0
    return file, folder / "run" / "weights"


@pytest.fixture
def photo(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (90, 80, 3), np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_weights_refer_to_the_file_and_hold_no_code(trained):
    file, weights = trained
    entry = json.loads((weights / "model.json").read_text())["networks"]["pose"]
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert entry["experiment"] == {"file": "contact.py", "sha256": sha256}
    assert entry["arguments"]["width"] == 8
    assert {path.name for path in weights.iterdir()} == {"model.json", "pose.safetensors"}
    lines = (weights.parent / "metrics.jsonl").read_text().splitlines()
    assert np.isfinite([json.loads(line)["contact"] for line in lines if "contact" in line]).all()
    assert any("contact" in line for line in lines)


def test_own_weights_track_and_evaluate(trained, photo, tmp_path, capsys):
    file, weights = trained
    out = tmp_path / "points.json"
    words = ["--weights", str(weights), "--experiment", str(file)]
    track = ["track", str(photo), *words, "--roi", "whole", "--json", str(out)]
    assert main([*track, "--min-presence-confidence", "0", "--search", "none"]) == 0
    frame = json.loads(out.read_text())["frames"][0]
    assert len(frame["people"][0]["keypoints"]) == 33
    data = write_folder(tmp_path / "people", [person(1), person(2)])
    assert main(["evaluate", *words, "--data", str(data)]) == 0
    assert "contact, decode peaks" in capsys.readouterr().out


def test_own_head_is_an_output_of_the_tflite(trained, tmp_path):
    pytest.importorskip("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    file, weights = trained
    out = tmp_path / "contact.tflite"
    words = ["--weights", str(weights), "--experiment", str(file)]
    assert main(["export", *words, "--decode", "regression", "--output", str(out)]) == 0
    assert "`contact` | 1 x 39 |" in page_path(out).read_text()
    crop = np.random.default_rng(1).uniform(size=(1, 64, 64, 3)).astype(np.float32)
    interpreter = Interpreter(model_path=str(out))
    run = interpreter.get_signature_runner("serving_default")
    found = run(image=crop)
    outputs = load_weights(weights, experiment=file).pose(crop)
    assert outputs.contact.shape == (1, 39)
    np.testing.assert_allclose(found["contact"], outputs.contact, atol=1e-4)
    np.testing.assert_allclose(found["landmarks"], outputs.landmarks.reshape(1, -1), atol=1e-2)


@pytest.mark.parametrize("form", ["onnx", "SavedModel"])
def test_every_format_has_the_own_head(trained, tmp_path, form):
    """MediaPipe's layout, which has no place for it, is not chosen."""
    pytest.importorskip("tf2onnx" if form == "onnx" else "tensorflow")
    file, weights = trained
    net = read_stored(weights, experiment=file)["pose"]
    assert not has_mediapipe_rows(net)
    square = ROI(np.array([32.0, 32]), np.float32(64), np.float32(0))
    photograph = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    calibration = CalibrationSet([(photograph, square)], [(photograph, square)], None)
    if form == "onnx":
        found = export_onnx(net, calibration, batch=1, backend="litert")
    else:
        found = export_saved_model(net, tmp_path / "saved", calibration, batch=1)
    assert "contact" in found.graph.outputs
    assert "contact" in [row.output for row in found.differences]
    assert found.failures == []


def test_own_weights_run_in_litert(trained, photo, tmp_path):
    pytest.importorskip("ai_edge_litert")
    file, weights = trained
    out = tmp_path / "points.json"
    words = ["--weights", str(weights), "--experiment", str(file), "--runtime", "litert"]
    assert main(["track", str(photo), *words, "--roi", "whole", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["frames"]


def test_no_code_runs_unasked(trained, photo, tmp_path, capsys):
    _, weights = trained
    track = ["track", str(photo), "--roi", "whole", "--weights", str(weights)]
    error = fails(capsys, *track)
    assert "'contact', a network of the experiment file 'contact.py'" in error
    assert "--experiment path/to/contact.py" in error
    error = fails(capsys, *track, "--experiment", tmp_path / "none.py")
    assert "cannot be read (No such file or directory): give the path" in error
    assert "give both" in fails(capsys, *track, "--changed-experiment")
    # Another file: refused before it is run.
    other = tmp_path / "contact.py"
    mark = tmp_path / "ran"
    other.write_text(f"{EXAMPLE}\nopen({str(mark)!r}, 'w').close()\n", encoding="utf-8")
    error = fails(capsys, *track, "--experiment", other)
    assert "is not the file that" in error
    assert "--changed-experiment" in error
    assert not mark.exists()
    loaded = load_weights(weights, experiment=ExperimentFile(other, any_version=True))
    assert mark.exists()
    assert loaded.name == "contact"


def test_a_changed_file_still_needs_the_network(trained, tmp_path, capsys):
    _, weights = trained
    other = tmp_path / "other.py"
    other.write_text(EXAMPLE.replace('"contact": ModelSpec', '"contacts": ModelSpec'))
    with pytest.raises(BlazePoseError, match=r"no network 'contact'.*did you mean 'contacts'"):
        load_weights(weights, experiment=ExperimentFile(other, any_version=True))
    other.write_text(EXAMPLE.replace('name="contact"', 'name="touch"'))
    with pytest.raises(BlazePoseError, match="lacks the tensor 'params/touch/bias'"):
        load_weights(weights, experiment=ExperimentFile(other, any_version=True))


def test_a_run_starts_from_own_weights_of_an_older_file(trained, tmp_path):
    _, weights = trained
    newer = tmp_path / "contact.py"
    newer.write_text(f"{EXAMPLE}\n# The loss has changed since.\n")
    own = read_own_parts(str(newer))
    assert find(str(weights), "pose", own.file).spec == own.networks["contact"].spec
    with pytest.raises(BlazePoseError, match="'contac': did you mean 'contact'"):
        own.network("contac")


def test_names_of_the_zoo_are_taken(tmp_path, capsys):
    file = tmp_path / "lite.py"
    file.write_text(EXAMPLE.replace('"contact": ModelSpec', '"lite": ModelSpec'))
    error = fails(capsys, "train", file, "--workdir", tmp_path / "run")
    assert "names a network 'lite', which the package has" in error


def test_mistakes_in_a_file_are_one_line(tmp_path, capsys):
    file = tmp_path / "wrong.py"
    train = ("train", file, "--workdir", tmp_path / "run")
    file.write_text("x = 1\nimport nothing_of_this_name\n")
    assert "fails in line 2 (ModuleNotFoundError" in fails(capsys, *train)
    file.write_text("x = 1\ndef broken(:\n")
    assert "fails in line 2 (SyntaxError" in fails(capsys, *train)
    file.write_text(f"{EXAMPLE}\nMODELS = [1]\n")
    assert "must be a dict of names to models.ModelSpec" in fails(capsys, *train)
    file.write_text(f"{EXAMPLE}\nOBJECTIVE = 'mine'\n")
    assert "must be a function" in fails(capsys, *train)
    file.write_text("def get_config():\n    return 1 / 0\n")
    assert "fails in line 2 (ZeroDivisionError" in fails(capsys, *train)
    file.write_text("import sys\nsys.exit(3)\n")
    assert "fails in line 2 (SystemExit" in fails(capsys, *train)


def test_an_objective_must_take_what_it_is_given(tmp_path):
    file = tmp_path / "loss.py"
    file.write_text("def OBJECTIVE(apply, variables, batch, key, *, skeleton): ...\n")
    from blazepose_jax.training import pose_objective

    own = read_own_parts(str(file))
    with pytest.raises(BlazePoseError, match="as pose_objective does"):
        own.objective_for(pose_objective)
    assert read_own_parts("smoke").objective_for(pose_objective) is pose_objective


def test_the_same_file_runs_once(tmp_path):
    file = tmp_path / "once.py"
    file.write_text(EXAMPLE)
    assert run_file(file) is run_file(file)
    assert "contact" not in MODELS
    first = own_networks(file)["contact"].spec
    assert own_networks(file)["contact"].spec == first


def test_what_is_run_is_what_was_read(tmp_path, monkeypatch):
    """Python's compiled modules know a file by its time and length alone."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "cache"))
    file = tmp_path / "width.py"
    for width in (16, 32):
        file.write_text(f"width = {width}\n")
        os.utime(file, (1e9, 1e9))
        assert run_file(file).width == width


def own_network(folder, text=EXAMPLE, keypoints=39, skeleton=None):
    """The example with drawn parameters, as weights directories store it."""
    file = folder / "drawn.py"
    file.write_text(text)
    own = own_networks(file)["contact"]
    arguments = {"keypoints": keypoints, "fields": FIELDS, "heads": (), "side": 64}
    model = create_model(own.spec, LayerConfig(), **arguments)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    variables = random_variables(model, images)
    return file, StoredNetwork("contact", "batch", variables, arguments, "", "", skeleton, own=own)


def test_own_rows_move_to_those_of_mediapipe(tmp_path):
    count = len(COCO.keypoints) + len(COCO.auxiliary)
    net = own_network(tmp_path, keypoints=count, skeleton=COCO)[1].folded()
    assert net.norm == "folded"
    moved = to_mediapipe_rows(net)
    crop = np.random.default_rng(1).uniform(size=(1, 64, 64, 3)).astype(np.float32)
    config = LayerConfig("folded")
    old, new = (
        create_model(n.spec, config, **n.arguments).apply(n.variables, crop, train=False)
        for n in (net, moved)
    )
    for i, name in enumerate(COCO.keypoints):
        np.testing.assert_allclose(
            new.landmarks[0, ROWS.index(name)], old.landmarks[0, i], rtol=1e-5, atol=1e-4
        )


def test_own_batch_normalisation_stays(tmp_path):
    text = EXAMPLE.replace(
        "maps.append(x)", "maps.append(nn.BatchNorm(use_running_average=not train)(x))"
    )
    file, net = own_network(tmp_path, text)
    assert net.folded().norm == "batch"
    save_weights(tmp_path / "w", {"pose": net})
    crop = np.random.default_rng(1).uniform(size=(1, 64, 64, 3)).astype(np.float32)
    model = create_model(net.spec, LayerConfig(), **net.arguments)
    expected = model.apply(net.variables, crop, train=False)
    found = load_weights(tmp_path / "w", experiment=file).pose(crop)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, rtol=1e-4, atol=1e-3)


def test_arguments_are_checked_when_the_file_is_known(tmp_path):
    file, net = own_network(tmp_path)
    save_weights(tmp_path / "w", {"pose": net})
    place = tmp_path / "w" / "model.json"
    description = json.loads(place.read_text())
    description["networks"]["pose"]["arguments"]["depth"] = 3
    place.write_text(json.dumps(description))
    with pytest.raises(BlazePoseError, match=r"no argument 'depth': known are.*width"):
        read_stored(tmp_path / "w", experiment=file)
    description["networks"]["pose"]["experiment"] = {"file": "../x.py", "sha256": "0" * 64}
    place.write_text(json.dumps(description))
    with pytest.raises(BlazePoseError, match=r"is damaged .*not a file and its sha256"):
        read_stored(tmp_path / "w", experiment=file)
