"""Conversion by tf2onnx: finished float32 .tflite files as ONNX."""

import logging
import tempfile
from pathlib import Path

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.graph import Graph
from blazepose_jax.export.parity import Outputs

OPSET = 17  # the first with all that the networks need; ONNX Runtime has it since 1.12


def convert(data: bytes) -> bytes:
    """Convert to ONNX; input and outputs keep their names, order and NHWC layout.

    Args:
      data: a finished float32 .tflite.

    Returns:
      The .onnx file.

    Raises:
      BlazePoseError: tf2onnx is missing or refuses the file.
    """
    try:
        import tf2onnx
    except ImportError as error:
        raise BlazePoseError(
            "ONNX needs tf2onnx and onnxruntime: pip install 'blazepose_jax[onnx]'"
        ) from error
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(data)
        try:
            model, _ = tf2onnx.convert.from_tflite(str(path), opset=OPSET)
        except Exception as error:  # it raises whatever its many parts raise
            raise BlazePoseError(
                f"tf2onnx {tf2onnx.__version__} refuses the graph ({type(error).__name__}:"
                f" {error}): export a .tflite"
            ) from error
    return model.SerializeToString()


def run(data: bytes, graph: Graph, crops: np.ndarray) -> list[Outputs]:
    """Run a file in ONNX Runtime, crop by crop.

    Args:
      data: an .onnx file.
      graph: what it was made of.
      crops: (N, S, S, 3) float32 normalised.

    Returns:
      Its outputs per crop, in the graph's order.

    Raises:
      BlazePoseError: ONNX Runtime is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BlazePoseError(
            "the parity report of an .onnx needs onnxruntime: pip install 'blazepose_jax[onnx]'"
        ) from error
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = [
        session.run(list(graph.outputs), {"image": np.repeat(crop[None], graph.batch, 0)})
        for crop in crops
    ]
    return [tuple(np.asarray(value) for value in values) for values in found]
