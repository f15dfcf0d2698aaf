"""The flatbuffers of .tflite files.

``finish`` takes what a converter wrote and gives a file with RESIZE_BILINEAR, named tensors and
portable operators alone.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.graph import Graph
from blazepose_jax.models.resize import UPSAMPLE_MARK
from blazepose_jax.weights.tflite import load_schema

# An object of TFLite's generated classes, such as ModelT or SubGraphT: an extra, whose type hints
# hold for no file (every field is Optional there, and texts are bytes).
SchemaObject = Any
# What CPU, web GPU and phone delegates run (docs/mediapipe.md, 4.5).
PORTABLE = {
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "ADD",
    "PAD",
    "MAX_POOL_2D",
    "RESIZE_BILINEAR",
    "RESHAPE",
    "LOGISTIC",
    "CONCATENATION",
    "SLICE",
    "RELU",
    # What reduced precision adds.
    "DEQUANTIZE",
    "QUANTIZE",
    # What computes the rows that place the next crop, where the net does not predict them, and the
    # points by the heatmaps.
    "MUL",
    "SUB",
    "DIV",
    "SQRT",
}
MAX_RANK = 4
RESIZE_BILINEAR_VERSION = 3  # the first with half_pixel_centers


def read(data: bytes) -> SchemaObject:
    """The flatbuffer as objects."""
    schema = load_schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:  # the quantiser keeps constants behind the flatbuffer
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def write(model: SchemaObject) -> bytes:
    """Objects as a flatbuffer."""
    import flatbuffers

    builder = flatbuffers.Builder(2**20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operator_names(model: SchemaObject) -> list[str]:
    """The operators of the main graph, in order."""
    schema = load_schema()
    names = {
        value: name
        for name, value in vars(schema.BuiltinOperator).items()
        if not name.startswith("_")
    }
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return [names[codes[op.opcodeIndex]] for op in model.subgraphs[0].operators]


def histogram(data: bytes) -> Counter[str]:
    """How often each operator occurs."""
    return Counter(operator_names(read(data)))


def finish(data: bytes, graph: Graph) -> bytes:
    """Replace the marks of ``layers.upsample2x`` by RESIZE_BILINEAR and name the outputs.

    Args:
      data: what a backend made of ``graph``, with a signature that names the outputs. Their order
        is another: the converters sort them as they like.
      graph: made with ``convolution="tflite"``.

    Returns:
      A .tflite whose outputs have MediaPipe's order.

    Raises:
      BlazePoseError: an operator or a rank that phones and browsers would refuse.
    """
    model = read(data)
    main = model.subgraphs[0]
    _replace_marks(model)
    place = {_text(entry.name): int(entry.tensorIndex) for entry in model.signatureDefs[0].outputs}
    main.outputs = [place[name] for name in graph.outputs]
    _drop_unused(main)
    for index, name in zip([*main.inputs, *main.outputs], ["image", *graph.outputs], strict=True):
        main.tensors[index].name = name.encode()
    model.signatureDefs = [_signature(main, graph.outputs)]
    model.description = f"{graph.model}, blazepose_jax".encode()
    check_portable(model)
    return write(model)


def prune(data: bytes, outputs: Mapping[str, int]) -> bytes:
    """A file that computes some of its outputs, and nothing else.

    A mask of 256x256 takes half of Lite's time and a third of Full's (docs/results.md).

    Args:
      data: a .tflite.
      outputs: {name: index of the tensor} of those that are kept, in their order.

    Returns:
      A .tflite whose signature names the outputs.
    """
    model = read(data)
    main = model.subgraphs[0]
    main.outputs = list(outputs.values())
    needed, kept = set(main.outputs), []
    for operator in reversed(main.operators):
        if not needed.isdisjoint(int(i) for i in operator.outputs):
            kept.append(operator)
            needed.update(int(i) for i in operator.inputs)
    main.operators = kept[::-1]
    _drop_unused(main)
    used = {int(tensor.buffer) for tensor in main.tensors}
    used |= {int(entry.buffer) for entry in model.metadata or ()}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None
    model.signatureDefs = [_signature(main, tuple(outputs))]
    return write(model)


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _replace_marks(model: SchemaObject) -> None:
    """Turn every PADV2, which is a mark of ``layers.upsample2x``, into RESIZE_BILINEAR."""
    schema, main = load_schema(), model.subgraphs[0]
    for operator, name in zip(main.operators, operator_names(model), strict=True):
        if name != "PADV2":
            continue
        padding = model.buffers[main.tensors[operator.inputs[2]].buffer].data
        if np.frombuffer(bytes(padding), np.float32) != np.float32(UPSAMPLE_MARK):
            raise BlazePoseError(
                "the graph pads with a constant other than zero: export nets of this package only"
            )
        _make_resize(model, operator)
    for code in model.operatorCodes:
        if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.PADV2:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESIZE_BILINEAR
            code.version = RESIZE_BILINEAR_VERSION


def _make_resize(model: SchemaObject, operator: SchemaObject) -> None:
    """Give one operator the operands and options of RESIZE_BILINEAR, half-pixel centres."""
    schema, main = load_schema(), model.subgraphs[0]
    buffer = schema.BufferT()
    buffer.data = np.asarray(main.tensors[operator.outputs[0]].shape[1:3], np.int32).tobytes()
    size = schema.TensorT()
    size.shape = [2]
    size.type = schema.TensorType.INT32
    size.name = f"size_{len(main.tensors)}".encode()
    size.buffer = len(model.buffers)
    operator.inputs = [operator.inputs[0], len(main.tensors)]
    model.buffers.append(buffer)
    main.tensors.append(size)
    operator.builtinOptionsType = schema.BuiltinOptions.ResizeBilinearOptions
    operator.builtinOptions = schema.ResizeBilinearOptionsT()
    operator.builtinOptions.halfPixelCenters = True


def _drop_unused(main: SchemaObject) -> None:
    """Forget tensors that no operator reads or writes, such as a mark's padding."""
    used = {int(i) for op in main.operators for i in [*op.inputs, *op.outputs] if i >= 0}
    used |= {int(i) for i in [*main.inputs, *main.outputs]}
    place = {old: new for new, old in enumerate(sorted(used))}
    place[-1] = -1  # an operand that is left out
    main.tensors = [main.tensors[old] for old in sorted(used)]
    for owner in [*main.operators, main]:
        owner.inputs = [place[int(i)] for i in owner.inputs]
        owner.outputs = [place[int(i)] for i in owner.outputs]


