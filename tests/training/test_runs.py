"""Whole runs of ``blazepose train``, as processes that can be killed, and how they go on."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROOT, fails

from blazepose_jax.cli.main import main
from blazepose_jax.data.rendered import RenderedScenes
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference import Settings
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.training.resume import flatten
from blazepose_jax.training.run_control import locked
from blazepose_jax.weights import load_weights


def smoke(records, workdir, *words, env=None, stderr=subprocess.STDOUT):
    command = [
        sys.executable,
        "-m",
        "blazepose_jax.cli",
        "train",
        "smoke",
        "--workdir",
        str(workdir),
        f"data.records={records}",
        *words,
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
    )


def saved_steps(workdir):
    """Steps of complete checkpoints; one being written has a longer name."""
    return [int(p.name) for p in Path(workdir, "checkpoints").glob("*") if p.name.isdigit()]


def final_tensors(workdir):
    """Of the best weights, and of the last ones where they are others."""
    from safetensors.numpy import load_file

    files = [workdir / folder / "pose.safetensors" for folder in ("weights", "last")]
    return {
        f"{file.parent.name}/{name}": value
        for file in files
        if file.exists()
        for name, value in load_file(file).items()
    }


@pytest.fixture(scope="module")
def whole(records, tmp_path_factory):
    """A run from its first step to its last.

    All runs here but a few share its compiled step: the same optimizer.
    """
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    run = smoke(records, workdir, "log_every=1")
    log, _ = run.communicate(timeout=600)
    assert run.returncode == 0, log
    return workdir


def same_tensors(a, b):
    expected, found = final_tensors(a), final_tensors(b)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def wait_for_checkpoint(run, workdir, after=0):
    deadline = time.monotonic() + 500
    while not any(step > after for step in saved_steps(workdir)):
        assert time.monotonic() < deadline
        assert run.poll() is None, run.communicate()[0]
        time.sleep(0.02)


def test_a_run_learns_and_leaves_its_files(whole):
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    learned = [row for row in rows if row["kind"] == "train"]
    assert [row["step"] for row in learned] == list(range(1, 31))
    assert learned[-1]["loss"] < 0.8 * learned[0]["loss"]
    assert {"weights", "checkpoints", "curves.png", "report.html", "config.json"} <= {
        p.name for p in whole.iterdir()
    }
    assert any(file.name.startswith("events") for file in (whole / "tensorboard").iterdir())
    weights = load_weights(whole / "weights")
    assert weights.pose.skeleton == BLAZEPOSE
    assert weights.pose.side == 128


@pytest.mark.long
def test_an_own_keypoint_set_trains_and_tracks(records, tmp_path):
    """Seven points under names of their own: a skeleton file, no code."""
    from helpers import random_variables

    from blazepose_jax.inference.tracker import Tracker
    from blazepose_jax.models import LayerConfig, create_model
    from blazepose_jax.weights import save_weights
    from blazepose_jax.weights.directory import StoredNetwork

    keypoints = [
        "nose",
        "left_shoulder",
        "right_shoulder",
        "left_hip",
        "right_hip",
        "left_ankle",
        "right_ankle",
    ]
    skeleton = {
        "name": "seven",
        "keypoints": keypoints,
        "bones": [["left_hip", "left_ankle"]],
        "center": ["left_hip", "right_hip"],
        "up": ["left_shoulder", "right_shoulder"],
    }
    (tmp_path / "seven.json").write_text(json.dumps(skeleton))
    assert (
        main(
            [
                "data",
                "prepare",
                "coco_keypoints",
                "--source",
                str(records.parent / "data"),
                "--skeleton",
                str(tmp_path / "seven.json"),
                "--output",
                str(tmp_path / "records"),
            ]
        )
        == 0
    )
    run = smoke(tmp_path / "records", tmp_path / "run", "optimizer.steps=4", "checkpoint_every=4")
    log, _ = run.communicate(timeout=600)
    assert run.returncode == 0, log
    detector = create_model("paper_detector", LayerConfig(convolution="xla"))
    variables = random_variables(detector, jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32))
    save_weights(
        tmp_path / "d",
        {"detector": StoredNetwork("paper_detector", "batch", variables, {}, "", "")},
    )
    settings = Settings(min_detection_confidence=0.0, min_presence_confidence=0.0)
    tracker = Tracker(tmp_path / "run" / "weights", tmp_path / "d", settings=settings)
    assert tracker.skeleton.keypoints == tuple(keypoints)
    for _ in range(2):
        poses = tracker(np.full((90, 120, 3), 80, np.uint8))
    assert poses.keypoints.shape == (1, 7, 3)


def test_interrupted_killed_and_damaged_runs_resume_to_the_same_bits(whole, records, tmp_path):
    """What a cluster sends before it kills, and kill -9; the lock dies with the process.

    A damaged newest checkpoint is put aside, and costs no more than its steps: the run goes on from
    the one before it, past its step, to the same end. A cut log line, too.
    """
    workdir = tmp_path / "run"
    for number in (signal.SIGTERM, signal.SIGKILL):
        # Newer than what the run before has left, or this one might not have begun.
        last = max(saved_steps(workdir), default=0)
        run = smoke(records, workdir, "checkpoint_every=3", "validate_every=99", "log_every=1")
        wait_for_checkpoint(run, workdir, after=last)
        with pytest.raises(BlazePoseError, match="in use by another run"), locked(workdir):
            pass
        run.send_signal(number)
        log, _ = run.communicate(timeout=300)
        if number == signal.SIGKILL:
            assert run.returncode == -number, log
        else:
            assert run.returncode == 0, log
            assert "the same command goes on from there" in log
        assert any(file.stat().st_size > 100 for file in (workdir / "tensorboard").iterdir())
        with locked(workdir):
            pass
    *_, before, newest = sorted(saved_steps(workdir))
    for file in (workdir / "checkpoints" / str(newest)).rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 25, "kind": "tra')
    run = smoke(records, workdir, f"checkpoint_every={newest}", "log_every=1")
    log, _ = run.communicate(timeout=300)
    assert run.returncode == 0, log
    assert f"checkpoint {newest} cannot be read" in log
    assert f"steps {before} to 30" in log
    assert (workdir / f"damaged-checkpoint-{newest}").is_dir()
    assert max(saved_steps(workdir)) == 30
    same_tensors(whole, workdir)


def test_a_loss_that_is_not_finite_keeps_the_state_before_it_and_the_batch(
    records, tmp_path, capsys
):
    """A record whose ROI is nearly a point; no checkpoint is written."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(records, tmp_path / "records")
    labels = load_file(tmp_path / "records" / "labels.safetensors")
    labels["side"][labels["id"] == 7] = 1e-38
    save_file(labels, tmp_path / "records" / "labels.safetensors")
    words = [f"data.records={tmp_path / 'records'}", "data.held_out=0"]
    assert main(["train", "smoke", "--workdir", str(tmp_path / "run"), *words]) == 2
    said = capsys.readouterr().err
    assert "lower optimizer.learning_rate" in said
    assert "with the pictures of your records" in said
    assert "Traceback" not in said
    (failure,) = (tmp_path / "run").glob("failure-*")
    number = int(failure.name.removeprefix("failure-"))
    assert 7 in json.loads((failure / "batch.json").read_text())["ids"]
    assert not saved_steps(tmp_path / "run")
    state, batch = np.load(failure / "state.npz"), np.load(failure / "batch.npz")
    assert state[".step"] == number - 1
    assert all(np.isfinite(state[name]).all() for name in state.files)
    assert batch[".pixels"].shape == (8, 320, 320, 3)
    assert (batch[".ids"] == 7).any()


