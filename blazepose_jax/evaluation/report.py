"""What predictions are worth: rates over people and points."""

from typing import Any

import numpy as np

from blazepose_jax.data.annotations import Annotations
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.evaluation import metrics
from blazepose_jax.evaluation.predict import Prediction
from blazepose_jax.skeleton import COCO, Skeleton

Ends = tuple[tuple[str, ...], tuple[str, ...]]
TORSOS: dict[str, Ends] = {
    "lsp": (("left_shoulder",), ("right_hip",)),  # evalLSP's
    "mid": (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")),
}
CENTER = "center"  # the torso of a set without those points: from its centre to its up points


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
    # whoever has a ROI has these labelled; others may be unlabelled
    own = (
        skeleton.center,
        skeleton.up,
    )
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


def hits_by_person(
    predictions: list[Prediction], data: Annotations, names: tuple[str, ...], torso: Ends
) -> tuple[np.ndarray, np.ndarray]:
    """How many points of each person lie within 0.2 torso, and how many are labelled.

    (N,) and (N,) int.
    """
    columns = [data.names.index(name) for name in names]
    hits, totals = [], []
    for p in predictions:
        ends = [p.person.keypoints[[data.names.index(n) for n in end]].mean(0) for end in torso]
        distance = np.linalg.norm(
            np.nan_to_num(p.keypoints, nan=1e9) - p.person.keypoints[columns], axis=-1
        )
        labelled = p.person.visibility_flags[columns] > 0
        hits.append(int(((distance < 0.2 * np.linalg.norm(ends[0] - ends[1])) & labelled).sum()))
        totals.append(int(labelled.sum()))
    return np.array(hits), np.array(totals)


def report(
    predictions: list[Prediction], data: Annotations, names: tuple[str, ...], torso: Ends
) -> dict[str, Any]:
    """Sum up.

    Args:
      predictions: from ``predict``.
      data: what they were made from.
      names: K keypoints in the predictions.
      torso: of ``choose_torso``.

    Returns:
      Plain data for JSON; rates in percent, None where the labels do not allow a figure.
    """
    columns = [data.names.index(name) for name in names]
    true = np.stack([p.person.keypoints[columns] for p in predictions])  # (N, K, 2)
    flags = np.stack([p.person.visibility_flags[columns] for p in predictions])
    predicted = np.nan_to_num(np.stack([p.keypoints for p in predictions]), nan=1e9)
    ends = [
        np.stack(
            [p.person.keypoints[[data.names.index(n) for n in end]].mean(0) for p in predictions]
        )
        for end in torso
    ]
    size = np.linalg.norm(ends[0] - ends[1], axis=-1)
    labelled = flags > 0

    def rate(fraction: float, mask: np.ndarray, keep: list[int] | None = None) -> float | None:
        keep = list(range(len(names))) if keep is None else keep
        hits, total = metrics.pck(predicted[:, keep], true[:, keep], mask[:, keep], size, fraction)
        return round(100 * float(hits.sum()) / int(total.sum()), 2) if int(total.sum()) else None

    # Who is occluded or truncated: the share of points that are labelled hidden, or not labelled at
    # all.
    hidden = (flags != 2).mean(1)
    shares = {
        "none": hidden == 0,
        "up to a quarter": (hidden > 0) & (hidden <= 0.25),
        "more": hidden > 0.25,
    }
    coco = [i for i, name in enumerate(names) if name in COCO.keypoints]
    areas = np.array([p.person.area for p in predictions])
    similarity = np.asarray(metrics.oks(predicted, true, labelled, areas, names))
    scores = np.array([p.score for p in predictions])
    visible = np.stack([p.visibility for p in predictions])[labelled]
    # LSP Extended's "visible" says no more than labelled.
    told = np.stack([np.full(len(names), p.person.data_set != "lspet") for p in predictions])[
        labelled
    ]
    clear = (flags[labelled] == 2)[told]
    return {
        "pck@0.2": rate(0.2, labelled),
        "pck@0.1": rate(0.1, labelled),
        "coco17_pck@0.2": rate(0.2, labelled, coco) if coco else None,
        "oks_ap": round(100 * metrics.average_precision(similarity, scores), 2),
        "people": len(predictions),
        "people_found": int((scores > 0).sum()),
        "points": int(labelled.sum()),
        "per_keypoint": {name: rate(0.2, labelled, [i]) for i, name in enumerate(names)},
        "pck@0.2_visible": rate(0.2, flags == 2),
        "pck@0.2_occluded": rate(0.2, flags == 1),
        "pck@0.2_by_hidden_share": {
            name: rate(0.2, labelled & rows[:, None]) for name, rows in shares.items()
        },
        "visibility_auc": metrics.auc(visible[told], clear) if told.any() else None,
        "visibility_calibration_error": (
            metrics.calibration_error(visible[told], clear) if told.any() else None
        ),
        "torso": " to ".join("+".join(end) for end in torso),
        "dropped": {reason: len(ids) for reason, ids in data.dropped.items()},
    }
