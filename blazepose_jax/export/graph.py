"""Graphs: the functions that are exported, and what their inputs and outputs mean."""

import dataclasses
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp

from blazepose_jax.codecs.soft_argmax import POOL
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.export.graph_decode import DECODES, with_heatmap_points
from blazepose_jax.export.mediapipe_rows import (
    NO_HEATMAP,
    ROWS,
    constant_map,
    known_rows,
    to_mediapipe_rows,
    with_roi_rows,
)
from blazepose_jax.models import LayerConfig, create_model
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import Array, DetectorOutputs, PoseOutputs
from blazepose_jax.weights import StoredNetwork

# In the order by which MediaPipe binds them (docs/mediapipe.md, 4.2 and 4.3).
OUTPUTS = {
    "detector": ("boxes", "scores"),
    "pose": ("landmarks", "presence", "mask", "heatmap", "world"),
}
XY = ("x", "y")
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
      skeleton: whose rows they are; None for a detector.
      own_names: (K',) the network's own name for each row, "" for rows that it knows nothing of.
      source: of the weights, for people.
      licence: of the weights.
      constant: outputs that stand for heads which the network does not have.
      decode: what x and y of the landmarks are, a key of ``graph_decode.DECODES``; "" for a
        detector.
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
    skeleton: Skeleton | None = None
    own_names: tuple[str, ...] = ()
    source: str = ""
    licence: str = ""
    constant: tuple[str, ...] = ()
    decode: str = ""

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(B, side, side, 3)."""
        return (self.batch, self.side, self.side, 3)


def make_graph(
    net: StoredNetwork,
    *,
    batch: int = 1,
    mediapipe: bool = True,
    convolution: str = "tflite",
    decode: str | None = None,
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
      decode: of ``graph_decode.DECODES``; None for ``heatmap`` wherever the net has heatmaps.

    Returns:
      Graph.

    Raises:
      BlazePoseError: a detector, or a keypoint set, that MediaPipe cannot use; an unknown decode,
        or one by heatmaps that the net does not have.
    """
    if batch < 1:
        raise BlazePoseError(f"batch is {batch}: it must be a whole number of at least 1")
    if decode is not None:
        check_name(decode, DECODES, "decode")
    net = net.folded()
    config = LayerConfig(net.norm, convolution=convolution)
    if net.spec.kind == "detector":
        return _detector_graph(net, config, batch, mediapipe)
    return _pose_graph(net, config, batch, mediapipe, decode)


def own_outputs(outputs: PoseOutputs) -> tuple[str, ...]:
    """Names of the arrays that a network of an experiment file gives besides ``PoseOutputs``."""
    known = {field.name for field in dataclasses.fields(PoseOutputs)}
    names = [field.name for field in dataclasses.fields(outputs)]
    return tuple(n for n in names if n not in known and getattr(outputs, n) is not None)


def _detector_graph(net: StoredNetwork, config: LayerConfig, batch: int, mediapipe: bool) -> Graph:
    spec = net.spec
    if mediapipe and (spec.side, spec.anchors) != MEDIAPIPE_DETECTOR:
        raise BlazePoseError(
            f"{net.model} has {spec.side} px and {spec.anchors} anchors: MediaPipe hard-wires "
            f"{MEDIAPIPE_DETECTOR[0]} px and {MEDIAPIPE_DETECTOR[1]} anchors; use a detector "
            "like 'detector', or export this one with --part detector as a .tflite"
        )
    module = create_model(net.spec, config, **net.arguments)

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
        source=net.source,
        licence=net.licence,
    )


def missing_heads(side: int) -> dict[str, tuple[int, int, float]]:
    """Stride, channels and value of the outputs that stand for heads that a net lacks."""
    return {
        "mask": (1, 1, -10.0),
        "heatmap": (4, len(ROWS), NO_HEATMAP),
        "world": (side, 3 * len(ROWS), 0.0),
    }


