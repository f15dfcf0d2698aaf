"""Reports of predictions: rates over people and keypoints."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from blazepose_jax.data.annotations import Annotations, Person, size_of
from blazepose_jax.evaluation import metrics
from blazepose_jax.evaluation.predict import Prediction
from blazepose_jax.skeleton import BLAZEPOSE, COCO, Skeleton

# Two ends of a torso, each the middle of its points.
Ends = tuple[tuple[str, ...], tuple[str, ...]]
# In BlazePose's names.
TORSOS: dict[str, Ends] = {
    "lsp": ((metrics.LSP_TORSO[0],), (metrics.LSP_TORSO[1],)),
    "mid": (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")),
}
CENTER = "center"  # the torso of a set without those points: from its centre to its up points
BOX = "box"  # in place of a torso: ``annotations.size_of``
NOWHERE = 1e9  # px; farther from any point than any share of a torso
DRAWS, SEED = 10_000, 1  # of the bootstrap


def choose_torso(
    name: str, names: tuple[str, ...], skeleton: Skeleton, people: Sequence[Person] = ()
) -> Ends | None:
    """The points whose distance PCK is measured by.

    Those of ``name``, by the points of the body; else the set's own centre and up points; else
    none, and the box round the labelled points takes their place. A torso is taken only where all
    who are measured have it labelled: where these points place the ROI, or by a look at everybody.

    Args:
      name: a key of ``TORSOS``, ``center`` or ``box``.
      names: n keypoints of the data.
      skeleton: of the net.
      people: of the data.

    Returns:
      Ends in the skeleton's names; None for the box.
    """
    if name == BOX:
        return None
    mine = {
        body: point for point, body in zip(skeleton.keypoints, skeleton.body_names, strict=True)
    }
    own = (skeleton.center, skeleton.up)
    asked = own
    if name in TORSOS:
        start, end = (tuple(mine.get(point, "") for point in end) for end in TORSOS[name])
        asked = start, end
    return next((ends for ends in (asked, own) if _is_known(ends, names, skeleton, people)), None)


def _is_known(
    ends: Ends, names: tuple[str, ...], skeleton: Skeleton, people: Sequence[Person]
) -> bool:
    """Whether all who are measured have the ends of a torso labelled."""
    points = {*ends[0], *ends[1]}
    if not all(ends) or not points <= set(names):
        return False
    if skeleton.roi == "points":
        return points <= {*skeleton.center, *skeleton.up}
    columns = [names.index(point) for point in points]
    return bool(people) and all((p.visibility_flags[columns] > 0).all() for p in people)


def describe_torso(torso: Ends | None) -> str:
    """The unit of PCK in words."""
    if torso is None:
        return "longer side of the box round the labelled points"
    return " to ".join("+".join(end) for end in torso)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Predictions and labels of N people, image px.

    Attributes:
      predicted: (N, K, 2) float32; ``NOWHERE`` where nobody was found.
      true: (N, K, 2) float32.
      flags: (N, K) int32, visibility flags.
      torso: (N,) float32, length, or what takes its place.
    """

    predicted: np.ndarray
    true: np.ndarray
    flags: np.ndarray
    torso: np.ndarray

    def rate(
        self, fraction: float, mask: np.ndarray, columns: list[int] | slice = slice(None)
    ) -> float | None:
        """PCK of the points of (N, K) ``mask`` in percent; None where there are none."""
        hits, total = metrics.pck(
            self.predicted[:, columns],
            self.true[:, columns],
            mask[:, columns],
            self.torso,
            fraction,
        )
        return round(100 * float(hits.sum()) / int(total.sum()), 2) if int(total.sum()) else None


def _rows(
    predictions: list[Prediction], data: Annotations, names: tuple[str, ...], torso: Ends | None
) -> _Rows:
    columns = [data.names.index(name) for name in names]
    return _Rows(
        np.nan_to_num(np.stack([p.keypoints for p in predictions]), nan=NOWHERE),
        np.stack([p.person.keypoints[columns] for p in predictions]),
        np.stack([p.person.visibility_flags[columns] for p in predictions]),
        _lengths([p.person for p in predictions], data.names, torso),
    )


def _lengths(people: list[Person], names: tuple[str, ...], torso: Ends | None) -> np.ndarray:
    """(N,) px, the torsos of people, or their sizes."""
    if torso is None:
        return np.array([size_of(person) for person in people], np.float32)
    start, end = (
        np.stack([p.keypoints[[names.index(n) for n in end]].mean(0) for p in people])
        for end in torso
    )
    return np.linalg.norm(start - end, axis=-1)


