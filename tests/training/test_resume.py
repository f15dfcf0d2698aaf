"""Going on: what a started run takes, and what it refuses by name."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from blazepose_jax.cli.main import main
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.training import loop
from blazepose_jax.training.best import Best
from blazepose_jax.training.config import Config, OptimizerConfig, override
from blazepose_jax.training.initialise import Start
from blazepose_jax.training.log import MetricLog
from blazepose_jax.training.resume import FREE, as_json, changed_fields, flatten


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


def test_a_run_that_died_before_its_first_checkpoint_starts_from_its_weights(
    records, tmp_path, random_weights, capsys, monkeypatch
):
    """With --init or without: the workdir knows what it was to start from."""

    def die(*_):
        raise BlazePoseError("killed before the first step")

    monkeypatch.setattr(loop, "run_steps", die)
    command = ["train", "smoke", "--workdir", str(tmp_path), f"data.records={records}"]
    for words in (["--init", str(random_weights)], []):
        assert main([*command, *words]) == 2
        said, error = capsys.readouterr()
        assert "took over all but" in said
        assert "killed before the first step" in error


class StubTrainer:
    """Thirty steps in no time."""

    def __init__(self):
        optimizer = OptimizerConfig(steps=30, batch_size=1)
        self.config = Config(optimizer=optimizer, validate_every=10, checkpoint_every=10)
        self.start, self.task, self.held_out, self.learn = Start(), self, [1], None
        self.measured: list[int] = []

    def batch(self, step):
        return None

    def step(self, state, batch, step):
        return state + 1, {"loss": np.float32(1), "gradient_norm": np.float32(1)}

    def validate(self, state):
        self.measured.append(state)
        return {"pck@0.2": 50.0}

    def score(self, rates):
        return rates["pck@0.2"]

    def export(self, state, directory):
        pass


def steps_of(trainer, workdir, first, stop_at=None):
    workdir.mkdir(exist_ok=True)
    log = MetricLog(workdir, first, 30, 1, 99)
    checkpoints = SimpleNamespace(save=lambda *_: None)
    asked = itertools.count(first + 1)
    best = Best(workdir)
    loop.run_steps(
        trainer, first, first, checkpoints, log, workdir, lambda: next(asked) == stop_at, best
    )
    log.close()


def test_a_validation_that_a_stop_has_cost_is_made_up_for(tmp_path):
    whole, stopped = StubTrainer(), StubTrainer()
    steps_of(whole, tmp_path / "a", 0)
    steps_of(stopped, tmp_path / "b", 0, stop_at=20)
    assert stopped.measured == [10]
    steps_of(stopped, tmp_path / "b", 20)
    assert stopped.measured == whole.measured == [10, 20, 30]
    # Killed while it measured the last step.
    rows = (tmp_path / "b" / "metrics.jsonl").read_text().splitlines()
    kept = [row for row in rows if json.loads(row)["step"] < 30]
    (tmp_path / "b" / "metrics.jsonl").write_text("".join(f"{row}\n" for row in kept))
    steps_of(stopped, tmp_path / "b", 30)
    steps_of(stopped, tmp_path / "b", 30)
    assert stopped.measured == [10, 20, 30, 30]


def test_weights_of_others_and_of_a_run_without_checkpoints_stay(tmp_path):
    loop.check_weights(tmp_path, 0)
    (tmp_path / "weights").mkdir()
    with pytest.raises(BlazePoseError, match="is of no run in"):
        loop.check_weights(tmp_path, 0)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BlazePoseError, match="the weights of the last step and no checkpoint"):
        loop.check_weights(tmp_path, 0)  # nobody was held out
    Best(tmp_path).keep(0, 10.0)
    loop.check_weights(tmp_path, 0)
    Best(tmp_path).keep(480, 80.0)
    loop.check_weights(tmp_path, 480)
    with pytest.raises(BlazePoseError, match="the weights of step 480 and no checkpoint"):
        loop.check_weights(tmp_path, 0)
