"""The listing of docs/architecture.md as a table.

A folder imports only from what stands above it.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "blazepose_jax"
ORDER = (
    "errors",
    "known_points",
    "sides",
    "body_names",
    "skeleton_file",
    "skeleton",
    "structs",
    "batches",
    "geometry",
    "io",
    "codecs",
    "models",
    "rendering",
    "weights",
    "data",
    "export",
    "inference",
    "analysis",
    "evaluation",
    "training",
    "cli",
)
PURE = (
    "structs",
    "batches",
    "sides",
    "body_names",
    "skeleton",
    "geometry",
    "codecs",
    "models",
    "rendering",
    "inference/settings",
    "inference/smoothing",
    "inference/association",
    "inference/state",
    "inference/steps",
    "inference/pipeline",
    "analysis/angles",
    "analysis/signals",
    "analysis/repetitions",
    "evaluation/metrics",
    "training/losses",
    "training/augment",
    "training/targets",
    "training/distillation",
    "training/pose_loss",
    "training/pose_objective",
    "training/detector_targets",
    "training/detector_loss",
    "training/optimizer",
    "training/step",
)
OUTER_MODULES = {"os", "time", "pathlib", "subprocess", "sys", "io", "av", "PIL"}


def place(path):
    """Path in the package without its suffix."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "blazepose_jax":
                yield from (f"blazepose_jax.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_folder_has_its_place():
    found = {place(path).split("/")[0] for path in FILES} - {"__init__"}
    assert found == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=place)
def test_imports_go_up_the_listing(path):
    here = place(path).split("/")[0]
    if here == "__init__":
        return
    for module in imports(path):
        if module.startswith("blazepose_jax."):
            there = module.split(".")[1]
            assert there == here or ORDER.index(there) < ORDER.index(here), (
                f"{place(path)} imports {module}"
            )


@pytest.mark.parametrize("path", [p for p in FILES if place(p).startswith(PURE)], ids=place)
def test_pure_files_know_no_files_clocks_or_processes(path):
    assert not {module.split(".")[0] for module in imports(path)} & OUTER_MODULES


def test_linen_stays_in_models_and_tensorflow_in_export():
    for path in FILES:
        found, folder = set(imports(path)), place(path).split("/")[0]
        assert folder == "models" or not any(m.startswith("flax.linen") for m in found), path
        assert folder == "export" or not any(m.split(".")[0] == "tensorflow" for m in found), path


def test_files_stay_short():
    lengths = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES)
    assert lengths[-1] <= 300
    assert lengths[len(lengths) // 2] <= 150


def test_functions_fit_a_screen():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{place(path)}: {node.name}"


def test_importing_the_package_loads_no_export_training_or_litert():
    code = "import sys, blazepose_jax; print(*sorted(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    loaded = found.stdout.split()
    assert "blazepose_jax.inference" in loaded
    heavy = ("blazepose_jax.export", "blazepose_jax.training", "blazepose_jax.inference.litert")
    assert not [name for name in loaded if name.startswith(heavy)]
