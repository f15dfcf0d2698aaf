"""Conversion by TensorFlow: graphs as .tflite files and as SavedModels.

TensorFlow is imported here alone, by the functions that need it.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.graph import Graph
from blazepose_jax.io.files import OutputFolder

WORKING_PAIR = "jax 0.10.2 with tensorflow 2.21.0"


def convert(graph: Graph) -> bytes:
    """Convert to a float32 .tflite, whose marks ``flatbuffer`` has yet to replace.

    Args:
      graph: made with ``convolution="tflite"``.

    Returns:
      A .tflite; its outputs have the converter's order.

    Raises:
      BlazePoseError: TensorFlow is missing, or cannot read what this JAX writes.
    """
    tf = _tensorflow()
    module = _module(tf, graph)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.named.get_concrete_function()], module
    )
    try:
        with _silenced():
            return bytes(converter.convert())
    except Exception as error:  # the converter raises its own class, and bare ones
        raise _explained(tf, error) from error


def save(graph: Graph, directory: Path) -> None:
    """Write a SavedModel whose signature ``serving_default`` takes ``image`` and names its outputs.

    Args:
      graph: made with ``convolution="xla"``.
      directory: new.

    Raises:
      BlazePoseError: as for ``convert``.
    """
    tf = _tensorflow()
    module = _module(tf, graph)
    folder = OutputFolder(directory)
    try:
        try:
            with _silenced():
                tf.saved_model.save(module, str(folder.part), signatures=module.named)
        except Exception as error:
            raise _explained(tf, error) from error
        folder.finish()
    finally:
        folder.discard()


def run_saved(directory: Path, graph: Graph, crops: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Run a SavedModel crop by crop.

    Args:
      directory: written by ``save``.
      graph: what it was made of.
      crops: (N, S, S, 3) float32 normalised.

    Returns:
      Its outputs per crop, in the graph's order.
    """
    tf = _tensorflow()
    signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
    found = [signature(image=tf.constant(np.repeat(crop[None], graph.batch, 0))) for crop in crops]
    return [tuple(values[name].numpy() for name in graph.outputs) for values in found]


def _module(tf: ModuleType, graph: Graph) -> Any:
    """A tf.Module whose function ``named`` gives the outputs by name.

    Their order does not survive, names do.
    """
    try:
        from jax.experimental import jax2tf
    except ImportError as error:
        raise BlazePoseError(
            f"jax {jax.__version__} has no jax2tf: install {WORKING_PAIR}, or export with"
            " --backend litert"
        ) from error
    function = jax2tf.convert(graph.call, with_gradient=False)

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec(graph.input_shape, tf.float32, name="image")],
    )
    def named(image):
        return dict(zip(graph.outputs, function(image), strict=True))

    module = tf.Module()
    module.named = named
    return module


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Hide what TensorFlow's C++ half writes to file descriptor 2; what matters is raised."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _tensorflow() -> ModuleType:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise BlazePoseError(
            "the jax2tf backend needs TensorFlow: pip install 'blazepose_jax[export]', or export"
            " with --backend litert"
        ) from error
    return tf


def _explained(tf: ModuleType, error: Exception) -> BlazePoseError:
    reason = next(
        (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
    )
    return BlazePoseError(
        f"tensorflow {tf.__version__} cannot convert what jax {jax.__version__} writes "
        f"({reason[:200]}): install {WORKING_PAIR}, or export with --backend litert"
    )
