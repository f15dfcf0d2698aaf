"""A float32 .tflite comes in.

One in reduced precision leaves, its inputs and outputs still float32.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.export import flatbuffer
from blazepose_jax.weights.tflite import load_schema

PRECISIONS = ("float32", "float16", "dynamic", "int8")
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
# What int8 would ruin, by tensor name: heads, the regression encoder, and the encoder down to an
# eighth of the side compute in float32 with int8 weights. Chosen on people of LSP's training half;
# what each step is worth stands in docs/results.md.
KEPT_FLOAT = (
    r"heads/|/regression_|/(stem|half|quarter\w*|eighth\w*)/|/encoder_[248]_|/(logits|boxes)_"
)
LEVELS = 127  # int8 weights are symmetric


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
    check_name(precision, PRECISIONS, "precision")
    if precision == "float32":
        return data
    if precision == "int8" and crops is None:
        raise BlazePoseError(
            "int8 needs the ranges of activations on real people: give --calibration DIR"
        )
    try:
        from ai_edge_quantizer import qtyping, quantizer
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
    except ImportError as error:
        raise BlazePoseError(
            f"{precision} needs ai-edge-quantizer: pip install 'blazepose_jax[export]'"
        ) from error
    if precision != "float16" and crops is not None and corrected:
        data = correct_biases(data, crops)
    names = [qtyping.TFLOperationName[name] for name in CONVOLUTIONS]
    work = quantizer.Quantizer(data)
    with _quiet():
        if precision == "float16":
            half = qtyping.OpQuantizationConfig(
                weight_tensor_config=qtyping.TensorQuantizationConfig(
                    16, dtype=qtyping.TensorDataType.FLOAT
                ),
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            )
            for name in names:
                work.update_quantization_recipe(".*", name, half, AlgorithmName.FLOAT_CASTING)
        elif precision == "dynamic":
            for name in names:
                work.add_weight_only_config(".*", name, 8)
        else:
            everything = qtyping.TFLOperationName.ALL_SUPPORTED
            work.add_static_config(".*", everything, 8, 8)
            for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
                work.update_quantization_recipe(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
            if kept:
                work.update_quantization_recipe(
                    kept, everything, algorithm_key=AlgorithmName.NO_QUANTIZE
                )
                for name in names:
                    work.add_weight_only_config(kept, name, 8)
        ranges = (
            work.calibrate({"serving_default": [{"image": crop} for crop in crops]}, num_threads=2)
            if work.need_calibration and crops is not None
            else None
        )
        quantized = work.quantize(ranges).quantized_model or b""
    return flatbuffer.write(flatbuffer.read(bytes(quantized)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser prints its sizes, its progress and a warning for people who debug."""
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
    wanted = [
        (kind, op)
        for kind, op in zip(flatbuffer.operator_names(model), graph.operators, strict=True)
        if kind in CONVOLUTIONS
    ]
    means = mean_activations(data, {int(op.inputs[0]) for _, op in wanted}, crops)
    for kind, op in wanted:
        kernel = _values(model, graph.tensors[op.inputs[1]])  # OHWI, or 1HWC if depthwise
        depthwise = kind == "DEPTHWISE_CONV_2D"
        axes = (0, 1, 2) if depthwise else (1, 2, 3)
        step = np.abs(kernel).max(axes, keepdims=True) / LEVELS
        step[step == 0] = 1
        error = np.clip(np.round(kernel / step), -LEVELS, LEVELS) * step - kernel
        mean = means[int(op.inputs[0])]  # (C,)
        shift = error.sum((0, 1, 2)) * mean if depthwise else (error * mean).sum((1, 2, 3))
        bias = graph.tensors[op.inputs[2]]
        buffer = schema.BufferT()
        buffer.data = (_values(model, bias) - shift).astype(np.float32).tobytes()
        bias.buffer = len(model.buffers)
        model.buffers.append(buffer)
    return flatbuffer.write(model)


def mean_activations(data: bytes, tensors: set[int], crops: np.ndarray) -> dict[int, np.ndarray]:
    """{tensor: (C,) its mean over crops, rows and columns}."""
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
    totals: dict[int, Any] = dict.fromkeys(tensors, 0.0)
    for crop in crops:
        interpreter.set_tensor(image, crop)
        interpreter.invoke()
        for tensor in tensors:
            totals[tensor] = totals[tensor] + interpreter.get_tensor(tensor).astype(
                np.float64
            ).mean((0, 1, 2))
    return {tensor: total / len(crops) for tensor, total in totals.items()}


def _values(model: Any, tensor: Any) -> np.ndarray:
    shape = [int(n) for n in tensor.shape]
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32).reshape(shape)
