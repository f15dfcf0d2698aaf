"""Experiment files: families with variants, found by name or by path."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.io.shipped import shipped

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


def read_experiment(name: str) -> Any:
    """What the ``get_config`` of an experiment's file returns.

    Args:
      name: ``NAME`` or ``NAME:VARIANT`` of the experiments that ship with the package, or
        ``path/to/file.py`` or ``path/to/file.py:VARIANT``. Without a variant it is the first one.

    Raises:
      BlazePoseError: no such experiment or variant, or a file without ``get_config``.
    """
    place, variant = split_name(name)
    path = Path(place) if place.endswith(".py") else _find_family(place)
    if not path.is_file():
        raise BlazePoseError(
            f"experiment {name!r} does not exist: give a name ({', '.join(families())}) or a"
            " Python file"
        )
    module = _run_file(path)
    if not hasattr(module, "get_config"):
        raise BlazePoseError(f"{path} has no function get_config(): it must return a Config")
    variants = tuple(getattr(module, "VARIANTS", ()))
    if not variants:
        if variant:
            raise BlazePoseError(
                f"experiment {name!r}: {path.name} has no VARIANTS, leave out ':{variant}'"
            )
        return module.get_config()
    return module.get_config(
        check_name(variant, variants, f"variant of {place}") if variant else variants[0]
    )


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


def _find_family(family: str) -> Path:
    return shipped("experiments") / f"{check_name(family, families(), 'experiment')}.py"


def _run_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"experiment_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
