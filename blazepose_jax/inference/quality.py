"""Quality: how likely each point, and the pose as a whole, are right.

A small network looks at what a forward pass gives anyway. tools/quality trained it on
people of LSP's training half; docs/quality.md is its model card.
"""

import functools
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from blazepose_jax.codecs.heatmap_summary import SMALL, HeatmapSummary, summarise
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import Array, Network, PoseOutputs

# Poses below it are nobody's, where ``Settings.search`` asks.
MIN_QUALITY = 0.1
PARAMETERS = Path(__file__).with_name("quality.safetensors")
# The points of limbs, from the trunk outwards, on both sides.
LIMBS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
SIDES = ("left", "right")
JOINTS = tuple(f"{side}_{joint}" for limb in LIMBS for joint in limb for side in SIDES)
FLAGS = ("visibility", "presence")
UNPREDICTED = 5.0  # logit
POINT_FEATURES, POSE_FEATURES = 12, 34
Parameters = Mapping[str, Array]


def _logit(p: Array) -> jax.Array:
    p = jnp.clip(p, 1e-3, 1 - 1e-3)
    return jnp.log(p) - jnp.log1p(-p)


def point_features(points_crop: Array, flags: Array, found: HeatmapSummary) -> jax.Array:
    """(K', ``POINT_FEATURES``) float32: what is known of each point by itself.

    Args:
      points_crop: (K', 2) regressed, crop frame.
      flags: (K', 2) logits of visibility and presence.
      found: of the heatmaps.
    """
    moved = jnp.linalg.norm(found.center - points_crop, axis=-1)
    nearly = jnp.linalg.norm(found.near_center - points_crop, axis=-1)
    return jnp.stack(
        [
            _logit(found.peak),
            _logit(found.near_peak),
            jnp.log(found.mass + 1e-2),
            jnp.log(found.sharp + 1e-3),
            found.near_sharp / (found.sharp + SMALL),
            jnp.log(moved + 1e-2),
            jnp.log(nearly + 1e-2),
            *jnp.clip(jnp.asarray(points_crop).T - 0.5, -1, 1),
            jnp.abs(jnp.asarray(points_crop) - 0.5).max(-1),
            *jnp.clip(jnp.asarray(flags).T / 4, -3, 3),
        ],
        -1,
    )


def pose_features(
    points_crop: Array, roi_points: Array, presence: Array, found: HeatmapSummary
) -> jax.Array:
    """(``POSE_FEATURES``,) float32: what is known of the pose as a whole.

    Args:
      points_crop: (12, 2) of ``JOINTS``, regressed, crop frame.
      roi_points: (2, 2) crop frame, the centre of the next ROI and the point on its circle.
      presence: () logit of a person.
      found: of the heatmaps of ``JOINTS``.
    """
    points = jnp.asarray(points_crop).reshape(2, 3, 2, 2)  # limb, joint, side, x and y
    shoulders, hips = points[0, 0].mean(0), points[1, 0].mean(0)
    torso = shoulders - hips
    length = jnp.linalg.norm(torso) + 1e-3
    circle = roi_points[1] - roi_points[0]
    limbs = jnp.linalg.norm(points[:, 1:] - points[:, :-1], axis=-1).ravel()  # (8,)
    widths = jnp.linalg.norm(points[:, 0, 0] - points[:, 0, 1], axis=-1)  # (2,)
    peaks = _logit(found.peak).reshape(6, 2)
    flat = points.reshape(-1, 2)
    return jnp.concatenate(
        [
            jnp.stack([jnp.clip(presence / 4, -3, 3), jnp.log(length)]),
            torso / length,
            jnp.clip(hips - 0.5, -1, 1),
            jnp.clip(roi_points[0] - 0.5, -1, 1),
            jnp.log(jnp.linalg.norm(circle) + 1e-2)[None],
            circle / (jnp.linalg.norm(circle) + 1e-3),
            jnp.log(limbs / length + 0.1),
            jnp.log(widths / length + 0.1),
            jnp.clip(flat.min(0) - 0.5, -1, 1),
            jnp.clip(flat.max(0) - 0.5, -1, 1),
            peaks.mean(1),
            jnp.stack(
                [peaks.min(), peaks.mean(), found.near_sharp.sum() / (found.sharp.sum() + SMALL)]
            ),
        ]
    )


