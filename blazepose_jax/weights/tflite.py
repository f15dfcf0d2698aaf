"""Shapes and convolutions of a .tflite file, read from its bytes."""

import dataclasses
import re
from types import ModuleType
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.weights.tflite_check import MAX_ELEMENTS, check_tflite

_BATCH_NORM = re.compile(r"batch_normalization(?:_(\d+))?/")
_HEADS_LAST = 1e6  # sorts convolutions without a batch normalisation behind those with one


@dataclasses.dataclass(frozen=True)
class Convolution:
    """One convolution of the file."""

    kernel: np.ndarray  # (k, k, inputs per group, outputs) float32
    bias: np.ndarray  # (outputs,) float32
    order: float  # position in the original Keras model


@dataclasses.dataclass(frozen=True)
class TFLiteModel:
    """What the importer needs of a file."""

    input_shape: tuple[int, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    # In the order of the original Keras model's batch normalisations.
    convolutions: tuple[Convolution, ...]


def load_schema() -> ModuleType:
    """The flatbuffer classes of .tflite files.

    Raises:
      BlazePoseError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise BlazePoseError(
            "reading a .tflite file needs the package ai-edge-litert: pip install"
            " 'blazepose_jax[litert]'"
        ) from error
    return schema_py_generated


def read_tflite(data: bytes, name: str) -> TFLiteModel:
    """Read a .tflite file.

    Args:
      data: the file's bytes.
      name: what to call it in errors.

    Returns:
      Its shapes and convolutions, float16 dequantised and sparse kernels densified.

    Raises:
      BlazePoseError: no .tflite file, a truncated one, or one with weights that are neither float32
        nor float16.
    """
    schema = load_schema()
    model = check_tflite(data, name, schema)
    try:
        graph = model.subgraphs[0]
        shapes = [tuple(int(n) for n in tensor.shape) for tensor in graph.tensors]
        return TFLiteModel(
            shapes[graph.inputs[0]],
            tuple(shapes[i] for i in graph.outputs),
            _Reader(schema, model).convolutions(),
        )
    except BlazePoseError as error:
        raise BlazePoseError(f"{name}: {error}") from error
    # The generated reader raises whatever a wrong offset happens to cause.
    except Exception as error:
        raise BlazePoseError(
            f"{name} is damaged ({len(data)} bytes, {type(error).__name__} while reading): "
            "fetch the file again"
        ) from error


class _Reader:
    """One flatbuffer, with the producers of its tensors."""

    def __init__(self, schema: ModuleType, model: Any):
        self.schema, self.model, self.graph = schema, model, model.subgraphs[0]
        names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
        codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
        self.kinds = [names.get(codes[op.opcodeIndex], "?") for op in self.graph.operators]
        self.producer = {int(t): i for i, op in enumerate(self.graph.operators) for t in op.outputs}

    def convolutions(self) -> tuple[Convolution, ...]:
        """All convolutions, in the order of their batch normalisations, then those without."""
        kinds = ("CONV_2D", "DEPTHWISE_CONV_2D")
        wanted = [i for i, kind in enumerate(self.kinds) if kind in kinds]
        order = {i: self._batch_norm(i) for i in wanted}
        for i in wanted:
            # A depthwise convolution without its own sorts just before the 1x1 it feeds.
            source = self.producer.get(int(self.graph.operators[i].inputs[0]))
            own = order[i]
            if source in order and order[source] is None and own is not None:
                order[source] = own - 0.5
        found = []
        for i in wanted:
            op = self.graph.operators[i]
            kernel = self._constant(int(op.inputs[1]))  # OHWI, or 1HWC if depthwise
            depthwise = self.kinds[i] == "DEPTHWISE_CONV_2D"
            kernel = kernel.transpose((1, 2, 0, 3) if depthwise else (1, 2, 3, 0))
            bias = self._constant(int(op.inputs[2]))
            position = order[i]
            if position is None:
                position = _HEADS_LAST + i
            found.append(Convolution(kernel, bias, position))
        return tuple(sorted(found, key=lambda c: c.order))

    def _batch_norm(self, operator: int) -> float | None:
        """The number of the batch normalisation after a convolution, or None.

        Keras' layer names survive in the names of the fused outputs; the first is the layer's own
        (docs/mediapipe.md, 2.4).
        """
        output = int(self.graph.operators[operator].outputs[0])
        name = self.graph.tensors[output].name.decode("utf-8", "replace")
        match = _BATCH_NORM.search(name)
        return None if match is None else float(match.group(1) or 0)

    def _constant(self, index: int) -> np.ndarray:
        """A constant as float32, through DEQUANTIZE and DENSIFY."""
        if index in self.producer:
            operator = self.producer[index]
            if self.kinds[operator] not in ("DEQUANTIZE", "DENSIFY"):
                raise BlazePoseError(
                    f"a kernel is computed by {self.kinds[operator]}: only constants can be"
                    " imported"
                )
            return self._constant(int(self.graph.operators[operator].inputs[0]))
        tensor = self.graph.tensors[index]
        types = {
            self.schema.TensorType.FLOAT32: np.float32,
            self.schema.TensorType.FLOAT16: np.float16,
        }
        if tensor.type not in types:
            raise BlazePoseError(
                f"tensor type {tensor.type} is quantised: only float32 and float16 weights can be "
                "imported; run it, in a .task, with --runtime litert"
            )
        values = np.frombuffer(
            bytes(self.model.buffers[tensor.buffer].data), types[tensor.type]
        ).astype(np.float32)
        shape = tuple(int(n) for n in tensor.shape)
        if tensor.sparsity is not None:
            return densify(values, tensor.sparsity, shape)
        return values.reshape(shape)


def densify(values: np.ndarray, sparsity: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Expand a block-sparse constant.

    Args:
      values: (n,) the stored entries.
      sparsity: TFLite's SparsityParametersT: traversal order, block map, metadata per level.
      shape: of the dense tensor.

    Returns:
      The dense array.

    Source: tensorflow/lite/kernels/internal/utils/sparsity_format_converter.cc.
    """
    rank = len(shape)
    positions = np.zeros(1, np.int64)  # of the entries reached so far, at the current level
    coordinates: list[np.ndarray] = []  # per level, one index per position
    for level in sparsity.dimMetadata:
        if level.format == 0:  # dense
            size = int(level.denseSize)
            if not 0 <= positions.size * size <= values.size + MAX_ELEMENTS:
                raise ValueError(f"a sparse constant of {positions.size * size} entries")
            parents = np.repeat(np.arange(positions.size), size)
            index = np.tile(np.arange(size), positions.size)
            positions = positions[parents] * size + index
        else:  # compressed rows
            segments = np.asarray(level.arraySegments.values, np.int64)
            counts = segments[positions + 1] - segments[positions]
            parents = np.repeat(np.arange(positions.size), counts)
            starts = np.repeat(np.cumsum(counts) - counts, counts)
            positions = segments[positions[parents]] + np.arange(counts.sum()) - starts
            index = np.asarray(level.arrayIndices.values, np.int64)[positions]
        coordinates = [c[parents] for c in coordinates] + [index]
    dense_index = [np.zeros(positions.size, np.int64) for _ in range(rank)]
    block_map = [] if sparsity.blockMap is None else [int(d) for d in sparsity.blockMap]
    order = [int(d) for d in sparsity.traversalOrder]
    block = {
        block_map[d - rank]: int(sparsity.dimMetadata[i].denseSize)
        for i, d in enumerate(order)
        if d >= rank
    }
    for d, index in zip(order, coordinates, strict=True):
        if d < rank:
            dense_index[d] += index * block.get(d, 1)
        else:
            dense_index[block_map[d - rank]] += index
    dense = np.zeros(shape, values.dtype)
    dense[tuple(dense_index)] = values[positions]
    return dense