def _signature(main: SchemaObject, outputs: tuple[str, ...]) -> SchemaObject:
    """The signature ``serving_default``: input ``image``, and the outputs by name."""
    schema = load_schema()

    def entry(name: str, index: int) -> SchemaObject:
        found = schema.TensorMapT()
        found.name, found.tensorIndex = name, int(index)
        return found

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs = [entry("image", main.inputs[0])]
    signature.outputs = [
        entry(name, index) for name, index in zip(outputs, main.outputs, strict=True)
    ]
    return signature


def check_portable(model: SchemaObject) -> None:
    """Refuse what some runtime would refuse later.

    Args:
      model: from ``read``.

    Raises:
      BlazePoseError: an operator outside of ``PORTABLE``, or a tensor above 4-D.
    """
    if unknown := sorted(set(operator_names(model)) - PORTABLE):
        raise BlazePoseError(
            f"the exported graph uses {unknown[0]}, which not every phone and browser runs: known"
            f" to run are {', '.join(sorted(PORTABLE))}"
        )
    for tensor in model.subgraphs[0].tensors:
        axes = 0 if tensor.shape is None else len(tensor.shape)
        if axes > MAX_RANK:
            raise BlazePoseError(
                f"the exported graph holds {tensor.name!r} with {axes} axes: GPU "
                f"delegates refuse more than {MAX_RANK}"
            )