def command(records, workdir, *words):
    return ["train", "smoke", "--workdir", str(workdir), f"data.records={records}", *words]


@pytest.fixture
def run(whole, tmp_path):
    """A copy of a whole run, to go on with."""
    return shutil.copytree(whole, tmp_path / "run")


def test_every_changed_field_is_named_with_both_values(records, run, capsys):
    before = (run / "config.json").read_bytes()
    words = (
        "seed=7",
        "loss.heatmap=0.5",
        "optimizer.batch_size=4",
        "optimizer.learning_rate=1e-4",
        "augment.flip=0.0",
        "data.held_out=2",
        "model.bfloat16=True",
        "detector.boxes=2.0",
        "teacher.heatmap=2.0",
    )
    old = flatten(json.loads(before))
    line = fails(capsys, *command(records, run, *words))
    for word in words:
        name, value = word.split("=")
        shown = json.dumps(json.loads(value.lower()))
        assert f"{name} {json.dumps(old[name])} -> {shown}" in line
    assert "--allow-changes" in line
    assert "--workdir" in line
    assert (run / "config.json").read_bytes() == before
    assert not (run / "changes.jsonl").exists()


def test_allowed_changes_are_printed_and_written_down(records, run, capsys):
    shutil.rmtree(run / "checkpoints" / "30")
    words = ("seed=7", "data.people=65")
    fails(capsys, *command(records, run, *words))
    assert main(command(records, run, "--allow-changes", *words)) == 0
    said = capsys.readouterr().out
    changes = {"data.people": [64, 65], "seed": [0, 7]}
    assert "after step 20 with changes: data.people 64 -> 65, seed 0 -> 7" in said
    assert "steps 20 to 30" in said
    rows = [json.loads(line) for line in (run / "changes.jsonl").read_text().splitlines()]
    assert rows == [{"step": 20, "changes": changes}]
    assert flatten(json.loads((run / "config.json").read_text()))["seed"] == 7
    # It is what the run goes on with from now on.
    assert main(command(records, run, *words)) == 0
    assert "with changes" not in capsys.readouterr().out


