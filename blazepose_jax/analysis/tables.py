"""Tables of measures and points, as laboratories read them."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from blazepose_jax.analysis.recording import Recording
from blazepose_jax.io.files import Output

DECIMALS = 4
SCORER = "blazepose_jax"


def write_frames(path: str | Path, times: np.ndarray, measures: Mapping[str, np.ndarray]) -> None:
    """A CSV row a frame: ``frame``, ``time_s`` and a column a measure; empty where not known."""
    rows = ([_text(value) for value in row] for row in zip(*measures.values(), strict=True))
    _write(
        path,
        [["frame", "time_s", *measures]],
        ([i, _text(time), *row] for i, (time, row) in enumerate(zip(times, rows, strict=True))),
    )


def write_long(path: str | Path, times: np.ndarray, measures: Mapping[str, np.ndarray]) -> None:
    """A CSV row a frame and measure: ``frame``, ``time_s``, ``measure``, ``value``."""
    _write(
        path,
        [["frame", "time_s", "measure", "value"]],
        (
            [i, _text(time), name, _text(values[i])]
            for i, time in enumerate(times)
            for name, values in measures.items()
        ),
    )


def write_deeplabcut(path: str | Path, recording: Recording) -> None:
    """DeepLabCut's CSV of points: three header rows, then x and y in px and likelihood a point.

    ``deeplabcut.convertcsv2h5`` makes its HDF5 of such files.
    """
    names = [name for name in recording.names for _ in range(3)]
    values = np.concatenate([recording.points, recording.confidence[..., None]], -1)
    _write(
        path,
        [
            ["scorer", *[SCORER] * len(names)],
            ["bodyparts", *names],
            ["coords", *["x", "y", "likelihood"] * len(recording.names)],
        ],
        ([i, *map(_text, row.reshape(-1))] for i, row in enumerate(values)),
    )


def _text(value: float) -> str:
    """Empty for NaN."""
    return f"{value:.{DECIMALS}f}" if np.isfinite(value) else ""


def _write(path: str | Path, head: list[list[str]], rows: Iterable[list[object]]) -> None:
    out = Output(path)
    try:
        with out.open() as file:
            writer = csv.writer(file)
            writer.writerows(head)
            writer.writerows(rows)
        out.finish()
    except BaseException:
        out.discard()
        raise
