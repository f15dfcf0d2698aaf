"""MediaPipe's 39 rows: pose nets of any keypoint set in the layout that MediaPipe reads."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax import lax

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import FIELDS
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import Array, Variables
from blazepose_jax.weights import StoredNetwork
from blazepose_jax.weights.tensors import expected_shapes

ROWS = BLAZEPOSE.keypoints + BLAZEPOSE.auxiliary
# The rows that place the next crop: its centre, and a point on its circle (docs/mediapipe.md, 3.6).
ROI_ROWS = (33, 34)
# What a row holds that the net knows nothing of: hidden, absent, in the middle of the crop.
UNKNOWN = {"z": 0.0, "visibility": -10.0, "presence": -10.0}
# What a known row holds in a field that the net does not predict: nothing shows that it is hidden.
UNPREDICTED = {"z": 0.0, "visibility": 10.0, "presence": 10.0}
# A logit far below the probability 0.5 under which MediaPipe's refinement leaves a point where it
# is (docs/mediapipe.md, 3.8).
NO_HEATMAP = -10.0
NEEDED = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")


def has_mediapipe_rows(net: StoredNetwork) -> bool:
    """Whether a network is a pose net of the zoo whose keypoints are MediaPipe's.

    That layout has no place for the heads of an experiment file.
    """
    is_pose = net.own is None and net.skeleton is not None
    return is_pose and net.skeleton.keypoints == BLAZEPOSE.keypoints


def known_rows(skeleton: Skeleton) -> dict[int, int]:
    """MediaPipe's row -> the point of a set that goes there.

    Keypoints go by what they are, whatever their spelling (``Skeleton.body_names``), auxiliary
    points by name.
    """
    names = skeleton.body_names + skeleton.auxiliary
    return {ROWS.index(name): point for point, name in enumerate(names) if name in ROWS}


def left_out(net: StoredNetwork) -> tuple[str, ...]:
    """The net's keypoints that MediaPipe has no row for."""
    skeleton = net.skeleton or BLAZEPOSE
    return tuple(
        name
        for name, body in zip(skeleton.keypoints, skeleton.body_names, strict=True)
        if body not in ROWS
    )


def to_mediapipe_rows(net: StoredNetwork) -> StoredNetwork:
    """Rearrange the output convolutions, so that row i is MediaPipe's keypoint i.

    The kernels' output channels are moved, which costs nothing at run time. Points that MediaPipe
    does not have are left out. Rows 33 and 34 place the next crop; a net that does not predict them
    leaves them unknown, and ``with_roi_rows`` computes them from hips and shoulders.

    Args:
      net: with norm ``folded``.

    Returns:
      A network of 39 keypoints with all fields and the skeleton ``BLAZEPOSE``.

    Raises:
      BlazePoseError: none of the keypoints is MediaPipe's, or hips or shoulders are not among them
        and the net does not predict rows 33 and 34: MediaPipe could not follow the person.
    """
    skeleton = net.skeleton or BLAZEPOSE
    known = known_rows(skeleton)
    _check_known(skeleton, known)
    names = skeleton.keypoints + skeleton.auxiliary
    fields = net.fields
    if names == ROWS and fields == FIELDS:
        return net
    heads = net.variables["params"].get("heads", {})
    if not {"landmarks", "presence"} <= heads.keys():
        raise BlazePoseError(
            f"{net.model} has no models.heads.PoseHeads named 'heads', whose rows could be moved to"
            " MediaPipe's: give it these, or export it as a .tflite"
        )
    side = net.side
    rows = list(known.items())
    # Per head: (39, columns) what an unknown row holds, and the columns that the net predicts.
    layouts = {
        "landmarks": (_landmark_defaults(rows, side), [FIELDS.index(field) for field in fields]),
        "heatmap": (np.full((len(ROWS), 1), NO_HEATMAP, np.float32), [0]),
        "world": (np.zeros((len(ROWS), 3), np.float32), [0, 1, 2]),
        # Training only; of the right shape, or the net could not be built.
        "offsets": (np.zeros((len(ROWS), 2), np.float32), [0, 1]),
    }
    moved = {
        name: _scatter(heads[name], rows, defaults, columns)
        for name, (defaults, columns) in layouts.items()
        if name in heads
    }
    variables = {
        **net.variables,
        "params": {**net.variables["params"], "heads": {**heads, **moved}},
    }
    arguments = {**net.arguments, "keypoints": len(ROWS), "fields": FIELDS}
    if net.own is not None:
        variables = _shaped_as(variables, expected_shapes(net.spec, net.norm, arguments))
    return dataclasses.replace(net, variables=variables, arguments=arguments, skeleton=BLAZEPOSE)


def _shaped_as(variables: Variables, shapes: dict[str, tuple[int, ...]]) -> Variables:
    """Variables with zeros in the place of those of another shape.

    Own heads with a value per keypoint are no outputs of a .task; without them the net could not be
    built.
    """
    flat: dict[str, Any] = traverse_util.flatten_dict(variables, sep="/")
    fitting = {
        name: value if value.shape == shapes.get(name) else np.zeros(shapes[name], np.float32)
        for name, value in flat.items()
    }
    return traverse_util.unflatten_dict(fitting, sep="/")