def test_what_changes_no_result_may_change(records, run, capsys):
    words = ("log_every=1", "validate_every=7", "checkpoint_every=3", "quick_compile=False")
    assert main(command(records, run, *words)) == 0
    assert "with changes" not in capsys.readouterr().out


def test_init_does_not_meet_a_started_run(records, run, random_weights, capsys):
    line = fails(capsys, *command(records, run, "--init", random_weights, "--allow-changes"))
    assert "leave --init out" in line
    assert "new --workdir" in line


def test_fewer_steps_than_were_done_are_refused(records, run, capsys):
    line = fails(capsys, *command(records, run, "optimizer.steps=1", "--allow-changes"))
    assert "optimizer.steps is 1" in line
    assert "has done 30" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model.name=demo",), "trains 'smoke', this experiment 'demo'"),
        (("model.heads=('heatmap',)",), "is of another network (params/"),
        (("optimizer.rule=sgd",), "has another optimizer's state"),
    ],
)
def test_another_network_is_one_line(records, run, capsys, words, message):
    """Also where changes are allowed."""
    arguments = command(records, run, "--allow-changes", *words)
    before = (run / "config.json").read_bytes()
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert (run / "config.json").read_bytes() == before


@pytest.mark.long
def test_streams_resume_to_the_same_bits_too(records, tmp_path):
    words = ("data.reader=grain", "checkpoint_every=4", "validate_every=99")
    whole = smoke(records, tmp_path / "whole", *words)
    log, _ = whole.communicate(timeout=600)
    assert whole.returncode == 0, log
    killed = smoke(records, tmp_path / "killed", *words)
    wait_for_checkpoint(killed, tmp_path / "killed")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    again = smoke(records, tmp_path / "killed", *words)
    log, _ = again.communicate(timeout=600)
    assert again.returncode == 0, log
    assert "steps 0 to" not in log
    same_tensors(tmp_path / "whole", tmp_path / "killed")


PLAIN = (
    "optimizer.rule=sgd",
    "optimizer.learning_rate=0.01",
    "optimizer.ema_decay=0.0",
    "optimizer.steps=10",
    "checkpoint_every=99",
    "validate_every=99",
    "log_every=1",
)


