"""What ``blazepose analyze`` writes and prints."""

import dataclasses
import json
import math
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.analysis.measures import summarise
from blazepose_jax.analysis.plot import write_plot
from blazepose_jax.analysis.recording import Recording
from blazepose_jax.analysis.repetitions import Repetition, Repetitions
from blazepose_jax.analysis.tables import write_deeplabcut, write_frames, write_long
from blazepose_jax.io.files import write_text

OUTPUTS = ("csv", "long_csv", "deeplabcut", "c3d", "json", "plot")


def add_outputs(parser: ArgumentParser) -> None:
    """The options of what is written."""
    parser.add_argument("--csv", metavar="FILE", help="a row a frame, a column a measure")
    parser.add_argument("--long-csv", metavar="FILE", help="a row a frame and measure")
    parser.add_argument("--deeplabcut", metavar="FILE", help="the points as DeepLabCut's CSV")
    parser.add_argument("--c3d", metavar="FILE", help="world landmarks for motion software")
    parser.add_argument("--json", metavar="FILE", help="summary and repetitions")
    parser.add_argument("--plot", metavar="FILE", help="a figure, such as report.png")


def write(
    args: Namespace,
    recording: Recording,
    measures: dict[str, np.ndarray],
    counted: dict[str, tuple[np.ndarray, Repetitions]],
) -> None:
    """Write whatever the options name, but for C3D."""
    if args.csv:
        write_frames(args.csv, recording.times, measures)
    if args.long_csv:
        write_long(args.long_csv, recording.times, measures)
    if args.deeplabcut:
        write_deeplabcut(args.deeplabcut, recording)
    if args.json:
        content = {
            "source": recording.source,
            "frames": len(recording.times),
            "seconds": float(recording.times[-1] - recording.times[0]),
            "measures": summarise(measures),
            "repetitions": {what: plain(found) for what, (_, found) in counted.items()},
        }
        write_text(Path(args.json), json.dumps(known(content), indent=2) + "\n")
    if args.plot:
        title = Path(recording.source).name
        write_plot(args.plot, title, recording.times, measures, counted)


def plain(found: Repetitions) -> dict[str, Any]:
    """What was counted, as JSON has it."""

    def row(repetition: Repetition) -> dict[str, Any]:
        derived = {"there_s": repetition.there_s, "back_s": repetition.back_s}
        return dataclasses.asdict(repetition) | derived

    return {
        "count": len(found.counted),
        "rest": found.rest,
        "period_s": found.period_s,
        "regularity": found.regularity,
        "counted": list(map(row, found.counted)),
        "rejected": list(map(row, found.rejected)),
    }


def known(content: Any) -> Any:
    """The same with None for NaN, which JSON does not have."""
    if isinstance(content, dict):
        return {name: known(value) for name, value in content.items()}
    if isinstance(content, list):
        return [known(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def print_report(
    recording: Recording,
    measures: dict[str, np.ndarray],
    counted: dict[str, tuple[np.ndarray, Repetitions]],
) -> None:
    """A table of the angles, and a line a repetition."""
    seen = int(np.isfinite(recording.points[..., 0]).any(1).sum())
    print(f"{Path(recording.source).name}: {len(recording.times)} frames, a person in {seen}")
    if len(recording.people) > 1:
        print(f"people in it, by id: {recording.people}; --person ID chooses")
    print(f"{'':24}{'min':>8}{'max':>8}{'range':>8}{'known':>8}")
    for name, row in summarise(measures).items():
        if name.endswith("_deg"):
            numbers = "".join(f"{row[column]:8.1f}" for column in ("min", "max", "range"))
            print(f"{name:24}{numbers}{row['known']:8.0%}")
    for what, (_, found) in counted.items():
        unit = "trunks" if what.startswith("height:") else "degrees"
        print(f"{what}: {len(found.counted)} repetitions")
        for number, one in enumerate(found.counted, 1):
            print(
                f"  {number}: {one.start_s:.2f} to {one.end_s:.2f} s (frames {one.start} to"
                f" {one.end}), range {one.range:.3g} {unit}, there {one.there_s:.2f} s, back"
                f" {one.back_s:.2f} s"
            )
        for one in found.rejected:
            print(f"  not counted, {one.reason}: {one.start_s:.2f} to {one.end_s:.2f} s")
