"""Where points are lost end to end: an evaluation's PCK@0.2 by what the detector's first ROI is.

    blazepose evaluate --weights full.lsp --data LSP_TRAIN --only experiments/lsp_held_out.txt \
        --roi detector --search none --runtime litert --json evaluation.json
    python tools/end_to_end_losses.py evaluation.json --detector detector.lsp --data LSP_TRAIN

"Right" is as in ``detector_report.py``. "On somebody else" lies more than 0.3 of the true side
away; where a right ROI follows it, nothing but who is meant is wrong.
"""

import argparse
import collections
import json
from pathlib import Path

import numpy as np
from detector_report import SCORES, Seen, bind, see

from blazepose_jax.cli.options import locate
from blazepose_jax.cli.progress import progress
from blazepose_jax.data.annotations import true_roi
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.weights import load_weights

FAR = 0.3  # of the true side


def kind_of(seen: Seen) -> str:
    """What the first detection from the tracker's score on is."""
    right = seen.right(SCORES[0])
    if not len(right):
        return "nobody is found"
    if right[0]:
        return "right"
    where = "on somebody else" if seen.errors[0, 0] > FAR else "inexact"
    return f"{where}; {'a right one follows' if right.any() else 'none is right'}"


def main(argv: list[str] | None = None) -> None:
    """Print a Markdown table, and the annotations whose first ROI is on somebody else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--detector", required=True, metavar="W")
    parser.add_argument("--data", required=True)
    args = parser.parse_args(argv)
    report = json.loads(args.evaluation.read_text())
    if (report["roi"], report["search"]) != ("detector", "none"):
        parser.error(f"{args.evaluation} is no evaluation with --roi detector --search none")
    network = load_weights(locate(args.detector)).detector
    if network is None:
        parser.error(f"{args.detector} holds no detector: name weights that do")
    detect, data = bind(network), read_annotations(args.data)
    people = [
        (person, roi, report["hits_by_person"][str(person.id)])
        for person in data.people
        if str(person.id) in report["hits_by_person"]
        and (roi := true_roi(person, data.names)) is not None
    ]
    counts = collections.defaultdict(list)
    elsewhere = []
    for person, roi, hits in progress(people, len(people), "look", "people"):
        kind = kind_of(see(detect, to_frame(read_image(person.image)), 0, roi))
        counts[kind].append(hits)
        if kind.startswith("on somebody else"):
            elsewhere.append(person.id)
    print("| the first ROI is | people | % | PCK@0.2 |\n|---|---|---|---|")
    for kind, rows in sorted(counts.items(), key=lambda item: -len(item[1])):
        hit, points = np.sum(rows, axis=0)
        share = 100 * len(rows) / len(people)
        print(f"| {kind} | {len(rows)} | {share:.1f} | {100 * hit / points:.1f} |")
    print(f"\nOn somebody else: {' '.join(map(str, elsewhere))}")


if __name__ == "__main__":
    main()
