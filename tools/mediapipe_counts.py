"""What is counted of people and of pictures of nobody, and the table of it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mediapipe_skeletons import Example
from mediapipe_turns import Answers

from blazepose_jax.data.annotations import Annotations
from blazepose_jax.evaluation.predict import Prediction
from blazepose_jax.evaluation.report import TORSOS, hits_by_person, paired_difference
from blazepose_jax.io.images import picture_size
from blazepose_jax.skeleton import BLAZEPOSE

TORSO = TORSOS["lsp"]
FRACTIONS = {"pck@0.2": 0.2, "pck@0.1": 0.1}  # of the torso
# The row with which the others are compared; and the rows of the picture, by whose they are.
MEDIAPIPE = "MediaPipe, Google's files"
SHOWN = {"MediaPipe": MEDIAPIPE, "ours": "ours, search quick"}
LARGEST = 10
NOTES = """\
{people} people, {points} labelled points, {photographs} photographs. A hit lies within 0.2 or
0.1 of the torso, {torso}; where nobody is found, all points are missed.
Found: people in whose picture somebody is found.
False detections: pictures of nobody in which somebody is found. Corners of photographs lie at least
{clear} of a person's size from every labelled point; others may stand there: an upper bound.
Signed: the difference from MediaPipe with Google's files, and its 95 % interval by a bootstrap over
people, or over the pictures of nobody.
Times: medians over the photographs, all in turns; in brackets the processor time of all threads.
LiteRT with threads: {litert_threads}. MediaPipe computes with one.
MediaPipe apps get the graph's answers: the first line, and with our .task, which holds the same
weights, the second. The search is our pipeline's alone."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """What is counted of N people, and of M pictures of nobody of each kind.

    Attributes:
      hits: by a key of ``FRACTIONS``, (N,) points within that share of the torso.
      labelled: (N,) points.
      found: (N,) bool: somebody is found in their picture.
      false: by kind, (M,) bool: somebody is found where nobody is.
    """

    hits: dict[str, np.ndarray]
    labelled: np.ndarray
    found: np.ndarray
    false: dict[str, np.ndarray]

    def rates(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By name: what there is of each person or picture, and how much there could be."""
        rates = {name: (hits, self.labelled) for name, hits in self.hits.items()}
        found = {"people_found": self.found, **self.false}
        return rates | {name: (one, np.ones(len(one))) for name, one in found.items() if len(one)}


def photographs(data: Annotations) -> list[Path]:
    """Each photograph once, in the order of the people."""
    return list(dict.fromkeys(person.image for person in data.people))


def shared_names(data: Annotations) -> tuple[str, ...]:
    """The points that are measured."""
    return tuple(name for name in BLAZEPOSE.keypoints if name in data.names)


def count(data: Annotations, answers: Answers, nobody: Mapping[str, int]) -> Counts:
    """Count; of people who are not found all points are missed.

    Args:
      data: N people.
      answers: on their photographs, then on the pictures of nobody.
      nobody: how many of these there are, by kind.
    """
    names, images = shared_names(data), photographs(data)
    by_image = dict(zip(images, answers.points, strict=False))
    rows, predictions = list(BLAZEPOSE.indices(names)), []
    for person in data.people:
        points = by_image[person.image]
        known = np.full((len(names), 2), np.nan) if points is None else points[rows]
        predictions.append(Prediction(person, known, np.zeros(len(names)), 0.0, None))
    counted = {
        name: hits_by_person(predictions, data, names, TORSO, fraction)
        for name, fraction in FRACTIONS.items()
    }
    present = np.array([points is not None for points in answers.points], bool)
    ends = np.cumsum([len(images), *nobody.values()])
    return Counts(
        {name: hits for name, (hits, _) in counted.items()},
        counted["pck@0.2"][1],
        np.array([by_image[person.image] is not None for person in data.people]),
        dict(zip(nobody, np.split(present, ends)[1:], strict=False)),
    )


