"""Labelled looks: features of looks, and how right each of them was."""

import dataclasses
from functools import partial

import jax
import numpy as np
from looks import DETECTED, SECOND_LOOK, TRUNK, TRUTH

from blazepose_jax.codecs.heatmap_summary import HeatmapSummary
from blazepose_jax.inference import quality, search
from blazepose_jax.inference.search import CANDIDATES
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI, Array, Poses

BODY, SIDE = len(BLAZEPOSE.keypoints), 256
JOINT_ROWS = np.array(BLAZEPOSE.indices(quality.JOINTS))
UNLABELLED = 0.3  # weight of points that no human has labelled
SOMEBODY_ELSE = 0.4  # sides of the truth's ROI between hips from which a look is at another person
CALIBRATING = 0.1
Rows = dict[str, np.ndarray]


def read_looks(paths: list[str]) -> Rows:
    """Files of ``collect`` as one; ``person`` counts on through them."""
    tables: list[Rows] = []
    before = 0
    for path in paths:
        table = dict(np.load(path))
        table["person"] = table["person"] + before
        before += len(table["id"])
        tables.append(table)
    names = tables[0].pop("names")
    return {"names": names, **{key: np.concatenate([t[key] for t in tables]) for key in tables[0]}}


def hits_of(looks: Rows, decode: str, points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(looks, points) bool: within a fifth of the torso of (looks, points, 2) ``truth``."""
    apart = np.linalg.norm(looks[decode][:, points] - truth, axis=-1)
    return apart < 0.2 * torsos(looks)[looks["person"], None]


def torsos(looks: Rows) -> np.ndarray:
    """(people,) px."""
    start, end = (
        looks["true"][:, list(looks["names"]).index(name)]
        for name in ("left_shoulder", "right_hip")
    )
    return np.linalg.norm(start - end, axis=-1)


def examples(looks: Rows, decode: str = "heatmap") -> Rows:
    """What the function learns from: features, and labels with weights.

    Of the 12 joints LSP has labels. The other points are compared with what the same net sees in
    the truth's ROI, where that is right about the joints. Looks at somebody else than the labelled
    person say nothing.
    """
    names, person = list(looks["names"]), looks["person"]
    columns = [names.index(name) for name in quality.JOINTS]
    true, labelled = looks["true"][:, columns][person], looks["flags"][:, columns][person] > 0
    hits = hits_of(looks, decode, JOINT_ROWS, true) & labelled
    right, weights = np.zeros((len(person), BODY), np.float32), np.zeros((len(person), BODY))
    right[:, JOINT_ROWS], weights[:, JOINT_ROWS] = hits, labelled
    of_truth = np.full(len(looks["id"]), -1)
    at_truth = np.flatnonzero(looks["kind"] == TRUTH)
    of_truth[person[at_truth]] = at_truth
    known = labelled[at_truth].sum(1)
    sure = (known >= 10) & (hits[at_truth].sum(1) >= 0.8 * known)
    example = np.full(len(looks["id"]), -1)
    example[person[at_truth[sure]]] = at_truth[sure]
    example, others = example[person], np.setdiff1d(np.arange(BODY), JOINT_ROWS)
    near = hits_of(looks, decode, others, looks[decode][example][:, others])
    right[:, others] = np.where(example[:, None] >= 0, near, 0)
    weights[:, others] = np.where(example[:, None] >= 0, UNLABELLED, 0)
    hips = [names.index(name) for name in TRUNK[2:]]
    apart = looks[decode][:, list(BLAZEPOSE.indices(TRUNK[2:]))].mean(1)
    apart = np.linalg.norm(apart - looks["true"][:, hips].mean(1)[person], axis=-1)
    side = looks["roi"][of_truth, 2][person]
    somebody_else = (looks["kind"] <= SECOND_LOOK) & (of_truth[person] >= 0)
    somebody_else &= apart > SOMEBODY_ELSE * side
    weights[somebody_else] = 0
    judged = (labelled.sum(1) >= 3) & ~somebody_else
    points, pose = jax.device_get(features(looks))
    return {
        "points": points,
        "pose": pose,
        "right": right,
        "weights": weights.astype(np.float32),
        "share": (hits.sum(1) / np.maximum(labelled.sum(1), 1)).astype(np.float32),
        "judged": judged.astype(np.float32),
        "hits": hits.sum(1).astype(np.float32),
    }


def features(looks: Rows) -> tuple[jax.Array, jax.Array]:
    """The quality function's inputs for every look: (looks, 33, F) and (looks, F)."""

    @jax.jit
    @jax.vmap
    def one(
        landmarks: Array, presence: Array, found: HeatmapSummary
    ) -> tuple[jax.Array, jax.Array]:
        xy = landmarks[:, :2] / SIDE
        body, joints = (
            jax.tree.map(lambda a, rows=rows: a[rows], found) for rows in (slice(BODY), JOINT_ROWS)
        )
        pose = quality.pose_features(xy[JOINT_ROWS], xy[BODY : BODY + 2], presence, joints)
        return quality.point_features(xy[:BODY], landmarks[:BODY, 3:5], body), pose

    names = [field.name for field in dataclasses.fields(HeatmapSummary)]
    found = HeatmapSummary(**{name: looks[name] for name in names})
    return one(looks["landmarks"], looks["presence"], found)


def last_people(looks: Rows) -> np.ndarray:
    """(looks,) bool: of the last tenth of the people."""
    return looks["person"] >= (1 - CALIBRATING) * len(looks["id"])


def hypotheses(looks: Rows, data: Rows, parameters: quality.Parameters, turns: int) -> Rows:
    """What the judge learns from: facts and shares of hits of (people, M) hypotheses.

    By the search's own functions: the first looks, then the second looks in the same order.
    """
    confidence, whole = (
        jax.nn.sigmoid(a) for a in run_function(parameters, data["points"], data["pose"])
    )
    confidence, whole = np.asarray(confidence), np.asarray(whole)
    half = CANDIDATES * turns
    describe = jax.jit(partial(search.describe, skeleton=BLAZEPOSE))
    near_of = jax.jit(partial(search.agreement, skeleton=BLAZEPOSE))
    table: dict[str, list[np.ndarray]] = {"facts": [], "hits": [], "valid": [], "row": []}
    for person in range(len(looks["id"])):
        mine = np.flatnonzero((looks["person"] == person) & (looks["turn"] < turns))
        firsts = mine[looks["kind"][mine] == DETECTED][:half]
        row = np.full(2 * half, -1)
        row[: len(firsts)] = firsts
        for place, first in enumerate(firsts):
            if first + 1 < len(looks["kind"]) and looks["kind"][first + 1] == SECOND_LOOK:
                row[half + place] = first + 1
        valid, square = row >= 0, looks["roi"][row]
        zeros = np.zeros(2 * half, np.float32)
        poses = Poses(
            present=valid,
            ids=row,
            presence=np.asarray(jax.nn.sigmoid(looks["presence"][row])),
            keypoints=looks["heatmap"][row],
            visibility=zeros,
            point_presence=zeros,
            roi=ROI(square[:, :2], square[:, 2], square[:, 3]),
            quality=whole[row],
            confidence=confidence[row],
        )
        near = near_of(poses)
        second = np.arange(2 * half) >= half
        facts = describe(poses, looks["score"][row], second, near, valid, looks["size"][person])
        table["facts"].append(np.asarray(facts))
        table["hits"].append(np.where(valid, data["hits"][row], 0) / len(JOINT_ROWS))
        table["valid"].append(valid)
        table["row"].append(row)
    return {key: np.stack(rows) for key, rows in table.items()}


def run_function(
    parameters: quality.Parameters, points: Array, pose: Array
) -> tuple[jax.Array, jax.Array]:
    """(looks, 33) logits of points, and (looks,) of poses."""

    def one(point_rows: Array, pose_row: Array) -> tuple[jax.Array, jax.Array]:
        logits = quality.confidence_logits(parameters, np.arange(BODY), point_rows, pose_row)
        joints = jax.lax.stop_gradient(logits[JOINT_ROWS])
        return logits, quality.quality_logit(parameters, joints, pose_row)

    return jax.vmap(one)(points, pose)
