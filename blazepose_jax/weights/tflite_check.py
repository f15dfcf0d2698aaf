"""Checks of a .tflite file before a native interpreter reads it.

LiteRT trusts its files: an index beyond a table, a constant shorter than its shape or a stride of 0
can crash the process. What is checked here is what such a file may say; the interpreter itself is
not made safer by it.
"""

import math
from types import ModuleType
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.weights.tflite_tables import check_tables

MAX_BYTES = 2**29
MAX_ELEMENTS = 2**28  # of a tensor
MAX_RANK = 8
MAX_STRIDE = 1024
# Bytes of an element, by the number of TFLite's TensorType (tensorflow/lite/schema/schema.fbs);
# strings, resources and variants have no fixed size.
ITEM_BYTES = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 8: 8, 9: 1, 10: 8, 15: 4, 16: 2, 12: 8}
FLOATS = {0: np.float32, 1: np.float16, 10: np.float64}
# No net for pictures has control flow, variables or code of its own.
REFUSED = (
    "CUSTOM",
    "DELEGATE",
    "CALL",
    "CALL_ONCE",
    "IF",
    "WHILE",
    "VAR_HANDLE",
    "READ_VARIABLE",
    "ASSIGN_VARIABLE",
    "HASHTABLE",
    "HASHTABLE_FIND",
    "HASHTABLE_IMPORT",
    "HASHTABLE_SIZE",
    "EMBEDDING_LOOKUP_SPARSE",
    "STABLEHLO_WHILE",
    "STABLEHLO_CUSTOM_CALL",
    "STABLEHLO_COMPOSITE",
)


def check_tflite(data: bytes, name: str, schema: ModuleType) -> Any:
    """Check a file and unpack it.

    Args:
      data: the file's bytes.
      name: what to call it in errors.
      schema: flatbuffer classes, of ``tflite.load_schema``.

    Returns:
      The schema's ModelT.

    Raises:
      BlazePoseError: no .tflite file, or one that is damaged, too large, or says what no file may
        say.
    """
    if data[4:8] != b"TFL3":
        raise BlazePoseError(
            f"{name} is no .tflite file (bytes 4-8 are {data[4:8]!r}, not b'TFL3'): give the"
            " original"
        )
    if len(data) > MAX_BYTES:
        raise BlazePoseError(f"{name} has {len(data)} bytes: at most {MAX_BYTES} are read")
    try:
        check_tables(data)
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        _check_model(model, schema)
    except BlazePoseError:
        raise
    # The generated reader raises whatever a wrong offset happens to cause.
    except Exception as error:
        raise BlazePoseError(
            f"{name} is damaged ({len(data)} bytes; {error or type(error).__name__}): "
            "fetch the file again"
        ) from error
    return model


def _check_model(model: Any, schema: ModuleType) -> None:
    """Check indices, shapes, sizes of constants and kinds of operators of an unpacked file."""
    names = {
        value: key for key, value in vars(schema.BuiltinOperator).items() if not key.startswith("_")
    }
    if len(model.subgraphs or []) != 1:
        raise ValueError(f"{len(model.subgraphs or [])} graphs instead of one")
    graph, buffers = model.subgraphs[0], model.buffers or []
    tensors, count = graph.tensors or [], len(graph.tensors or [])
    for tensor in tensors:
        _check_tensor(tensor, buffers)
    for indices in (graph.inputs, graph.outputs):
        if indices is None or not len(indices) or not all(0 <= int(i) < count for i in indices):
            raise ValueError("inputs or outputs that are no tensors")
    for operator in graph.operators or []:
        if not 0 <= operator.opcodeIndex < len(model.operatorCodes or []):
            raise ValueError(f"an operator of the unknown kind {operator.opcodeIndex}")
        code = model.operatorCodes[operator.opcodeIndex]
        kind = names.get(max(code.builtinCode, code.deprecatedBuiltinCode))
        if kind is None or kind in REFUSED:
            raise ValueError(
                f"the operator {kind or code.builtinCode}, which nets for pictures do not have"
            )
        for indices, least in ((operator.inputs, -1), (operator.outputs, 0)):
            if indices is not None and not all(least <= int(i) < count for i in indices):
                raise ValueError(f"a {kind} of tensors that do not exist")
        _check_options(operator, kind)


def _check_tensor(tensor: Any, buffers: list[Any]) -> None:
    shape = [] if tensor.shape is None else [int(n) for n in tensor.shape]
    if len(shape) > MAX_RANK or min(shape, default=0) < 0 or math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"a tensor of the shape {shape}")
    if not 0 <= tensor.buffer < len(buffers):
        raise ValueError(f"a tensor of the buffer {tensor.buffer}")
    if tensor.type not in ITEM_BYTES:
        raise ValueError(f"a tensor of the type {tensor.type}")
    data = buffers[tensor.buffer].data
    stored = 0 if data is None else len(data)
    if stored and tensor.sparsity is None and stored != math.prod(shape) * ITEM_BYTES[tensor.type]:
        raise ValueError(f"a constant of the shape {shape} in {stored} bytes")
    if (
        data is not None
        and stored
        and tensor.type in FLOATS
        and not np.isfinite(np.frombuffer(bytes(data), FLOATS[tensor.type])).all()
    ):
        name = bytes(tensor.name or b"")[:80].decode("utf-8", "replace")
        raise ValueError(f"NaN or infinite values in the constant {name!r}")
    quantization = tensor.quantization
    if quantization is not None and quantization.scale is not None:
        scales, axis = len(quantization.scale), quantization.quantizedDimension
        if scales > 1 and not (0 <= axis < len(shape) and shape[axis] == scales):
            raise ValueError(f"{scales} scales along axis {axis} of the shape {shape}")


def _check_options(operator: Any, kind: str) -> None:
    """Check strides and windows, by which the interpreter divides."""
    options = operator.builtinOptions
    for field in (
        "strideW",
        "strideH",
        "filterWidth",
        "filterHeight",
        "dilationWFactor",
        "dilationHFactor",
        "blockSize",
        "depthMultiplier",
    ):
        value = getattr(options, field, None)
        least = 0 if field == "depthMultiplier" else 1
        if value is not None and not least <= int(value) <= MAX_STRIDE:
            raise ValueError(f"a {kind} whose {field} is {value}")
