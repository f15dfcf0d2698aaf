"""Cropping that a video's container declares: Matroska's PixelCrop, MP4's clean aperture.

FFmpeg passes it on and PyAV does not, so these few numbers are read here. Sources: the element list
of RFC 9559 (Matroska); ISO/IEC 14496-12, 12.1.4.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

Cropping = tuple[float, float, float, float]  # left, top, right, bottom, stored px
NOTHING: Cropping = (0.0, 0.0, 0.0, 0.0)
MAX_HEADER = 2**24  # bytes that are read of a header
# Matroska's element IDs, RFC 9559, 5.1.
SEGMENT, TRACKS, ENTRY, VIDEO, CLUSTER = 0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675
LEFT, TOP, RIGHT, BOTTOM = 0x54CC, 0x54BB, 0x54DD, 0x54AA
EBML = b"\x1a\x45\xdf\xa3"  # how a Matroska file begins, RFC 8794
# Boxes of MP4: those that a file may begin with, and those on the way to a sample entry.
FIRST = (b"ftyp", b"moov", b"free", b"wide", b"mdat")
INSIDE = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
# Bytes before the boxes of a picture's sample entry, and of a list of them.
SAMPLE_HEADER, LIST_HEADER = 78, 8


def declared_cropping(path: Path, number: int) -> Cropping:
    """Read what to cut off the frames of a file's video stream.

    Args:
      path: of the file.
      number: of the stream among those with pictures, 0-based.

    Returns:
      Left, top, right and bottom, stored px; ``NOTHING`` where the container declares none.
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
            file.seek(0)
            if head[:4] == EBML:
                found = list(_matroska(file.read(MAX_HEADER)))
            elif head[4:8] in FIRST:
                found = list(_apertures(_movie_header(file)))
            else:
                return NOTHING
    except (OSError, ValueError, IndexError, struct.error, ZeroDivisionError):
        return NOTHING  # FFmpeg will name the damage
    return found[number] if number < len(found) else NOTHING


def _elements(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """ID, beginning and end of the EBML elements in ``data[at:end]``."""
    while at < end:
        length = 9 - data[at].bit_length()
        name = int.from_bytes(data[at : at + length], "big")
        at += length
        width = 9 - data[at].bit_length()
        if length > 4 or width > 8:
            raise ValueError("no EBML")
        size = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
        at += width
        # All ones: of unknown size.
        stop = end if size == (1 << 7 * width) - 1 else min(at + size, end)
        yield name, at, stop
        at = stop


def _matroska(data: bytes) -> Iterator[Cropping]:
    """Cropping of every track with pictures, in order."""
    for name, begin, end in _elements(data, 0, len(data)):
        if name != SEGMENT:
            continue
        for part, start, stop in _elements(data, begin, end):
            if part == CLUSTER:
                return
            if part == TRACKS:
                for track, first, last in _elements(data, start, stop):
                    if track == ENTRY:
                        yield from _matroska_video(data, first, last)


def _matroska_video(data: bytes, begin: int, end: int) -> Iterator[Cropping]:
    for name, start, stop in _elements(data, begin, end):
        if name == VIDEO:
            values = {
                n: float(int.from_bytes(data[a:b], "big"))
                for n, a, b in _elements(data, start, stop)
            }
            yield (
                values.get(LEFT, 0.0),
                values.get(TOP, 0.0),
                values.get(RIGHT, 0.0),
                values.get(BOTTOM, 0.0),
            )


def _movie_header(file: BinaryIO) -> bytes:
    """The box moov of an MP4, wherever it lies."""
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        if size == 1:
            size = struct.unpack(">Q", file.read(8))[0] - 8
        if size < 8:
            break
        if name == b"moov":
            size = min(size, MAX_HEADER)
            return struct.pack(">I4s", size, name) + file.read(size - 8)
        file.seek(size - 8, 1)
    return b""


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, beginning and end of the boxes in ``data[at:end]``."""
    while at + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield name, at + 8, min(at + size, end)
        at += size


def _apertures(data: bytes) -> Iterator[Cropping]:
    """Clean aperture of every track with pictures, in order."""
    for name, begin, end in _boxes(data, 0, len(data)):
        if name == b"moov":
            for track, start, stop in _boxes(data, begin, end):
                handler = data.find(b"hdlr", start, stop) + 12
                if track == b"trak" and data[handler : handler + 4] == b"vide":
                    yield _aperture(data, start, stop)


def _aperture(data: bytes, begin: int, end: int) -> Cropping:
    for name, start, stop in _boxes(data, begin, end):
        if name == b"stsd":
            for _, first, last in _boxes(data, start + LIST_HEADER, stop):
                width, height = struct.unpack_from(">HH", data, first + 24)
                for box, at, _ in _boxes(data, first + SAMPLE_HEADER, last):
                    if box == b"clap":
                        numbers = struct.unpack_from(">IIIIiIiI", data, at)
                        wide, high, right, down = (
                            numbers[i] / numbers[i + 1] for i in (0, 2, 4, 6)
                        )
                        left, top = (width - wide) / 2 + right, (height - high) / 2 + down
                        return left, top, width - wide - left, height - high - top
        elif name in INSIDE:
            found = _aperture(data, start, stop)
            if found != NOTHING:
                return found
    return NOTHING
