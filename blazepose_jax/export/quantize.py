"""Quantisation: float32 .tflite files in reduced precision.

Inputs and outputs stay float32.
"""

import contextlib
import copy
import dataclasses
import io
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.export import flatbuffer
from blazepose_jax.export.flatbuffer import SchemaObject
from blazepose_jax.weights.tflite import load_schema

if TYPE_CHECKING:  # an extra, which may be missing
    from ai_edge_quantizer.quantizer import Quantizer

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
# What int8 would ruin, by tensor name: heads, the regression encoder, and the encoder down to an
# eighth of the side compute in float32 with int8 weights. Chosen on people of LSP's training half;
# what each step is worth stands in docs/results.md, Exports (tools/export_table.py --trade).
KEPT_FLOAT = (
    r"heads/|/regression_|/(stem|half|quarter\w*|eighth\w*)/|/encoder_[248]_|/(logits|boxes)_"
)
LEVELS = 127  # int8 weights are symmetric


@dataclasses.dataclass(frozen=True)
class Precision:
    """A precision of exported files.

    float32 differs from JAX by rounding alone. Reduced precision is judged by PCK where photographs
    with truth are given, and the tolerances catch a broken file.

    Attributes:
      description: what it stores and computes.
      recipe: prepares the quantiser, with the tensors that stay float32; None where there is
        nothing to do.
      tolerance_px: the largest mean error of points against JAX, px of the crop.
      tolerance: likewise of probabilities, and of metres.
      int8_weights: their rounding is taken back by the biases, where there are crops.
      needs_crops: for the ranges of activations.
    """

    description: str
    recipe: "Callable[[Quantizer, str], None] | None"
    tolerance_px: float
    tolerance: float
    int8_weights: bool = False
    needs_crops: bool = False


def _float16(work: "Quantizer", kept: str) -> None:
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    half = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            16, dtype=qtyping.TensorDataType.FLOAT
        ),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    for name in CONVOLUTIONS:
        work.update_quantization_recipe(
            ".*", qtyping.TFLOperationName[name], half, AlgorithmName.FLOAT_CASTING
        )


def _dynamic(work: "Quantizer", kept: str) -> None:
    from ai_edge_quantizer import qtyping

    for name in CONVOLUTIONS:
        work.add_weight_only_config(".*", qtyping.TFLOperationName[name], 8)


