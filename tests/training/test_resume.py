"""Going on: what a started run takes, and what it refuses by name."""

import json
import shutil

import pytest
from helpers import fails

from blazepose_jax.cli.main import main
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.training.config import Config, override
from blazepose_jax.training.resume import FREE, as_json, changed_fields, flatten


@pytest.fixture(scope="module")
def started(records, tmp_path_factory):
    """A run of two steps."""
    workdir = tmp_path_factory.mktemp("resume") / "run"
    assert main(command(records, workdir)) == 0
    return workdir


def command(records, workdir, *words):
    return [
        "train",
        "smoke",
        "--workdir",
        str(workdir),
        f"data.records={records}",
        "optimizer.steps=2",
        "checkpoint_every=1",
        *words,
    ]


@pytest.fixture
def run(started, tmp_path):
    """A copy of it, to go on with."""
    return shutil.copytree(started, tmp_path / "run")


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
    words = ("optimizer.steps=3", "seed=7")
    fails(capsys, *command(records, run, *words))
    assert main(command(records, run, "--allow-changes", *words)) == 0
    said = capsys.readouterr().out
    changes = {"optimizer.steps": [2, 3], "seed": [0, 7]}
    assert "after step 2 with changes: optimizer.steps 2 -> 3, seed 0 -> 7" in said
    assert "steps 2 to 3" in said
    rows = [json.loads(line) for line in (run / "changes.jsonl").read_text().splitlines()]
    assert rows == [{"step": 2, "changes": changes}]
    assert flatten(json.loads((run / "config.json").read_text()))["seed"] == 7
    # It is what the run goes on with from now on.
    assert main(command(records, run, *words)) == 0
    assert "with changes" not in capsys.readouterr().out


def test_what_changes_no_result_may_change(records, run, capsys):
    words = ("log_every=1", "validate_every=7", "checkpoint_every=3", "quick_compile=False")
    assert main(command(records, run, *words)) == 0
    assert "with changes" not in capsys.readouterr().out


def test_a_config_of_another_version_is_compared_as_far_as_it_goes(tmp_path):
    """Fields that it lacks have their defaults, others are nobody's."""
    path = tmp_path / "config.json"
    recorded = as_json(Config(seed=3))
    del recorded["optimizer"]["accumulate"], recorded["detector"]
    recorded["loss"]["sharpness"] = 1.5
    recorded["schedule"] = {"kind": "step"}
    path.write_text(json.dumps(recorded))
    assert changed_fields(path, Config(seed=3)) == {}
    config = override(Config(seed=3), ["optimizer.accumulate=2", "loss.heatmap=9.0"])
    assert changed_fields(path, config) == {
        "optimizer.accumulate": (1, 2),
        "loss.heatmap": (Config().loss.heatmap, 9.0),
    }
    assert changed_fields(tmp_path / "gone.json", config) == {}
    path.write_text("[1, 2]")
    with pytest.raises(BlazePoseError, match="holds no config"):
        changed_fields(path, config)


def test_every_field_but_the_free_ones_is_compared(tmp_path):
    """Each field of the config is changed by itself."""
    path = tmp_path / "config.json"
    fields = flatten(as_json(Config()))
    for name, value in fields.items():
        tree = as_json(Config())
        node = tree
        *folders, last = name.split(".")
        for folder in folders:
            node = node[folder]
        node[last] = "something else"
        path.write_text(json.dumps(tree))
        expected = {} if name in FREE else {name: ("something else", value)}
        assert changed_fields(path, Config()) == expected
    assert set(FREE) < set(fields)


def test_init_does_not_meet_a_started_run(records, run, random_weights, capsys):
    line = fails(capsys, *command(records, run, "--init", random_weights, "--allow-changes"))
    assert "leave --init out" in line
    assert "new --workdir" in line


def test_a_run_that_died_before_its_first_checkpoint_starts_from_its_weights(
    records, tmp_path, random_weights, capsys
):
    """With --init or without: the workdir knows what it was to start from."""
    words = ("optimizer.steps=1", "--init", str(random_weights))
    assert main(command(records, tmp_path, *words)) == 0
    shutil.rmtree(tmp_path / "checkpoints")
    capsys.readouterr()
    assert main(command(records, tmp_path, "optimizer.steps=1")) == 0
    assert "took over all but" in capsys.readouterr().out


def test_fewer_steps_than_were_done_are_refused(records, run, capsys):
    line = fails(capsys, *command(records, run, "optimizer.steps=1", "--allow-changes"))
    assert "optimizer.steps is 1" in line
    assert "has done 2" in line


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
