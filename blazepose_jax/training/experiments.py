"""Experiment files: families with variants, found by name or by path, and what else they bring."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.io.shipped import shipped
from blazepose_jax.models import MODELS, TEST_MODELS, ModelSpec
from blazepose_jax.training.step import Objective
from blazepose_jax.weights.own import (
    ExperimentFile,
    OwnNetwork,
    own_networks,
    run_file,
    told_by_line,
)

# Names of earlier versions, which had one file a variant.
ALIASES = {
    "paper_lite": "paper:lite",
    "paper_full": "paper:full",
    "paper_lite_cpu": "paper:lite_cpu",
    "finetune_lite": "finetune:lite",
    "finetune_full": "finetune:full",
    "lite": "released:lite",
    "full": "released:full",
}


@dataclasses.dataclass(frozen=True)
class OwnParts:
    """What an experiment file brings besides its config.

    Attributes:
      networks: its ``MODELS``, by name.
      objective: its ``OBJECTIVE``, in place of the package's, or None.
      file: the file itself, for weights to start from and teachers that refer to it.
    """

    networks: Mapping[str, OwnNetwork] = dataclasses.field(default_factory=dict)
    objective: Objective | None = None
    file: ExperimentFile | None = None

    def network(self, name: str) -> str | ModelSpec:
        """What ``create_model`` and ``spec_of`` take for a name of the config.

        Raises:
          BlazePoseError: neither the file nor the zoo has it.
        """
        if name in self.networks:
            return self.networks[name].spec
        if name in TEST_MODELS:
            return name
        return check_name(name, (*self.networks, *MODELS), "network")

    def objective_for(self, standard: Objective) -> Objective:
        """The own objective, or ``standard`` where there is none.

        Raises:
          BlazePoseError: the own one cannot be called as ``standard`` is.
        """
        if self.objective is None:
            return standard
        parameters = inspect.signature(standard).parameters.values()
        keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        try:
            given = dict.fromkeys(keywords)
            inspect.signature(self.objective).bind(*positional, **given)
        except TypeError as error:
            raise BlazePoseError(
                f"OBJECTIVE cannot be called ({error}): it must take"
                f" ({', '.join(positional)}, *, {', '.join(keywords)}), as {standard.__name__} does"
            ) from error
        return self.objective


NO_OWN_PARTS = OwnParts()


def read_own_parts(name: str) -> OwnParts:
    """What the file of an experiment brings besides its config.

    Args:
      name: as for ``read_experiment``.

    Raises:
      BlazePoseError: as for ``read_experiment`` and ``own_networks``, or an ``OBJECTIVE`` that is
        no function.
    """
    path = _find_file(name)
    objective: Objective | None = getattr(run_file(path), "OBJECTIVE", None)
    if not (objective is None or isinstance(objective, Callable)):
        raise BlazePoseError(
            f"OBJECTIVE of {path} is {objective!r:.40}: it must be a function like"
            " training.pose_objective"
        )
    # Whoever trains the file has allowed it to run, and it changes while an experiment grows.
    return OwnParts(own_networks(path), objective, ExperimentFile(path, any_version=True))


def read_experiment(name: str) -> Any:
    """What the ``get_config`` of an experiment's file returns.

    Args:
      name: ``NAME`` or ``NAME:VARIANT`` of the experiments that ship with the package, or
        ``path/to/file.py`` or ``path/to/file.py:VARIANT``. Without a variant it is the first one.

    Raises:
      BlazePoseError: no such experiment or variant, or a file without ``get_config``.
    """
    place, variant = split_name(name)
    path = _find_file(name)
    module = run_file(path)
    if not hasattr(module, "get_config"):
        raise BlazePoseError(f"{path} has no function get_config(): it must return a Config")
    variants = tuple(getattr(module, "VARIANTS", ()))
    if not variants:
        if variant:
            raise BlazePoseError(
                f"experiment {name!r}: {path.name} has no VARIANTS, leave out ':{variant}'"
            )
        with told_by_line(path.resolve()):
            return module.get_config()
    chosen = check_name(variant, variants, f"variant of {place}") if variant else variants[0]
    with told_by_line(path.resolve()):
        return module.get_config(chosen)


def split_name(name: str) -> tuple[str, str]:
    """``NAME:VARIANT`` as its two halves, the second one empty where there is none.

    Old names of ``ALIASES`` are translated. The colon of a Windows drive separates no variant.
    """
    name = ALIASES.get(name, name)
    if name.endswith(".py"):
        return name, ""
    before, _, after = name.rpartition(":")
    if before.endswith(".py"):
        return before, after
    family, _, variant = name.partition(":")
    return family, variant


def families() -> list[str]:
    """Names of the experiments that ship with the package, sorted."""
    folder = shipped("experiments")
    return sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))


def _find_file(name: str) -> Path:
    """The file of an experiment.

    Raises:
      BlazePoseError: there is none.
    """
    place, _ = split_name(name)
    path = Path(place) if place.endswith(".py") else _find_family(place)
    if not path.is_file():
        raise BlazePoseError(
            f"experiment {name!r} does not exist: give a name ({', '.join(families())}) or a"
            " Python file"
        )
    return path


def _find_family(family: str) -> Path:
    return shipped("experiments") / f"{check_name(family, families(), 'experiment')}.py"
