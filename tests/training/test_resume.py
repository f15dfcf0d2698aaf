"""Going on: what a started run takes, and what it refuses by name."""

import json

import pytest

from blazepose_jax.cli.main import main
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.training import loop
from blazepose_jax.training.config import Config, override
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