def confidence_logits(parameters: Parameters, rows: Array, points: Array, pose: Array) -> jax.Array:
    """The confidence of points: one small network for all, which knows which point it looks at.

    Args:
      parameters: of the quality function.
      rows: (K,) int, of ``BLAZEPOSE``.
      points: (K, ``POINT_FEATURES``).
      pose: (``POSE_FEATURES``,).

    Returns:
      (K,) logits of lying within a fifth of the torso of the truth.
    """
    w = parameters
    hidden = points @ w["point.features"] + pose @ w["point.pose"] + w["point.rows"][rows]
    hidden = jax.nn.relu(jax.nn.relu(hidden) @ w["point.hidden"] + w["point.hidden_bias"])
    return hidden @ w["point.out"] + w["point.bias"]


def quality_logit(parameters: Parameters, joints: Array, pose: Array) -> jax.Array:
    """The quality of a pose.

    Args:
      parameters: of the quality function.
      joints: (12,) ``confidence_logits`` of ``JOINTS``.
      pose: (``POSE_FEATURES``,).

    Returns:
      () logit of the share of points that lie within a fifth of the torso of the truth.
    """
    w = parameters
    hidden = joints @ w["pose.joints"] + pose @ w["pose.features"] + w["pose.hidden_bias"]
    return jax.nn.relu(hidden) @ w["pose.out"] + w["pose.bias"]


@functools.cache
def load_parameters() -> dict[str, np.ndarray]:
    """The shipped parameters."""
    return load_file(PARAMETERS)


def assess(pose: Network, outputs: PoseOutputs) -> tuple[jax.Array, jax.Array]:
    """How likely points and poses are right.

    Args:
      pose: the network that gave ``outputs``.
      outputs: batch axis N.

    Returns:
      (N, K) probabilities of each keypoint to lie within a fifth of the torso of the truth, and
      (N,) the share that is expected to. The function knows poses with BlazePose's shoulders,
      elbows, wrists, hips, knees and ankles, ROI points and heatmaps; of others these are, without
      calibration, the heatmaps' peaks, or else the visibilities, and the presence of the pose.
    """
    skeleton, count = pose.skeleton or BLAZEPOSE, jnp.shape(outputs.presence)[0]
    body = len(skeleton.keypoints)
    known = known_rows(skeleton)
    if known is None or outputs.heatmap is None:
        presence = jax.nn.sigmoid(jnp.asarray(outputs.presence)[:, 0])
        if outputs.heatmap is not None:
            peaks = jax.nn.sigmoid(jnp.asarray(outputs.heatmap).max((1, 2)))[:, :body]
            return peaks, presence
        if "visibility" in pose.fields:
            column = pose.fields.index("visibility")
            return jax.nn.sigmoid(jnp.asarray(outputs.landmarks)[:, :body, column]), presence
        return jnp.broadcast_to(presence[:, None], (count, body)), presence
    rows, joints = known
    return jax.vmap(partial(_assess_one, pose, rows, joints))(outputs, outputs.heatmap)


@functools.cache
def known_rows(skeleton: Skeleton) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """What the function knows of a keypoint set.

    Returns:
      The row of ``BLAZEPOSE`` of each keypoint, its length for others; and the set's own rows of
      ``JOINTS``. None for sets without those or without ROI points.
    """
    names = skeleton.body_names
    if not skeleton.has_roi_points or not set(JOINTS) <= set(names):
        return None
    everything = BLAZEPOSE.keypoints
    rows = tuple(everything.index(n) if n in everything else len(everything) for n in names)
    return rows, tuple(names.index(name) for name in JOINTS)


def _assess_one(
    pose: Network,
    rows: tuple[int, ...],
    joints: tuple[int, ...],
    outputs: PoseOutputs,
    heatmap: Array,
) -> tuple[jax.Array, jax.Array]:
    """One person, without batch axis."""
    parameters, body, of_joints = load_parameters(), len(rows), np.array(joints)
    landmarks = jnp.asarray(outputs.landmarks)
    points = landmarks[:, :2] / pose.side
    columns = [pose.fields.index(name) for name in FLAGS if name in pose.fields]
    # A net that does not predict a flag says nothing against any point.
    flags = jnp.stack(
        [landmarks[:body, c] for c in columns]
        + [jnp.full(body, UNPREDICTED)] * (len(FLAGS) - len(columns)),
        -1,
    )
    found = summarise(points, heatmap)
    of_body, of_limbs = (
        jax.tree.map(lambda a, which=which: a[which], found) for which in (slice(body), of_joints)
    )
    pose_row = pose_features(
        points[of_joints], points[body : body + 2], outputs.presence[0], of_limbs
    )
    point_rows = point_features(points[:body], flags, of_body)
    logits = confidence_logits(parameters, np.array(rows), point_rows, pose_row)
    quality = quality_logit(parameters, logits[of_joints], pose_row)
    return jax.nn.sigmoid(logits), jax.nn.sigmoid(quality)
