"""Graphs: the functions that are exported, and what their inputs and outputs mean."""

import dataclasses
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.mediapipe_rows import (
    NO_HEATMAP,
    ROWS,
    constant_map,
    to_mediapipe_rows,
    with_roi_rows,
)
from blazepose_jax.models import FIELDS, LayerConfig, create_model, spec_of
from blazepose_jax.models.batch_norm import fold_batch_norm
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import Array, DetectorOutputs, PoseOutputs
from blazepose_jax.weights import StoredNetwork

# In the order by which MediaPipe binds them (docs/mediapipe.md, 4.2 and 4.3).
OUTPUTS = {
    "detector": ("boxes", "scores"),
    "pose": ("landmarks", "presence", "mask", "heatmap", "world"),
}
# Input px and anchors, hard-wired (docs/mediapipe.md, 4.2).
MEDIAPIPE_DETECTOR = (224, 2254)


@dataclasses.dataclass(frozen=True)
class Graph:
    """What is exported.

    Attributes:
      kind: ``detector`` or ``pose``.
      model: the network's name.
      call: (B, side, side, 3) float32 normalised images to a tuple of arrays.
      batch: B.
      side: input px.
      mean: input = (grey level - mean) / std.
      std: as above.
      outputs: names, in order.
      keypoints: what the rows of the landmarks are; empty for a detector.
      fields: what is known of each keypoint; empty for a detector.
    """

    kind: str
    model: str
    call: Callable[[Array], tuple[Array, ...]]
    batch: int
    side: int
    mean: float
    std: float
    outputs: tuple[str, ...]
    keypoints: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(B, side, side, 3)."""
        return (self.batch, self.side, self.side, 3)


def make_graph(
    net: StoredNetwork, *, batch: int = 1, mediapipe: bool = True, convolution: str = "tflite"
) -> Graph:
    """Build the function to export.

    A detector gives boxes (B, A, 12) and scores (B, A, 1), logits. A pose net gives landmarks
    (B, K'F), presence (B, 1), a probability, mask (B, M, M, 1) and heatmap (B, G, G, K'), logits,
    and world (B, 3K'); F is the number of fields.

    Args:
      net: batch normalisation is folded.
      batch: B, fixed.
      mediapipe: pose nets: 39 rows of 5 fields and all five outputs, whatever the net predicts. A
        head that it does not have is a constant: mask and heatmap -10 (nobody; nothing to refine),
        world 0. Otherwise own keypoint sets keep their rows and only existing heads are outputs.
      convolution: of ``LayerConfig``: ``tflite`` leaves marks for ``flatbuffer``, ``xla`` is
        complete.

    Returns:
      Graph.

    Raises:
      BlazePoseError: a detector, or a keypoint set, that MediaPipe cannot use.
    """
    if batch < 1:
        raise BlazePoseError(f"batch is {batch}: it must be a whole number of at least 1")
    if net.norm == "batch":
        net = dataclasses.replace(net, variables=fold_batch_norm(net.variables), norm="folded")
    make = _detector_graph if spec_of(net.model).kind == "detector" else _pose_graph
    return make(net, LayerConfig("folded", convolution=convolution), batch, mediapipe)


def _detector_graph(net: StoredNetwork, config: LayerConfig, batch: int, mediapipe: bool) -> Graph:
    spec = spec_of(net.model)
    if mediapipe and (spec.side, spec.anchors) != MEDIAPIPE_DETECTOR:
        raise BlazePoseError(
            f"{net.model} has {spec.side} px and {spec.anchors} anchors: MediaPipe hard-wires "
            f"{MEDIAPIPE_DETECTOR[0]} px and {MEDIAPIPE_DETECTOR[1]} anchors; use a detector "
            "like 'detector', or export this one with --part detector as a .tflite"
        )
    module = create_model(net.model, config, **net.arguments)

    def detect(images: Array) -> tuple[Array, ...]:
        found = cast(DetectorOutputs, module.apply(net.variables, images, train=False))
        return found.boxes, found.logits

    return Graph(
        kind="detector",
        model=net.model,
        call=detect,
        batch=batch,
        side=spec.side,
        mean=spec.mean,
        std=spec.std,
        outputs=OUTPUTS["detector"],
    )


def _pose_graph(net: StoredNetwork, config: LayerConfig, batch: int, mediapipe: bool) -> Graph:
    skeleton, spec = net.skeleton or BLAZEPOSE, spec_of(net.model)
    known = [ROWS.index(name) for name in skeleton.keypoints if name in ROWS]
    computes_roi = mediapipe and not skeleton.has_roi_points
    if mediapipe:
        net = to_mediapipe_rows(net)
        skeleton = net.skeleton or BLAZEPOSE
    module = create_model(net.model, config, **net.arguments)
    side = net.arguments.get("side", spec.side)
    shapes = jax.eval_shape(
        lambda x: module.apply(net.variables, x, train=False),
        jax.ShapeDtypeStruct((batch, side, side, 3), jnp.float32),
    )
    outputs = tuple(
        name for name in OUTPUTS["pose"] if mediapipe or getattr(shapes, name) is not None
    )
    # Of missing heads: stride, channels, value.
    constants = {
        "mask": (1, 1, -10.0),
        "heatmap": (4, len(ROWS), NO_HEATMAP),
        "world": (side, 3 * len(ROWS), 0.0),
    }

    def estimate(images: Array) -> tuple[Array, ...]:
        found = cast(PoseOutputs, module.apply(net.variables, images, train=False))
        rows = with_roi_rows(found.landmarks, known, side) if computes_roi else found.landmarks
        values = {
            "landmarks": rows.reshape(batch, -1),
            "presence": jax.nn.sigmoid(found.presence),
            "mask": found.mask,
            "heatmap": found.heatmap,
            "world": found.world,
        }
        for name, (stride, channels, value) in constants.items():
            if name in outputs and values[name] is None:
                values[name] = constant_map(images, stride, channels, value)
        values["world"] = None if values["world"] is None else values["world"].reshape(batch, -1)
        return tuple(values[name] for name in outputs)

    return Graph(
        kind="pose",
        model=net.model,
        call=estimate,
        batch=batch,
        side=side,
        mean=spec.mean,
        std=spec.std,
        outputs=outputs,
        keypoints=skeleton.keypoints + skeleton.auxiliary,
        fields=tuple(net.arguments.get("fields", FIELDS)),
    )
