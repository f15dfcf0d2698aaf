"""A stored network comes in; the function that a phone runs leaves, with what its inputs and outputs mean."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.slots import NEEDED, NO_HEATMAP, ROWS, to_mediapipe_rows
from blazepose_jax.models import FIELDS, Form, create_model, spec_of
from blazepose_jax.models.fold import fold_batch_norm
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import PoseOutputs
from blazepose_jax.weights import StoredNetwork

# In the order by which MediaPipe binds them (mediapipe.md 4.2, 4.3).
OUTPUTS = {"detector": ("boxes", "scores"), "pose": ("landmarks", "presence", "mask", "heatmap", "world")}
MEDIAPIPE_DETECTOR = (224, 2254)  # input px and anchors, hard-wired
HEATMAP_SIDE = 64


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
    call: Callable[[jax.Array], tuple[jax.Array, ...]]
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


def make_graph(net: StoredNetwork, *, batch: int = 1, mediapipe: bool = True, convolution: str = "tflite") -> Graph:
    """Build the function to export.

    A detector gives boxes (B, A, 12) and scores (B, A, 1), logits. A pose net gives landmarks (B, K' · F), presence
    (B, 1), a probability, mask (B, M, M, 1), heatmap (B, G, G, K'), logits, world (B, 3K').

    Args:
      net: batch normalisation is folded.
      batch: B, fixed.
      mediapipe: pose nets: 39 rows of 5 fields and all five outputs, whatever the net predicts. A head that it does
        not have is a constant: mask and heatmap -10 (nobody; nothing to refine), world 0. Otherwise own keypoint sets
        keep their rows and only existing heads are outputs.
      convolution: of ``Form``: ``tflite`` leaves marks for ``flatbuffer``, ``xla`` is complete.

    Returns:
      Graph.

    Raises:
      BlazePoseError: a detector, or a keypoint set, that MediaPipe cannot use.
    """
    if batch < 1:
        raise BlazePoseError(f"batch is {batch}: it must be a whole number of at least 1")
    spec = spec_of(net.model)
    if net.form == "batch":
        net = dataclasses.replace(net, variables=fold_batch_norm(net.variables), form="folded")
    form = Form("folded", convolution=convolution)
    if spec.kind == "detector":
        if mediapipe and (spec.side, spec.anchors) != MEDIAPIPE_DETECTOR:
            raise BlazePoseError(f"{net.model} has {spec.side} px and {spec.anchors} anchors: MediaPipe hard-wires "
                                 f"{MEDIAPIPE_DETECTOR[0]} px and {MEDIAPIPE_DETECTOR[1]} anchors; use a detector "
                                 "like 'detector', or export this one with --part detector as a .tflite")
        module = create_model(net.model, form, **net.arguments)

        def detect(images: jax.Array) -> tuple[jax.Array, ...]:
            outputs = module.apply(net.variables, images, train=False)
            return outputs.boxes, outputs.logits

        return Graph("detector", net.model, detect, batch, spec.side, spec.mean, spec.std, OUTPUTS["detector"])
    return _pose_graph(net, form, batch, mediapipe)


def _pose_graph(net: StoredNetwork, form: Form, batch: int, mediapipe: bool) -> Graph:
    skeleton, spec = net.skeleton or BLAZEPOSE, spec_of(net.model)
    known = [ROWS.index(name) for name in skeleton.keypoints if name in ROWS]
    computes_roi = mediapipe and not skeleton.has_roi_points
    if mediapipe:
        net = to_mediapipe_rows(net)
    module = create_model(net.model, form, **net.arguments)
    names = (net.skeleton or BLAZEPOSE).keypoints + (net.skeleton or BLAZEPOSE).auxiliary
    side = module.side  # type: ignore[attr-defined]
    shapes = jax.eval_shape(lambda x: module.apply(net.variables, x, train=False),
                            jax.ShapeDtypeStruct((batch, side, side, 3), jnp.float32))
    outputs = tuple(name for name in OUTPUTS["pose"] if mediapipe or getattr(shapes, name) is not None)
    constants = {"mask": jnp.full((batch, side, side, 1), -10.0),
                 "heatmap": jnp.full((batch, HEATMAP_SIDE, HEATMAP_SIDE, len(ROWS)), NO_HEATMAP),
                 "world": jnp.zeros((batch, 3 * len(ROWS)))}

    def estimate(images: jax.Array) -> tuple[jax.Array, ...]:
        found: PoseOutputs = module.apply(net.variables, images, train=False)
        rows = with_roi_rows(found.landmarks, known) if computes_roi else found.landmarks
        values = {"landmarks": rows.reshape(batch, -1), "presence": jax.nn.sigmoid(found.presence),
                  "mask": found.mask, "heatmap": found.heatmap,
                  "world": None if found.world is None else found.world.reshape(batch, -1)}
        return tuple(constants[name] if values[name] is None else values[name] for name in outputs)

    return Graph("pose", net.model, estimate, batch, side, spec.mean, spec.std, outputs, names,
                 tuple(net.arguments.get("fields", FIELDS)))


def with_roi_rows(landmarks: jax.Array, known: list[int]) -> jax.Array:
    """Fill rows 33 and 34, which place the next crop, as ``rois.from_keypoints`` places it without them.

    Args:
      landmarks: (B, 39, 5), crop px.
      known: which of the 33 rows the net predicts.

    Returns:
      (B, 39, 5): row 33 is the mid-hip, row 34 lies as far from it as the farthest point, towards the mid-shoulder.
    """
    hips, shoulders = (ROWS.index(name) for name in (NEEDED[0], NEEDED[2]))
    points = landmarks[:, :33, :2]  # (B, 33, 2)
    center = points[:, hips:hips + 2].mean(1, keepdims=True)  # (B, 1, 2), left and right are neighbours
    up = points[:, shoulders:shoulders + 2].mean(1, keepdims=True) - center
    weight = jnp.zeros((1, 33, 1)).at[0, jnp.asarray(known)].set(1.0)
    radius = jnp.sqrt((((points - center) ** 2) * weight).sum(2, keepdims=True).max(1, keepdims=True))  # (B, 1, 1)
    length = jnp.sqrt((up**2).sum(2, keepdims=True))
    circle = center + up * (radius / jnp.maximum(length, 1e-6))
    rest = jnp.zeros((landmarks.shape[0], 2, 3))
    rows = jnp.concatenate([jnp.concatenate([center, circle], 1), rest], 2)  # (B, 2, 5)
    return jnp.concatenate([landmarks[:, :33], rows, landmarks[:, 35:]], 1)