def _pose_graph(
    net: StoredNetwork, config: LayerConfig, batch: int, mediapipe: bool, decode: str | None
) -> Graph:
    skeleton, spec = net.skeleton or BLAZEPOSE, net.spec
    own_names = skeleton.keypoints + skeleton.auxiliary
    known, computes_roi = known_rows(skeleton), mediapipe and not skeleton.has_roi_points
    if mediapipe:
        net, skeleton = to_mediapipe_rows(net), BLAZEPOSE
        own_names = tuple(own_names[known[i]] if i in known else "" for i in range(len(ROWS)))
    body = [row for row in known if row < len(BLAZEPOSE.keypoints)]
    module = create_model(net.spec, config, **net.arguments)
    side = net.side
    shapes = jax.eval_shape(
        lambda x: module.apply(net.variables, x, train=False),
        jax.ShapeDtypeStruct((batch, side, side, 3), jnp.float32),
    )
    present = [name for name in OUTPUTS["pose"] if getattr(shapes, name) is not None]
    outputs = OUTPUTS["pose"] if mediapipe else tuple(present)
    # A .task has no place for others.
    others = () if mediapipe else own_outputs(cast(PoseOutputs, shapes))
    constants = missing_heads(side)
    fields = net.fields
    decode = _checked_decode(decode, net.model, grid_of(shapes.heatmap) if fields[:2] == XY else 0)
    keypoints = body if mediapipe else list(range(len(skeleton.keypoints)))
    moved, circle = keypoints if decode == "heatmap" else [], body if computes_roi else []

    def estimate(images: Array) -> tuple[Array, ...]:
        found = cast(PoseOutputs, module.apply(net.variables, images, train=False))
        values = {
            "landmarks": _placed(found, moved, circle, side).reshape(batch, -1),
            "presence": jax.nn.sigmoid(found.presence),
            "mask": found.mask,
            "heatmap": found.heatmap,
            "world": found.world,
        }
        for name, (stride, channels, value) in constants.items():
            if name in outputs and values[name] is None:
                values[name] = constant_map(images, stride, channels, value)
        values["world"] = None if values["world"] is None else values["world"].reshape(batch, -1)
        values |= {name: getattr(found, name) for name in others}
        return tuple(values[name] for name in (*outputs, *others))

    return Graph(
        kind="pose",
        model=net.model,
        call=estimate,
        batch=batch,
        side=side,
        mean=spec.mean,
        std=spec.std,
        outputs=outputs + others,
        keypoints=skeleton.keypoints + skeleton.auxiliary,
        fields=fields,
        skeleton=skeleton,
        own_names=own_names,
        source=net.source,
        licence=net.licence,
        constant=tuple(n for n in outputs if n in constants and n not in present),
        decode=decode,
    )


def _placed(found: PoseOutputs, moved: list[int], circle: list[int], side: int) -> Array:
    """The landmarks, (B, K', F), as readers get them.

    Args:
      found: raw tensors.
      moved: rows that go to where their heatmaps say.
      circle: rows whose farthest places the next crop; none where the net predicts it.
      side: of the crop, px.
    """
    rows = found.landmarks
    if moved:
        rows = with_heatmap_points(rows, cast(Array, found.heatmap), moved, side)
    return with_roi_rows(rows, circle, side) if circle else rows


def grid_of(heatmap: jax.ShapeDtypeStruct | None) -> int:
    """Cells a side of (B, G, G, K) heatmaps; 0 where there are none."""
    return 0 if heatmap is None else heatmap.shape[1]


def _checked_decode(decode: str | None, model: str, grid: int) -> str:
    """The decode of a graph, by what the net has: ``grid`` cells a side of its heatmaps, or 0.

    Raises:
      BlazePoseError: ``heatmap`` for a net without one, or of maps that it cannot pool.
    """
    usable = grid > 0 and grid % POOL == 0
    if decode == "heatmap" and not usable:
        needed = "a net with a heatmap head, which {} does not have"
        if grid:
            needed = f"heatmaps of a multiple of {POOL} cells a side, and those of {{}} have {grid}"
        raise BlazePoseError(f"decode 'heatmap' needs {needed.format(model)}: use 'regression'")
    return decode or ("heatmap" if usable else "regression")