def sum_up(
    counts: dict[str, Counts], answers: dict[str, Answers], images: int
) -> dict[str, dict[str, Any]]:
    """The rows of one net.

    Args:
      counts: by row.
      answers: by row.
      images: number of photographs, which come first in the answers.

    Returns:
      By row: rates in percent and counts, medians of times, and the difference from ``MEDIAPIPE``
      in points of percent with the ends of its 95 % interval.
    """
    base, rows = counts[MEDIAPIPE].rates(), {}
    for name, one in counts.items():
        rates = one.rates()
        rows[name] = {
            **{key: float(100 * hits.sum() / one.labelled.sum()) for key, hits in one.hits.items()},
            "people_found": int(one.found.sum()),
            **{kind: int(false.sum()) for kind, false in one.false.items()},
            "ms": 1000 * float(np.median(answers[name].seconds[:images])),
            "processor_ms": 1000 * float(np.median(answers[name].processor[:images])),
        }
        if name != MEDIAPIPE:
            rows[name]["difference"] = {
                key: paired_difference(base[key][0], hits, counted)
                for key, (hits, counted) in rates.items()
            }
    return rows


def table(report: dict[str, Any]) -> str:
    """The report as a table in Markdown, and how to read it."""
    numbers = {"people_found": report["people"], **report["person_free"]}
    titles = (
        "net",
        "what runs",
        "PCK@0.2",
        "PCK@0.1",
        f"found, of {report['people']}",
        *(f"false detections, of {of} {kind}" for kind, of in report["person_free"].items()),
        "ms a picture",
    )
    lines = [titles, ["---"] * len(titles)]
    for net, rows in report["nets"].items():
        for name, row in rows.items():
            difference = row.get("difference", {})
            cells = [
                *(f"{row[key]:.1f}{signed(difference.get(key))}" for key in FRACTIONS),
                *(f"{row[key]}{signed(difference.get(key), of)}" for key, of in numbers.items()),
                f"{row['ms']:.0f} ({row['processor_ms']:.0f})",
            ]
            lines.append([net if name == MEDIAPIPE else "", name, *cells])
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{text}\n\n{NOTES.format(**report)}"


def signed(difference: tuple[float, float, float] | None, of: int | None = None) -> str:
    """A difference and its interval; "" for none.

    Args:
      difference: of ``paired_difference``.
      of: how many are 100 percent, to write it in these; None for points of percent.
    """
    if difference is None:
        return ""
    if of is None:
        gain, low, high = (f"{value:+.1f}" for value in difference)
    else:
        gain, low, high = (f"{round(of * value / 100):+d}" for value in difference)
    return f", {gain} ({low} to {high})"


def largest(counts: dict[str, Counts]) -> dict[str, list[int]]:
    """The people with the largest gains and losses between the rows of the picture.

    Ordered by points within 0.2 of the torso, then within 0.1, then as in the data.

    Returns:
      Positions of people, by heading; at most ``LARGEST`` of each.
    """
    before, after = (counts[row].hits for row in SHOWN.values())
    gain, fine = (after[key].astype(int) - before[key] for key in FRACTIONS)
    gains, losses = np.lexsort((-fine, -gain)), np.lexsort((fine, gain))
    return {
        "the largest gains": [int(i) for i in gains if gain[i] > 0][:LARGEST],
        "the largest losses": [int(i) for i in losses if gain[i] < 0][:LARGEST],
    }


def example(
    data: Annotations, i: int, counts: dict[str, Counts], answers: dict[str, Answers]
) -> Example:
    """One person of the picture.

    Args:
      data: N people.
      i: which of them.
      counts: by row.
      answers: by row.
    """
    person, names = data.people[i], shared_names(data)
    at, columns = photographs(data).index(person.image), [data.names.index(n) for n in names]
    known = person.visibility_flags[columns, None] > 0
    labels = np.where(known, person.keypoints[columns], np.nan)
    skeletons: dict[str, np.ndarray | None] = {"labels": labels}
    texts = []
    for whose, row in SHOWN.items():
        points = answers[row].points[at]
        skeletons[whose] = None if points is None else points[list(BLAZEPOSE.indices(names))]
        hits, labelled = counts[row].hits["pck@0.2"][i], counts[row].labelled[i]
        texts.append(f"{whose} {'nobody' if points is None else f'{hits} of {labelled}'}")
    return Example(skeletons, names, picture_size(person.image), ", ".join(texts))
