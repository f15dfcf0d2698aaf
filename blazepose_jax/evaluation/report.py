"""Reports of predictions: rates over people and keypoints."""

import dataclasses
from typing import Any

import numpy as np

from blazepose_jax.data.annotations import LSP_EXTENDED, Annotations
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.evaluation import metrics
from blazepose_jax.evaluation.predict import Prediction
from blazepose_jax.skeleton import COCO, Skeleton

# Two ends of a torso, each the middle of its points.
Ends = tuple[tuple[str, ...], tuple[str, ...]]
TORSOS: dict[str, Ends] = {
    "lsp": ((metrics.LSP_TORSO[0],), (metrics.LSP_TORSO[1],)),
    "mid": (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")),
}
CENTER = "center"  # the torso of a set without those points: from its centre to its up points
NOWHERE = 1e9  # px; farther from any point than any share of a torso


def choose_torso(name: str, names: tuple[str, ...], skeleton: Skeleton) -> Ends:
    """The points whose distance PCK is measured by.

    Those of ``name``, or the set's own centre and up points.

    Args:
      name: a key of ``TORSOS``, or ``center``.
      names: keypoints of the data.
      skeleton: of the net.

    Raises:
      BlazePoseError: the data has neither.
    """
    # Whoever has a ROI has these labelled; others may be unlabelled.
    own = (skeleton.center, skeleton.up)
    for ends in ([] if name == CENTER else [TORSOS[name]]) + [own]:
        if all(
            point in names and (ends is own or point in own[0] + own[1])
            for end in ends
            for point in end
        ):
            return ends
    raise BlazePoseError(
        f"the data has no {', '.join(skeleton.center + skeleton.up)} to measure a torso by (it has "
        f"{', '.join(names[:6])}): rename them in the annotations"
    )


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Predictions and labels of N people, image px.

    Attributes:
      predicted: (N, K, 2) float32; ``NOWHERE`` where nobody was found.
      true: (N, K, 2) float32.
      flags: (N, K) int32, visibility flags.
      torso: (N,) float32, length.
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
    predictions: list[Prediction], data: Annotations, names: tuple[str, ...], torso: Ends
) -> _Rows:
    columns = [data.names.index(name) for name in names]
    start, end = (
        np.stack(
            [p.person.keypoints[[data.names.index(n) for n in end]].mean(0) for p in predictions]
        )
        for end in torso
    )
    return _Rows(
        np.nan_to_num(np.stack([p.keypoints for p in predictions]), nan=NOWHERE),
        np.stack([p.person.keypoints[columns] for p in predictions]),
        np.stack([p.person.visibility_flags[columns] for p in predictions]),
        np.linalg.norm(start - end, axis=-1),
    )


def hits_by_person(
    predictions: list[Prediction], data: Annotations, names: tuple[str, ...], torso: Ends
) -> tuple[np.ndarray, np.ndarray]:
    """How many points of each person lie within 0.2 torso, and how many are labelled.

    Args: as for ``report``.

    Returns:
      (N,) int and (N,) int.
    """
    rows = _rows(predictions, data, names, torso)
    distance = np.linalg.norm(rows.predicted - rows.true, axis=-1)
    labelled = rows.flags > 0
    return ((distance < 0.2 * rows.torso[:, None]) & labelled).sum(1), labelled.sum(1)


def report(
    predictions: list[Prediction], data: Annotations, names: tuple[str, ...], torso: Ends
) -> dict[str, Any]:
    """Sum up predictions.

    Args:
      predictions: of N people, from ``predict``.
      data: the annotations that they were made from.
      names: K keypoints in the predictions.
      torso: of ``choose_torso``.

    Returns:
      Plain data for JSON; rates in percent, None where the labels do not allow a figure.
    """
    rows = _rows(predictions, data, names, torso)
    labelled = rows.flags > 0
    coco = [i for i, name in enumerate(names) if name in COCO.keypoints]
    areas = np.array([p.person.area for p in predictions])
    similarity = np.asarray(metrics.oks(rows.predicted, rows.true, labelled, areas, names))
    scores = np.array([p.score for p in predictions])
    return {
        "pck@0.2": rows.rate(0.2, labelled),
        "pck@0.1": rows.rate(0.1, labelled),
        "coco17_pck@0.2": rows.rate(0.2, labelled, coco) if coco else None,
        "oks_ap": round(100 * metrics.average_precision(similarity, scores), 2),
        "people": len(predictions),
        "people_found": int((scores > 0).sum()),
        "points": int(labelled.sum()),
        "per_keypoint": {name: rows.rate(0.2, labelled, [i]) for i, name in enumerate(names)},
        "pck@0.2_visible": rows.rate(0.2, rows.flags == 2),
        "pck@0.2_occluded": rows.rate(0.2, rows.flags == 1),
        "pck@0.2_by_hidden_share": _rates_by_hidden_share(rows),
        **_visibility_figures(predictions, rows.flags),
        "torso": " to ".join("+".join(end) for end in torso),
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
    # LSP Extended's "visible" says no more than labelled.
    has_occlusion_labels = np.array([p.person.data_set != LSP_EXTENDED for p in predictions])
    counted = (flags > 0) & has_occlusion_labels[:, None]
    if not counted.any():
        return {"visibility_auc": None, "visibility_calibration_error": None}
    scores = np.stack([p.visibility for p in predictions])[counted]
    visible = flags[counted] == 2
    return {
        "visibility_auc": metrics.auc(scores, visible),
        "visibility_calibration_error": metrics.calibration_error(scores, visible),
    }
