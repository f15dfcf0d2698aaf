"""Going on: the config of a started run against the one that it would go on with."""

import dataclasses
import json
from pathlib import Path

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import write_text
from blazepose_jax.io.json_files import Json, read_json, read_json_lines
from blazepose_jax.training.config import Config

NAME, CHANGES = "config.json", "changes.jsonl"
# They change what a run tells, how often it saves and how it is compiled; ``sizes`` was applied.
FREE = ("log_every", "validate_every", "checkpoint_every", "quick_compile", "sizes")
# Characters of a value in a message.
SHOWN = 60


def check_resumed(
    workdir: Path, config: Config, done: int, *, init: str | None = None, allow_changes: bool
) -> dict[str, tuple[Json, Json]]:
    """Refuse to go on as another experiment.

    Nothing is written, so that the config of the run stays what it was.

    Args:
      workdir: of the run.
      config: to go on with.
      done: steps of the newest checkpoint; 0 where there is none, and nothing to compare.
      init: weights to start from, or None.
      allow_changes: go on with other fields all the same.

    Returns:
      {field: (old, new)} of what is allowed to change.

    Raises:
      BlazePoseError: ``init`` for a started run, fewer steps than were done, another network, or
        changed fields that are not allowed.
    """
    if not done:
        return {}
    if init is not None:
        raise BlazePoseError(
            f"--init {init}: the run in {workdir} has done {done} steps, and would not start from"
            " these weights: leave --init out to go on, or name a new --workdir"
        )
    if config.optimizer.steps < done:
        raise BlazePoseError(
            f"optimizer.steps is {config.optimizer.steps}, the run in {workdir} has done {done}:"
            " give at least as many, or name a new --workdir"
        )
    changes = changed_fields(workdir / NAME, config)
    if "model.name" in changes:
        old, new = changes["model.name"]
        raise BlazePoseError(
            f"the run in {workdir} trains {old!r}, this experiment {new!r}: another network needs"
            " a new --workdir"
        )
    if changes and not allow_changes:
        raise BlazePoseError(
            f"the run in {workdir} began with another config ({describe(changes)}): give the old"
            " values, name a new --workdir, or go on with the new ones by --allow-changes"
        )
    return changes


def changed_fields(path: Path, config: Config) -> dict[str, tuple[Json, Json]]:
    """{field: (old, new)} of what a run's config.json and a config disagree on.

    A field that the file lacks is an older version's, which did what is now the default; one that
    only the file has says nothing to this version.

    Args:
      path: of config.json; where there is none nothing is compared.
      config: to go on with.

    Raises:
      BlazePoseError: a damaged file.
    """
    if not path.is_file():
        return {}
    recorded = read_json(path)
    if not isinstance(recorded, dict):
        raise BlazePoseError(
            f"{path} holds no config: restore it, remove it to go on without a comparison, or name"
            " a new --workdir"
        )
    old = flatten(as_json(Config())) | flatten(recorded)
    return {
        name: (old[name], value)
        for name, value in flatten(as_json(config)).items()
        if name not in FREE and name in old and old[name] != value
    }


def as_json(config: Config) -> dict[str, Json]:
    """A config as config.json gives it back: tuples are lists."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def flatten(tree: dict[str, Json], start: str = "") -> dict[str, Json]:
    """{"optimizer.steps": 30} of {"optimizer": {"steps": 30}}."""
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{start}{name}.")
        else:
            flat[f"{start}{name}"] = value
    return flat


def describe(changes: dict[str, tuple[Json, Json]]) -> str:
    """``seed 0 -> 7, ...``, long values shortened."""

    def short(value: Json) -> str:
        text = json.dumps(value)
        return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."

    return ", ".join(f"{name} {short(old)} -> {short(new)}" for name, (old, new) in changes.items())


def record(workdir: Path, config: Config, done: int, changes: dict[str, tuple[Json, Json]]) -> None:
    """Write config.json, and what changed after which step to changes.jsonl; print it.

    Args:
      workdir: of the run.
      config: that it goes on with.
      done: steps done before.
      changes: from ``check_resumed``.
    """
    if changes:
        print(f"going on after step {done} with changes: {describe(changes)}", flush=True)
        path = workdir / CHANGES
        rows = read_json_lines(path) if path.is_file() else []
        rows.append({"step": done, "changes": changes})
        write_text(path, "".join(f"{json.dumps(row)}\n" for row in rows))
    write_text(workdir / NAME, json.dumps(as_json(config), indent=2) + "\n")