def _check_known(skeleton: Skeleton, known: Mapping[int, int]) -> None:
    """Check that MediaPipe can show something of a set, and follow the person."""
    remedy = (
        'say in the skeleton\'s "like" which of your points it is, or export this net as a .tflite'
        " and decode it yourself"
    )
    if not any(row < len(BLAZEPOSE.keypoints) for row in known):
        raise BlazePoseError(
            f"the keypoint set {skeleton.name!r} has none of MediaPipe's 33 points, so a .task "
            f"would show nothing: {remedy}"
        )
    lacking = [name for name in NEEDED if ROWS.index(name) not in known]
    if lacking and not skeleton.has_roi_points:
        raise BlazePoseError(
            f"the keypoint set {skeleton.name!r} has no {lacking[0]}: MediaPipe places its crop by "
            f"hips and shoulders; {remedy}"
        )


def _landmark_defaults(rows: list[tuple[int, int]], side: int) -> np.ndarray:
    """(39, 5) float32: ``UNKNOWN`` rows, but for known ones ``UNPREDICTED``."""
    middle = {"x": side / 2, "y": side / 2}
    unknown, known = (
        [{**middle, **values}[field] for field in FIELDS] for values in (UNKNOWN, UNPREDICTED)
    )
    defaults = np.array([unknown] * len(ROWS), np.float32)
    for row, _ in rows:
        defaults[row] = known
    return defaults


def _scatter(
    head: Mapping[str, Array],
    rows: list[tuple[int, int]],
    defaults: np.ndarray,
    columns: list[int],
) -> dict[str, np.ndarray]:
    """Move the output channels of one convolution, and fill the rest with defaults.

    Args:
      head: ``kernel`` (h, w, C, n * len(columns)) and ``bias``.
      rows: (new row, old point) pairs.
      defaults: (39, F) float32, the bias of what is not predicted.
      columns: of the F, those that the old channels of a point are.

    Returns:
      ``kernel`` (h, w, C, 39 * F) and ``bias`` (39 * F,), float32.
    """
    width = len(columns)
    kernel, bias = (np.asarray(head[name], np.float32) for name in ("kernel", "bias"))
    kernel = kernel.reshape(*kernel.shape[:3], -1, width)
    bias = bias.reshape(-1, width)
    wide, offset = np.zeros((*kernel.shape[:3], *defaults.shape), np.float32), defaults.copy()
    for row, point in rows:
        wide[..., row, columns] = kernel[..., point, :]
        offset[row, columns] = bias[point]
    return {"kernel": wide.reshape(*kernel.shape[:3], -1), "bias": offset.reshape(-1)}


def constant_map(images: Array, stride: int, channels: int, value: float) -> jax.Array:
    """An output of one value, as a convolution that ignores its input.

    An output without an operator behind it is dropped by the GPU delegate, and the outputs after it
    move up.

    Args:
      images: (B, S, S, 3) float32.
      stride: S over the side of the map.
      channels: of the map.
      value: of all its cells.

    Returns:
      (B, S / stride, S / stride, channels) float32.
    """
    with jax.named_scope("heads/constant"):
        return conv(images, jnp.zeros((3, channels)), stride) + jnp.full(channels, value)


def with_roi_rows(landmarks: Array, known: list[int], side: int) -> jax.Array:
    """Fill the rows that place the next crop, as ``rois.from_keypoints`` does without them.

    Convolutions, a maximum over a window and one root, since GPU delegates refuse reductions and
    slices of anything else than images; in units of the crop, so that squares fit into float16.

    Args:
      landmarks: (B, 39, 5), crop px.
      known: which of the 33 rows the net predicts.
      side: of the crop, px.

    Returns:
      (B, 39, 5): row 33 is the mid-hip, row 34 lies as far from it as the farthest point, towards
      the mid-shoulder.
    """
    batch, rows, width = landmarks.shape
    flat = landmarks.reshape(batch, 1, 1, rows * width)
    # [row, x or y] -> its channel
    pick = np.eye(rows * width, dtype=np.float32).reshape(rows, width, -1)[:, :2]
    hips, shoulders = ([ROWS.index(name) for name in pair] for pair in (NEEDED[:2], NEEDED[2:]))
    center, up = pick[hips].mean(0), pick[shoulders].mean(0) - pick[hips].mean(0)  # (2, 195) each
    apart = pick[known] - center  # (n, 2, 195)
    with jax.named_scope("heads/roi"):
        squares = conv(flat, apart.reshape(-1, rows * width).T / side) ** 2  # (B, 1, 1, 2n)
        distances = conv(squares, np.repeat(np.eye(len(known), dtype=np.float32), 2, 0))
        window = (1, 1, len(known), 1)
        farthest = lax.reduce_window(
            distances.reshape(batch, 1, -1, 1), -jnp.inf, lax.max, window, window, "VALID"
        )  # (B, 1, 1, 1)
        direction = conv(flat, up.T / side)  # (B, 1, 1, 2)
        length = conv(direction**2, np.ones((2, 1), np.float32)) + jnp.full(1, 1e-6)
        offset = direction * jnp.sqrt(farthest / length)
        keep = np.eye(rows * width, dtype=np.float32)
        for row in ROI_ROWS:
            keep[:, row * width : row * width + 2] = center.T
        placed = np.zeros((2, rows * width), np.float32)
        placed[[0, 1], [ROI_ROWS[1] * width, ROI_ROWS[1] * width + 1]] = side
        return (conv(flat, keep) + conv(offset, placed)).reshape(batch, rows, width)


def conv(x: Array, matrix: Array, stride: int = 1) -> jax.Array:
    """A matrix over the channels as a 1x1 convolution.

    Args:
      x: (B, H, W, C).
      matrix: (C, D).
      stride: in rows and columns.

    Returns:
      (B, H / stride, W / stride, D).
    """
    return lax.conv_general_dilated(
        jnp.asarray(x),
        jnp.asarray(matrix)[None, None],
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
