"""Google's released weights for the demo: given, or fetched with pip."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.weights import import_weights, load_weights

# The last mediapipe that ships its models. Any platform's wheel holds the same two; this one exists
# whatever Python runs here.
WHEEL = "mediapipe==0.10.21"
PLATFORM, PYTHON, IMPLEMENTATION = "manylinux_2_28_x86_64", "3.11", "cp"


def find_weights(source: str | None, output: Path) -> Path:
    """A weights directory: the one given, or made from a file, or from the fetched wheel.

    Args:
      source: a weights directory, a wheel or a .task; None to fetch the wheel.
      output: folder of the demo, which keeps the wheel and the weights.

    Raises:
      BlazePoseError: bad weights, or a wheel that cannot be fetched.
    """
    if source is not None and Path(source).is_dir():
        load_weights(source)
        return Path(source)
    weights = output / "weights"
    if source is None and (weights / "model.json").is_file():
        return weights
    import_weights([source or fetch_wheel(output / "wheel")], weights)
    return weights


def fetch_wheel(folder: Path) -> Path:
    """Fetch the wheel from the user's package index, unless ``folder`` has it.

    Raises:
      BlazePoseError: pip is missing, or cannot reach an index.
    """
    kept = sorted(folder.glob("mediapipe-*.whl"))
    if kept:
        return kept[0]
    remedy = (
        f"fetch the wheel {WHEEL} on a machine with network and give it: "
        "blazepose demo --source mediapipe-0.10.21-*.whl (a .task or a weights directory works too)"
    )
    if importlib.util.find_spec("pip") is None:
        raise BlazePoseError(
            f"pip is not installed here, so the models cannot be fetched: {remedy}"
        )
    print(f"fetching {WHEEL} for Google's released models")
    which = ["--platform", PLATFORM, "--python-version", PYTHON, "--implementation", IMPLEMENTATION]
    how = ["--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *how, *which, "--retries", "1"]
    done = subprocess.run(
        [*command, "--dest", str(folder), WHEEL], capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode != 0:
        raise BlazePoseError(f"pip could not fetch {WHEEL} (is there network?): {remedy}")
    return sorted(folder.glob("mediapipe-*.whl"))[0]
