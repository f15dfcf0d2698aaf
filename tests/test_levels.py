"""The staircase of docs/architecture.md as a table: a file imports from lower levels only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "blazepose_jax"
LEVELS = {
    "errors": 0, "sides": 0, "skeleton": 0.5, "structs": 0.5,
    "geometry": 1, "codecs": 1, "smoothing": 1, "metrics": 1, "losses": 1, "augment": 1,
    "rendering": 1,
    "models": 2,
    "inference": 3, "objectives": 3, "training": 3,
    "files": 3.1, "json_files": 3.1, "frames": 3.1, "tensors": 3.1, "cropping": 3.1, "display": 3.2,
    "images": 3.2, "video": 3.3,
    "media": 3.4, "draw": 3.4, "results": 3.5,
    "weights": 4, "export": 4, "litert": 4, "data": 4,
    "progress": 4.9, "interrupts": 4.9,
    "engine": 5, "tracker": 5, "evaluate": 5, "timing": 5, "commands": 5, "demo": 5, "cli": 5,
    "configs": 5, "curves": 5, "train": 5, "prepare": 5, "initialise": 5, "metric_log": 5, "tasks": 5, "trainer": 5,
    "demo_training": 5, "exporter": 5, "web": 5, "__init__": 6,
}
# Within a level, who may import whom.
SAME_LEVEL = {
    ("codecs", "geometry"), ("litert", "weights"), ("litert", "export"), ("tracker", "engine"),
    ("evaluate", "engine"), ("export", "weights"),
    ("export", "data"), ("commands", "tracker"), ("demo", "tracker"), ("demo", "timing"),
    ("train", "configs"), ("train", "curves"), ("prepare", "configs"),
    ("prepare", "engine"),
    ("rendering", "geometry"), ("rendering", "codecs"), ("train", "trainer"), ("train", "metric_log"),
    ("trainer", "configs"), ("trainer", "initialise"), ("trainer", "tasks"), ("tasks", "configs"),
    ("tasks", "initialise"), ("demo", "demo_training"), ("demo_training", "configs"), ("demo_training", "engine"),
    ("demo_training", "train"), ("exporter", "engine"), ("exporter", "evaluate"),
}
PURE = ("structs", "sides", "skeleton", "geometry", "codecs", "smoothing", "metrics", "losses",
        "augment", "rendering", "models", "inference", "objectives", "training")
SHELL_MODULES = {"os", "time", "pathlib", "subprocess", "sys", "io", "av", "PIL"}


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "blazepose_jax":
                yield from (f"blazepose_jax.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path):
    here = room(path)
    for module in imports(path):
        if not module.startswith("blazepose_jax."):
            continue
        there = module.split(".")[1]
        if there == here:
            continue
        assert LEVELS[there] < LEVELS[here] or (here, there) in SAME_LEVEL, f"{here} imports {module}"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) in PURE], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_pure_rooms_know_no_files_clocks_or_processes(path):
    assert not {module.split(".")[0] for module in imports(path)} & SHELL_MODULES


def test_linen_stays_in_models_and_tensorflow_in_export():
    for path in FILES:
        found = set(imports(path))
        assert room(path) == "models" or not any(m.startswith("flax.linen") for m in found), path
        assert room(path) == "export" or not any(m.split(".")[0] == "tensorflow" for m in found), path


def test_files_stay_short():
    lengths = sorted(len(path.read_text().splitlines()) for path in FILES)
    assert lengths[-1] <= 300
    assert lengths[len(lengths) // 2] <= 150
