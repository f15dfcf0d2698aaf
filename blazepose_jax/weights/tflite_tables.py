"""The structure of a .tflite flatbuffer, checked byte by byte.

Tables are read by their field numbers in tensorflow/lite/schema/schema.fbs.
"""

import struct
from collections.abc import Callable

MAX_ITEMS = 50_000  # tensors, operators and buffers together; Heavy has some 2,000


def check_tables(data: bytes) -> None:
    """Check that offsets stay inside of the file and tables are what they say.

    Checked is what is read: operator codes, the subgraph with its tensors and operators, buffers,
    metadata, signatures.

    Raises:
      ValueError: an offset, a table or a list that does not fit, or too many items.
    """
    _Tables(data).check_model()


class _Tables:
    """A flatbuffer, and how much of it may still be read."""

    def __init__(self, data: bytes):
        self._data = data
        # Lists may be shared: what they hold together is bounded by what a file of this size can
        # hold.
        self._items, self._bytes = MAX_ITEMS, 2 * len(data) + 2**20

    def check_model(self) -> None:
        model = self._follow(0)
        if self._vector(model, 2, 4)[1] != 1:
            raise ValueError(f"{self._vector(model, 2, 4)[1]} graphs instead of one")
        self._vector(model, 3, 1)  # description
        self._vector(model, 5, 4)  # metadata_buffer
        self._each(model, 1, self._table)  # operator_codes
        self._each(model, 2, self._subgraph)
        self._each(model, 4, self._buffer)
        self._each(model, 6, lambda table: self._vector(table, 0, 1))  # metadata: name
        self._each(model, 7, self._signature)

    def _signature(self, table: int) -> None:
        for field in (0, 1):  # inputs, outputs
            self._each(table, field, lambda named: self._vector(named, 0, 1))
        self._vector(table, 2, 1)  # signature_key

    def _subgraph(self, table: int) -> None:
        self._each(table, 0, self._tensor)
        self._vector(table, 1, 4)  # inputs
        self._vector(table, 2, 4)  # outputs
        self._each(table, 3, self._operator)

    def _tensor(self, table: int) -> None:
        self._vector(table, 0, 4)  # shape
        self._vector(table, 3, 1)  # name
        if at := self._field(table, 4):
            quantisation = self._follow(at)
            for field, item in ((0, 4), (1, 4), (2, 4), (3, 8)):  # min, max, scale, zero_point
                self._vector(quantisation, field, item)
        if at := self._field(table, 6):
            sparsity = self._follow(at)
            for field in (0, 1):  # traversal_order, block_map
                self._vector(sparsity, field, 4)
            self._each(sparsity, 2, self._table)  # dim_metadata

    def _operator(self, table: int) -> None:
        self._vector(table, 1, 4)  # inputs
        self._vector(table, 2, 4)  # outputs
        if at := self._field(table, 4):  # builtin_options
            self._table(self._follow(at))

    def _buffer(self, table: int) -> None:
        self._vector(table, 0, 1)  # data

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

    def _each(self, table: int, number: int, check: Callable[[int], object]) -> None:
        """Check every table of a list of tables."""
        start, count = self._vector(table, number, 4)
        self._items -= count
        if self._items < 0:
            raise ValueError(f"more than {MAX_ITEMS} items")
        for i in range(count):
            check(self._follow(start + 4 * i))