@pytest.fixture(scope="module")
def one(records, tmp_path_factory):
    """Ten steps of SGD on one device."""
    workdir = tmp_path_factory.mktemp("runs") / "one"
    log, _ = (run := smoke(records, workdir, *PLAIN)).communicate(timeout=600)
    assert run.returncode == 0, log
    return workdir


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("four devices", marks=pytest.mark.long),
        pytest.param("two processes", marks=pytest.mark.long),
    ],
)
def test_devices_and_processes_do_not_matter(one, records, tmp_path, name):
    """The same ten steps on several: the same parameters."""
    if name == "four devices":
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
        runs = [smoke(records, tmp_path / "many", *PLAIN, env={"XLA_FLAGS": flags})]
    else:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        many = ("--coordinator", address, "--processes", "2", "--process")
        runs = [smoke(records, tmp_path / "many", *PLAIN, *many, str(i)) for i in range(2)]
    for process in runs:
        log, _ = process.communicate(timeout=600)
        assert process.returncode == 0, log
    expected, found = final_tensors(one), final_tensors(tmp_path / "many")
    for tensor, value in expected.items():
        np.testing.assert_allclose(found[tensor], value, atol=1e-5, err_msg=tensor)
    rows, others = (
        [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()][:10]
        for workdir in (one, tmp_path / "many")
    )
    for mine, theirs in zip(rows, others, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert mine["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-4)


@pytest.mark.long
def test_processes_stop_and_die_together(records, tmp_path):
    """SIGTERM to one of two saves in both; where one is killed the other ends, with one line."""

    def start():
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        many = ("--coordinator", address, "--processes", "2", "--process")
        words = (*PLAIN[:3], "optimizer.steps=10000", "checkpoint_every=1", "validate_every=99999")
        return [
            smoke(records, workdir, *words, *many, str(i), stderr=subprocess.PIPE) for i in range(2)
        ]

    workdir = tmp_path / "run"
    runs = start()
    wait_for_checkpoint(runs[0], workdir)
    runs[1].send_signal(signal.SIGTERM)
    said = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert "the same command goes on from there" in said[0][0]
    last = max(saved_steps(workdir))
    assert f"step {last} is saved" in said[0][0]
    runs = start()
    wait_for_checkpoint(runs[0], workdir, after=last)
    runs[1].kill()
    _, line = runs[0].communicate(timeout=60)
    assert runs[0].returncode == 1
    assert "process 0 of 2 has lost the others" in line
    assert line.count("\n") == 1
    runs[1].communicate()


def test_a_detector_trains_and_fits_the_pipeline(tmp_path, monkeypatch):
    """On rendered scenes, through the same step; what it writes tracks."""
    # Rendering takes longer than learning: the same scenes, rendered once.
    take, kept = RenderedScenes.take, {}

    def take_once(source, rows):
        key = (source.seed, *rows.tolist())
        kept[key] = kept[key] if key in kept else take(source, rows)
        return kept[key]

    monkeypatch.setattr(RenderedScenes, "take", take_once)
    command = [
        "train",
        "detector",
        "--workdir",
        str(tmp_path / "run"),
        "model.name=smoke_detector",
        "data.size=160",
        "data.people=8",
        "data.held_out=8",
        "optimizer.steps=24",
        "optimizer.batch_size=8",
        "log_every=4",
        "checkpoint_every=24",
        "validate_every=24",
    ]
    assert main(command) == 0
    rows = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    learned = [row for row in rows if row["kind"] == "train"]
    # Every step draws its own augmentation, so the whole loss is noisy; these two fall steadily.
    for name in ("boxes", "score"):
        assert learned[-1][name] < 0.9 * learned[0][name]
    assert set(rows[-1]) == {"step", "kind", "recall", "precision", "first"}
    assert load_weights(tmp_path / "run" / "weights").detector.side == 128


FULL_DISK = """
import sys
from pathlib import Path
import jax
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.training.checkpoints import Checkpoints

checkpoints = Checkpoints(Path(sys.argv[1]))
checkpoints.save(1, {"a": jax.numpy.zeros(3)})
try:
    checkpoints.save(2, {"a": jax.random.normal(jax.random.key(0), 10**6)})
except BlazePoseError as error:
    print(error)
print(checkpoints.steps())
checkpoints.close()
"""


def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before(tmp_path):
    """The system refuses files over a size, as it refuses any on a full disk."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 150; exec "$@"', "bash", *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        # Compiled programs are files, too.
        env={**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"},
    )
    assert done.returncode == 0, done.stderr
    line, steps = done.stdout.splitlines()
    assert line.startswith("checkpoint 2 could not be written")
    assert "make room" in line
    assert steps == "[1]"
    assert [path.name for path in tmp_path.iterdir() if path.name.isdigit()] == ["1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--processes", "2"), "need a coordinator's HOST:PORT"),
        (("data.reader=grian",), "did you mean 'grain'"),
        (("data.rendered=2.0",), "a share, from 0 to 1"),
        (("data.rendered=0.01",), "data.rendered is 0.01, which is 0 of the"),
        (("data.trusted=0.01",), "data.trusted is 0.01, which is 0 of the"),
        (("model.convolution=tflite",), "unknown model.convolution 'tflite'"),
        (("model.norm=frosen",), "did you mean 'frozen'"),
        (("optimizer.rule=adam",), "did you mean 'adamw'"),
        (("model.name=smoke_detector",), "learns from scenes"),
        (("--init", "gone"), "do not exist"),
        (("validate_every=0",), "validate_every is 0: it must be 1 or more"),
        (("optimizer.batch_size=-8",), "optimizer.batch_size is -8: it must be 1 or more"),
        (("seed=-1",), "seed is -1: it must be from 0 to"),
        (("optimizer.groups=(('backbone',0.1))",), "pairs of a name and a value"),
        (("teacher.weights=gone",), "do not exist"),
    ],
)
def test_bad_runs_say_what_is_wrong(records, tmp_path, capsys, words, message):
    assert (
        main(["train", "smoke", "--workdir", str(tmp_path), f"data.records={records}", *words]) == 2
    )
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "weights").exists()