def hits_by_person(
    predictions: list[Prediction],
    data: Annotations,
    names: tuple[str, ...],
    torso: Ends | None,
    fraction: float = 0.2,
) -> tuple[np.ndarray, np.ndarray]:
    """How many points of each person lie within a fraction of the torso, and how many are labelled.

    Args: as for ``report``, and the fraction.

    Returns:
      (N,) int and (N,) int.
    """
    rows = _rows(predictions, data, names, torso)
    distance = np.linalg.norm(rows.predicted - rows.true, axis=-1)
    labelled = rows.flags > 0
    return ((distance < fraction * rows.torso[:, None]) & labelled).sum(1), labelled.sum(1)


def paired_difference(
    before: np.ndarray, after: np.ndarray, counted: np.ndarray
) -> tuple[float, float, float]:
    """The difference of two rates on the same people, and its 95 % interval.

    The interval is that of a bootstrap over people, both of whose hits are drawn together.

    Args:
      before: (N,) hits of each person.
      after: (N,) hits of each person, by something else.
      counted: (N,) how many each of them could have.

    Returns:
      The difference, and the ends of the interval, in points of percent.
    """
    draws = np.random.default_rng(SEED).integers(0, len(counted), (DRAWS, len(counted)))
    gain = np.asarray(after).astype(float) - np.asarray(before)
    low, high = np.percentile(100 * gain[draws].sum(1) / counted[draws].sum(1), (2.5, 97.5))
    return 100 * float(gain.sum() / counted.sum()), float(low), float(high)


def report(
    predictions: list[Prediction],
    data: Annotations,
    names: tuple[str, ...],
    torso: Ends | None,
    skeleton: Skeleton = BLAZEPOSE,
) -> dict[str, Any]:
    """Sum up predictions.

    Args:
      predictions: of N people, from ``predict``.
      data: the annotations that they were made from.
      names: K keypoints in the predictions.
      torso: of ``choose_torso``.
      skeleton: of the net.

    Returns:
      Plain data for JSON; rates in percent, None where the labels do not allow a figure.
    """
    rows = _rows(predictions, data, names, torso)
    labelled = rows.flags > 0
    bodies = dict(zip(skeleton.keypoints, skeleton.body_names, strict=True))
    coco = [i for i, name in enumerate(names) if bodies[name] in COCO.keypoints]
    areas = np.array([p.person.area for p in predictions])
    sigmas = metrics.oks_sigmas(skeleton, names)
    similarity = np.asarray(metrics.oks(rows.predicted, rows.true, labelled, areas, sigmas))
    scores = np.array([p.score for p in predictions])
    # COCO leaves out people without a labelled point.
    some = labelled.any(1)
    precision = metrics.average_precision(similarity[some], scores[some]) if some.any() else None
    return {
        "pck@0.2": rows.rate(0.2, labelled),
        "pck@0.1": rows.rate(0.1, labelled),
        "coco17_pck@0.2": rows.rate(0.2, labelled, coco) if coco else None,
        "oks_ap": None if precision is None else round(100 * precision, 2),
        "people": len(predictions),
        "people_found": int((scores > 0).sum()),
        "points": int(labelled.sum()),
        "per_keypoint": {name: rows.rate(0.2, labelled, [i]) for i, name in enumerate(names)},
        "pck@0.2_visible": rows.rate(0.2, rows.flags == 2),
        "pck@0.2_occluded": rows.rate(0.2, rows.flags == 1),
        "pck@0.2_by_hidden_share": _rates_by_hidden_share(rows),
        **_visibility_figures(predictions, rows.flags),
        "torso": describe_torso(torso),
        "dropped": {reason: len(ids) for reason, ids in data.dropped.items()},
    }


def _rates_by_hidden_share(rows: _Rows) -> dict[str, float | None]:
    """PCK of people by the share of their points that are labelled hidden, or not labelled."""
    hidden = (rows.flags != 2).mean(1)
    shares = {
        "none": hidden == 0,
        "up to a quarter": (hidden > 0) & (hidden <= 0.25),
        "more": hidden > 0.25,
    }
    labelled = rows.flags > 0
    return {name: rows.rate(0.2, labelled & people[:, None]) for name, people in shares.items()}


def _visibility_figures(
    predictions: list[Prediction], flags: np.ndarray
) -> dict[str, float | None]:
    """How well the predicted visibility agrees with the labels of (N, K) ``flags``."""
    has_occlusion_labels = np.array([p.person.labels_occlusion for p in predictions])
    counted = (flags > 0) & has_occlusion_labels[:, None]
    if not counted.any():
        return {"visibility_auc": None, "visibility_calibration_error": None}
    scores = np.stack([p.visibility for p in predictions])[counted]
    visible = flags[counted] == 2
    return {
        "visibility_auc": metrics.auc(scores, visible),
        "visibility_calibration_error": metrics.calibration_error(scores, visible),
    }
