"""Google's released weights for the demo: given, or fetched."""

from pathlib import Path

from blazepose_jax.cli.options import locate
from blazepose_jax.weights import import_weights, load_weights
from blazepose_jax.weights.names import NAMES


def demo_weights(source: str | None, output: Path) -> Path:
    """A weights directory: named or given, or made from a file.

    Args:
      source: a name, a weights directory, a wheel or a .task; None for ``released-full``.
      output: folder of the demo, which keeps the weights that are made.

    Raises:
      BlazePoseError: bad weights, or some that cannot be fetched.
    """
    if source is None or source in NAMES:
        return Path(locate(source or "released-full"))
    if Path(source).is_dir():
        load_weights(Path(source))
        return Path(source)
    weights = output / "weights"
    import_weights([source], weights)
    return weights