def _int8(work: "Quantizer", kept: str) -> None:
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    everything = qtyping.TFLOperationName.ALL_SUPPORTED
    work.add_static_config(".*", everything, 8, 8)
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        work.update_quantization_recipe(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
    if kept:
        work.update_quantization_recipe(kept, everything, algorithm_key=AlgorithmName.NO_QUANTIZE)
        for name in CONVOLUTIONS:
            work.add_weight_only_config(kept, qtyping.TFLOperationName[name], 8)


PRECISIONS = {
    "float32": Precision(
        description="the weights as they are", recipe=None, tolerance_px=0.01, tolerance=1e-3
    ),
    "float16": Precision(
        description="weights in half the bytes",
        recipe=_float16,
        tolerance_px=0.5,
        tolerance=0.05,
    ),
    "dynamic": Precision(
        description="int8 weights, float32 arithmetic",
        recipe=_dynamic,
        tolerance_px=6.0,
        tolerance=0.2,
        int8_weights=True,
    ),
    "int8": Precision(
        description="int8 arithmetic where it costs little, with --calibration",
        recipe=_int8,
        tolerance_px=8.0,
        tolerance=0.3,
        int8_weights=True,
        needs_crops=True,
    ),
}


def quantize(
    data: bytes,
    precision: str,
    crops: np.ndarray | None = None,
    kept: str = KEPT_FLOAT,
    corrected: bool = True,
) -> bytes:
    """Reduce the precision of a finished float32 .tflite.

    ``float16`` stores weights in half the bytes. ``dynamic`` stores them in int8, computes in
    float32. ``int8`` computes in int8 where that costs little; the ranges of activations are those
    of ``crops``. With int8 weights the biases take back the mean error that rounding the weights
    makes on ``crops`` (Nagel et al., 1906.04721, 4.2).

    Args:
      data: from ``flatbuffer.finish``.
      precision: one of ``PRECISIONS``.
      crops: (N, 1, S, S, 3) float32 normalised images; ``dynamic`` does without, worse.
      kept: of int8: what computes in float32, as a regular expression on tensor names; empty for
        nothing.
      corrected: False leaves the biases as they are, to measure what that costs.

    Returns:
      A .tflite.

    Raises:
      BlazePoseError: unknown precision, int8 without crops, or ai-edge-quantizer is missing.
    """
    chosen = PRECISIONS[check_name(precision, PRECISIONS, "precision")]
    if chosen.recipe is None:
        return data
    if chosen.needs_crops and crops is None:
        raise BlazePoseError(
            f"{precision} needs the ranges of activations on real people: give --calibration DIR"
        )
    try:
        from ai_edge_quantizer import quantizer
    except ImportError as error:
        raise BlazePoseError(
            f"{precision} needs ai-edge-quantizer: pip install 'blazepose_jax[export]'"
        ) from error
    if chosen.int8_weights and crops is not None and corrected:
        data = correct_biases(data, crops)
    work = quantizer.Quantizer(data)
    with _quiet():
        chosen.recipe(work, kept)
        ranges = (
            work.calibrate({"serving_default": [{"image": crop} for crop in crops]}, num_threads=2)
            if work.need_calibration and crops is not None
            else None
        )
        quantized = work.quantize(ranges).quantized_model or b""
    return flatbuffer.write(flatbuffer.read(bytes(quantized)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the quantiser's sizes, its progress and a warning for people who debug it."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def correct_biases(data: bytes, crops: np.ndarray) -> bytes:
    """Subtract from every bias the mean error that int8 weights will make.

    Args:
      data: a float32 .tflite.
      crops: (N, 1, S, S, 3) float32.

    Returns:
      A .tflite with the same weights: only what is added after rounding them changes.
    """
    schema, model = load_schema(), flatbuffer.read(data)
    graph = model.subgraphs[0]
    convolutions = [
        (kind, op)
        for kind, op in zip(flatbuffer.operator_names(model), graph.operators, strict=True)
        if kind in CONVOLUTIONS
    ]
    means = mean_activations(data, {int(op.inputs[0]) for _, op in convolutions}, crops)
    corrected: set[int] = set()
    for kind, op in convolutions:
        kernel = _values(model, graph.tensors[op.inputs[1]])  # OHWI, or 1HWC if depthwise
        depthwise = kind == "DEPTHWISE_CONV_2D"
        axes = (0, 1, 2) if depthwise else (1, 2, 3)
        step = np.abs(kernel).max(axes, keepdims=True) / LEVELS
        step[step == 0] = 1
        error = np.clip(np.round(kernel / step), -LEVELS, LEVELS) * step - kernel
        mean = means[int(op.inputs[0])]  # (C,)
        shift = error.sum((0, 1, 2)) * mean if depthwise else (error * mean).sum((1, 2, 3))
        bias = graph.tensors[op.inputs[2]]
        if int(op.inputs[2]) in corrected:  # converters share equal constants
            bias = copy.copy(bias)
            bias.name = b"%s_%d" % (bytes(bias.name), len(graph.tensors))
            op.inputs = np.array([*op.inputs[:2], len(graph.tensors)], np.int32)
            graph.tensors.append(bias)
        corrected.add(int(op.inputs[2]))
        buffer = schema.BufferT()
        buffer.data = (_values(model, bias) - shift).astype(np.float32).tobytes()
        bias.buffer = len(model.buffers)
        model.buffers.append(buffer)
    return flatbuffer.write(model)


def mean_activations(data: bytes, tensors: set[int], crops: np.ndarray) -> dict[int, np.ndarray]:
    """The mean of activations over crops, rows and columns.

    Args:
      data: a float32 .tflite.
      tensors: their indices, of (1, H, W, C) each.
      crops: (N, 1, S, S, 3) float32.

    Returns:
      {tensor: (C,) float64}.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with _quiet():
        interpreter = Interpreter(
            model_content=data,
            num_threads=2,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]["index"]
    totals = {tensor: np.zeros(1) for tensor in tensors}
    for crop in crops:
        interpreter.set_tensor(image, crop)
        interpreter.invoke()
        for tensor in tensors:
            values = interpreter.get_tensor(tensor).astype(np.float64)
            totals[tensor] = totals[tensor] + values.mean((0, 1, 2))
    return {tensor: total / len(crops) for tensor, total in totals.items()}


def _values(model: SchemaObject, tensor: SchemaObject) -> np.ndarray:
    """A float32 constant."""
    shape = [int(n) for n in tensor.shape]
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32).reshape(shape)
