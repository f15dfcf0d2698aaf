"""Two reports of `blazepose evaluate --json` on the same people: the difference, and its interval.

    python tools/paired_difference.py BEFORE.json AFTER.json [AFTER2.json ...]

PCK@0.2; the 95 % interval is that of a bootstrap over people, whose hits are drawn together.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from blazepose_jax.evaluation.report import paired_difference


def hits(path: Path) -> dict[str, tuple[int, int]]:
    """By person: hits, and how many there could be."""
    report = json.loads(path.read_text(encoding="utf-8"))
    if "hits_by_person" not in report:
        raise SystemExit(f"{path} does not say who was hit: run blazepose evaluate --json again")
    return report["hits_by_person"]


def main(argv: list[str] | None = None) -> None:
    """Print a row for each report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="+")
    args = parser.parse_args(argv)
    base = hits(args.before)
    print("| report | PCK@0.2 | difference | 95 % |\n|---|---|---|---|")
    for path in args.after:
        found = hits(path)
        if found.keys() != base.keys():
            raise SystemExit(f"{path} is of other people than {args.before}")
        after, counted = np.array([found[person] for person in base]).T
        before = np.array([row[0] for row in base.values()])
        gain, low, high = paired_difference(before, after, counted)
        rate = 100 * after.sum() / counted.sum()
        print(f"| {path.stem} | {rate:.2f} | {gain:+.2f} | {low:+.2f} to {high:+.2f} |")


if __name__ == "__main__":
    main()
