"""A pose net for any keypoint set comes in.

The same net with its points in MediaPipe's 39 rows leaves.
"""

import dataclasses
from typing import Any

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import FIELDS, spec_of
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.weights import StoredNetwork

ROWS = BLAZEPOSE.keypoints + BLAZEPOSE.auxiliary
# What a row holds that the net knows nothing of: hidden, absent, in the middle of the crop.
UNKNOWN = {"z": 0.0, "visibility": -10.0, "presence": -10.0}
# What a known row holds in a field that the net does not predict: nothing says that it is hidden.
UNTOLD = {"z": 0.0, "visibility": 10.0, "presence": 10.0}
# Below this logit MediaPipe's refinement leaves a point where it is.
NO_HEATMAP = -10.0
NEEDED = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")


def to_mediapipe_rows(net: StoredNetwork) -> StoredNetwork:
    """Rearrange the output convolutions, so that row i is MediaPipe's keypoint i.

    The kernels' output channels are moved, which costs nothing at run time. Points whose names
    MediaPipe does not have are left out. Rows 33 and 34 place the next crop; a net that does not
    predict them leaves them unknown, and ``graph`` computes them.

    Args:
      net: with norm ``folded``.

    Returns:
      A network of 39 keypoints with all fields and the skeleton ``BLAZEPOSE``.

    Raises:
      BlazePoseError: hips or shoulders are not among the keypoints: MediaPipe could not follow the
        person.
    """
    skeleton = net.skeleton or BLAZEPOSE
    if lacking := [name for name in NEEDED if name not in skeleton.keypoints]:
        raise BlazePoseError(
            f"the keypoint set {skeleton.name!r} has no {lacking[0]}: MediaPipe places its crop by "
            "hips and shoulders, so export this net as a .tflite and decode it yourself"
        )
    names = skeleton.keypoints + skeleton.auxiliary
    fields = tuple(net.arguments.get("fields", FIELDS))
    if names == ROWS and fields == FIELDS:
        return net
    heads = net.variables["params"]["heads"]
    side = net.arguments.get("side", spec_of(net.model).side)
    middle = {"x": side / 2, "y": side / 2}
    rows = [(ROWS.index(name), i) for i, name in enumerate(names) if name in ROWS]

    defaults = np.array(
        [[{**middle, **UNKNOWN}[field] for field in FIELDS]] * len(ROWS), np.float32
    )
    for row, _ in rows:
        defaults[row] = [{**middle, **UNTOLD}[field] for field in FIELDS]
    moved = {
        "landmarks": _scatter(
            heads["landmarks"],
            len(fields),
            rows,
            defaults,
            [FIELDS.index(field) for field in fields],
        )
    }
    if "heatmap" in heads:
        moved["heatmap"] = _scatter(
            heads["heatmap"], 1, rows, np.full((len(ROWS), 1), NO_HEATMAP, np.float32), [0]
        )
    if "world" in heads:
        moved["world"] = _scatter(
            heads["world"], 3, rows, np.zeros((len(ROWS), 3), np.float32), [0, 1, 2]
        )
    if "offsets" in heads:  # training only; of the right shape, or the net could not be built
        moved["offsets"] = _scatter(
            heads["offsets"], 2, rows, np.zeros((len(ROWS), 2), np.float32), [0, 1]
        )
    variables = {
        **net.variables,
        "params": {**net.variables["params"], "heads": {**heads, **moved}},
    }
    arguments = {**net.arguments, "keypoints": len(ROWS), "fields": FIELDS}
    return dataclasses.replace(net, variables=variables, arguments=arguments, skeleton=BLAZEPOSE)


def _scatter(
    head: dict[str, Any],
    width: int,
    rows: list[tuple[int, int]],
    defaults: np.ndarray,
    columns: list[int],
) -> dict[str, np.ndarray]:
    """Move the output channels (point, field) of one convolution to (row, column).

    The rest is its defaults.
    """
    kernel, bias = (np.asarray(head[name], np.float32) for name in ("kernel", "bias"))
    kernel = kernel.reshape(*kernel.shape[:3], -1, width)
    bias = bias.reshape(-1, width)
    wide, offset = np.zeros((*kernel.shape[:3], *defaults.shape), np.float32), defaults.copy()
    for row, point in rows:
        wide[..., row, columns] = kernel[..., point, :]
        offset[row, columns] = bias[point]
    return {"kernel": wide.reshape(*kernel.shape[:3], -1), "bias": offset.reshape(-1)}


def left_out(net: StoredNetwork) -> tuple[str, ...]:
    """The net's keypoints that MediaPipe has no row for."""
    return tuple(name for name in (net.skeleton or BLAZEPOSE).keypoints if name not in ROWS)
