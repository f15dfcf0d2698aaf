"""Numeric arrays of MATLAB 5 files, read without a native parser: SciPy's can crash on damage.

The format is described in "MAT-File Format", The MathWorks, chapter 1 (Level 5).
"""

import math
import struct
import zlib

import numpy as np

HEADER = 128
MAX_BYTES = 2**28  # of the unpacked array; LSP Extended's joints have 3.4 MB
MATRIX, COMPRESSED = 14, 15
# Types of stored numbers; MATLAB stores doubles as the smallest type that can represent them.
NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
NUMERIC_CLASSES = range(6, 16)  # double to uint64
COMPLEX = 0x0800


def read_matrix(data: bytes, name: str) -> np.ndarray:
    """Read one real array.

    Args:
      data: the file's bytes.
      name: of the array.

    Returns:
      float64, in MATLAB's order of axes.

    Raises:
      ValueError: no such file, damaged, or without such an array.
    """
    if len(data) < HEADER or data[124:126] == b"\0\0":
        raise ValueError("it is no MATLAB 5 file")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("it is no MATLAB 5 file")
    at = HEADER
    while at < len(data):
        kind, body, at = _element(data, at, order)
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            try:
                plain = unpacker.decompress(body, MAX_BYTES)
            except zlib.error as error:
                raise ValueError(f"damaged: {error}") from error
            if unpacker.unconsumed_tail:
                raise ValueError(f"it unpacks to more than {MAX_BYTES} bytes")
            kind, body, _ = _element(plain, 0, order)
        if kind == MATRIX:
            found = _array(body, name, order)
            if found is not None:
                return found
    raise ValueError(f"it holds no array {name!r}")


def _element(data: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Type and bytes of the element at an offset, and where the next one begins."""
    if at + 8 > len(data):
        raise ValueError(f"it ends at byte {len(data)}, within an element")
    kind, size = struct.unpack_from(order + "II", data, at)
    if kind >> 16:  # small: type and size share a word
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4:
            raise ValueError(f"a small element of {size} bytes")
        return kind, data[at + 4 : at + 4 + size], at + 8
    if at + 8 + size > len(data):
        raise ValueError(f"an element of {size} bytes where {len(data) - at - 8} are left")
    following = at + 8 + (size if kind == COMPRESSED else -(-size // 8) * 8)
    return kind, data[at + 8 : at + 8 + size], following


def _array(body: bytes, name: str, order: str) -> np.ndarray | None:
    """The array of a matrix element; None where it has another name or holds no numbers."""
    _, flags, at = _element(body, 0, order)
    if len(flags) < 4:
        raise ValueError("an array without flags")
    word = struct.unpack_from(order + "I", flags)[0]
    _, sizes, at = _element(body, at, order)
    _, title, at = _element(body, at, order)
    if title.decode("latin-1") != name:
        return None
    if word & 0xFF not in NUMERIC_CLASSES or word & COMPLEX:
        raise ValueError(f"{name!r} holds no real numbers")
    if len(sizes) % 4:
        raise ValueError(f"{name!r} has a damaged shape")
    shape = np.frombuffer(sizes, order + "i4").tolist()
    kind, values, _ = _element(body, at, order)
    if kind not in NUMBERS:
        raise ValueError(f"{name!r} has numbers of the unknown type {kind}")
    if (
        min(shape, default=0) < 0
        or math.prod(shape) * int(NUMBERS[kind][1]) != len(values)
        or len(shape) > 8
    ):
        raise ValueError(f"{name!r} has the shape {shape} and {len(values)} bytes")
    return np.frombuffer(values, order + NUMBERS[kind]).astype(np.float64).reshape(shape, order="F")
