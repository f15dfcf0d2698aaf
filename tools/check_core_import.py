"""A check that every module imports where only the core requirements are installed."""

import importlib
import importlib.util
import pkgutil
import sys

import blazepose_jax

EXTRAS = [
    "av",
    "PIL",
    "tqdm",
    "ai_edge_litert",
    "skimage",
    "tensorflow",
    "grain",
    "tensorflow_datasets",
    "filelock",
    "matplotlib",
    "platformdirs",
    "apache_beam",
]
# A TFDS builder is a class of TFDS, a stage of a pipeline one of Beam.
NEEDS_EXTRAS = ["blazepose_jax.data.tfds_builders", "blazepose_jax.cli.corpus_pipeline"]
# Folders that the package itself must not load.
ON_DEMAND = ("blazepose_jax.export", "blazepose_jax.training")


def main() -> None:
    """Entry point."""
    if loaded := [name for name in sys.modules if name.startswith(ON_DEMAND)]:
        raise SystemExit(f"import blazepose_jax loads {loaded[0]}: import it where it is needed")
    if installed := [name for name in EXTRAS if importlib.util.find_spec(name)]:
        raise SystemExit(
            f"this environment has the extra {installed[0]}: use one with the core requirements"
            " alone"
        )
    found = pkgutil.walk_packages(blazepose_jax.__path__, "blazepose_jax.")
    names = [module.name for module in found if not module.name.endswith("__main__")]
    for name in names:
        if name not in NEEDS_EXTRAS:
            importlib.import_module(name)
    print(f"{len(names) - len(NEEDS_EXTRAS)} modules import without extras")


if __name__ == "__main__":
    main()
