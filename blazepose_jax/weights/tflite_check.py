"""A .tflite file's bytes, checked before a native interpreter reads them.

LiteRT believes its files: an index beyond a table, a constant shorter than its shape or a stride of
0 can crash the process. What is checked here is what such a file may say; the interpreter itself is
not made safer by it.
"""

import math
import struct
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError

MAX_BYTES = 2**29
MAX_ITEMS = 50_000  # tensors, operators and buffers together; Heavy has some 2,000
MAX_ELEMENTS = 2**28  # of a tensor
MAX_RANK = 8
MAX_STRIDE = 1024
# Bytes of an element, by the number of TFLite's TensorType; strings, resources and variants have no
# fixed size.
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


def check_tflite(data: bytes, name: str, schema: Any) -> Any:
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
        _Tables(data).check_model()
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        _check_model(model, schema)
    except BlazePoseError:
        raise
    except (
        Exception
    ) as error:  # the generated reader raises whatever a wrong offset happens to cause
        raise BlazePoseError(
            f"{name} is damaged ({len(data)} bytes; {error or type(error).__name__}): "
            "fetch the file again"
        ) from error
    return model


class _Tables:
    """The flatbuffer's own structure.

    Offsets stay inside, tables point to tables of offsets that fit.
    """

    def __init__(self, data: bytes):
        self._data = data
        # Lists may be shared: what they say together is bounded by what a file of this size can
        # hold.
        self._items, self._bytes = MAX_ITEMS, 2 * len(data) + 2**20

    def check_model(self) -> None:
        """Check the tables that are read.

        Operator codes, the subgraph, its tensors and operators, buffers, notes.
        """
        model = self._follow(0)
        if self._vector(model, 2, 4)[1] != 1:
            raise ValueError(f"{self._vector(model, 2, 4)[1]} graphs instead of one")
        self._vector(model, 3, 1)
        self._vector(model, 5, 4)
        self._each(model, 1, self._table)
        self._each(model, 2, self._subgraph)
        self._each(model, 4, self._buffer)
        self._each(model, 6, lambda table: self._vector(table, 0, 1))
        self._each(model, 7, self._signature)

    def _signature(self, table: int) -> None:
        for field in (0, 1):
            self._each(table, field, lambda named: self._vector(named, 0, 1))
        self._vector(table, 2, 1)

    def _subgraph(self, table: int) -> None:
        self._each(table, 0, self._tensor)
        self._vector(table, 1, 4)
        self._vector(table, 2, 4)
        self._each(table, 3, self._operator)

    def _tensor(self, table: int) -> None:
        self._vector(table, 0, 4)
        self._vector(table, 3, 1)
        if at := self._field(table, 4):
            quantisation = self._follow(at)
            for field, item in ((0, 4), (1, 4), (2, 4), (3, 8)):
                self._vector(quantisation, field, item)
        if at := self._field(table, 6):
            sparsity = self._follow(at)
            for field in (0, 1):
                self._vector(sparsity, field, 4)
            self._each(sparsity, 2, self._table)

    def _operator(self, table: int) -> None:
        self._vector(table, 1, 4)
        self._vector(table, 2, 4)
        if at := self._field(table, 4):
            self._table(self._follow(at))

    def _buffer(self, table: int) -> None:
        self._vector(table, 0, 1)

    def _read(self, form: str, at: int) -> int:
        size = struct.calcsize(form)
        if not 0 <= at <= len(self._data) - size:
            raise ValueError(f"an offset to byte {at}")
        return struct.unpack_from(form, self._data, at)[0]

    def _follow(self, at: int) -> int:
        return at + self._read("<I", at)

    def _table(self, at: int) -> tuple[int, int, int]:
        """Where a table's table of offsets lies, how long it is, and how long the table is."""
        offsets = at - self._read("<i", at)
        length, size = self._read("<H", offsets), self._read("<H", offsets + 2)
        if (
            length < 4
            or length % 2
            or offsets + length > len(self._data)
            or size < 4
            or at + size > len(self._data)
        ):
            raise ValueError(
                f"a table of {length} bytes of offsets and {size} of fields at byte {at}"
            )
        for i in range(4, length, 2):
            if self._read("<H", offsets + i) >= size:
                raise ValueError(f"a field outside of its table at byte {at}")
        return offsets, length, size

    def _field(self, table: int, number: int) -> int:
        """Where a field of a table lies; 0 where it is left out."""
        offsets, length, _ = self._table(table)
        at = 4 + 2 * number
        found = self._read("<H", offsets + at) if at < length else 0
        return table + found if found else 0

    def _vector(self, table: int, number: int, item: int) -> tuple[int, int]:
        """Where a field's items begin, and how many there are."""
        at = self._field(table, number)
        if not at:
            return 0, 0
        start = self._follow(at)
        count = self._read("<I", start)
        self._bytes -= count * item
        if start + 4 + count * item > len(self._data) or start + 4 < 0 or self._bytes < 0:
            raise ValueError(f"a list of {count} items at byte {start}")
        return start + 4, count

    def _each(self, table: int, number: int, check: Any) -> None:
        start, count = self._vector(table, number, 4)
        self._items -= count
        if self._items < 0:
            raise ValueError(f"more than {MAX_ITEMS} items")
        for i in range(count):
            check(self._follow(start + 4 * i))


def _check_model(model: Any, schema: Any) -> None:
    """What the unpacked file says: indices, shapes, sizes of constants, kinds of operators."""
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
    """Strides and windows by which the interpreter divides."""
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
