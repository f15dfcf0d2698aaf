"""Descriptions of exported networks: plain data with all that a reader of the file needs."""

import jax
import jax.numpy as jnp

from blazepose_jax.codecs.anchors import LAYOUTS
from blazepose_jax.codecs.heatmaps import KERNEL, MIN_CONFIDENCE
from blazepose_jax.export.graph import Graph
from blazepose_jax.geometry.rois import MARGIN
from blazepose_jax.geometry.warp import SUBPIXELS
from blazepose_jax.skeleton import Skeleton

Json = dict[str, object]
FORMAT = "blazepose_jax network 1"
# Side of the ROI over the distance from its centre to its circle.
SIDE_PER_RADIUS = 2 * MARGIN
# MediaPipe's, and the defaults of ``inference.Settings``, which a test compares with these.
MIN_PRESENCE = 0.5
MIN_SCORE = 0.5
NMS_IOU = 0.5
# Output -> (what it means, unit, order of its values).
OUTPUTS = {
    "boxes": (
        "per anchor: centre x, y, width, height, then mid-hip, body circle, mid-shoulder,"
        " upper-body circle, relative to the anchor's centre but for width and height",
        "input px",
        ("batch", "anchor", "value"),
    ),
    "scores": ("per anchor: a person is there", "logit", ("batch", "anchor", "1")),
    "landmarks": (
        "per row: {fields}; x, y, z in input px, the rest logits",
        "input px, logit",
        ("batch", "row, then field"),
    ),
    "presence": ("a person is there", "probability", ("batch", "1")),
    "mask": ("per pixel: it belongs to the person", "logit", ("batch", "y", "x", "1")),
    "heatmap": (
        "per cell and row: the point lies there",
        "logit",
        ("batch", "y", "x", "row"),
    ),
    "world": (
        "per row: x, y, z, origin between the hips, axes of the crop",
        "metre",
        ("batch", "row, then x, y, z"),
    ),
}


# Of an output that is none of these: a head of an experiment file's network.
OWN_OUTPUT = ("of the experiment file's network, which says what it means", "its own", ("batch",))


def facts_of(output: str) -> tuple[str, str, tuple[str, ...]]:
    """What an output means, its unit, and the order of its values."""
    return OUTPUTS.get(output, OWN_OUTPUT)


def meaning(output: str, graph: Graph) -> str:
    """What an output means, in words."""
    return facts_of(output)[0].format(fields=", ".join(graph.fields))


def output_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The shapes of a graph's outputs by name, without computing any."""
    images = jax.ShapeDtypeStruct(graph.input_shape, jnp.float32)
    values = jax.eval_shape(graph.call, images)
    return {name: value.shape for name, value in zip(graph.outputs, values, strict=True)}


def describe_network(graph: Graph) -> Json:
    """All that a reader of an exported network needs, as plain data.

    Args:
      graph: what was exported.

    Returns:
      Input, outputs, and either keypoints, decode and the rule of the next ROI, or anchors and the
      rule of the first one; source and licence.
    """
    is_pose = graph.skeleton is not None
    shapes = output_shapes(graph)
    return {
        "format": FORMAT,
        "kind": graph.kind,
        "model": graph.model,
        "source": graph.source,
        "licence": graph.licence,
        "input": {
            "name": "image",
            "shape": list(graph.input_shape),
            "order": ["batch", "y", "x", "red, green, blue"],
            "type": "float32",
            "mean": graph.mean,
            "std": graph.std,
            "normalisation": "(grey level, 0 to 255, - mean) / std",
            "sees": "the ROI of one person, turned upright" if is_pose else "the whole image",
            "outside": "the edge of the image, repeated" if is_pose else "black, before mean",
            "resampling": f"bilinear, places rounded to 1/{SUBPIXELS} px, results to whole levels",
        },
        "outputs": [
            {
                "name": name,
                "index": index,
                "shape": list(shape),
                "order": list(facts_of(name)[2]),
                "type": "float32",
                "unit": facts_of(name)[1],
                "meaning": meaning(name, graph),
            }
            for index, (name, shape) in enumerate(shapes.items())
        ],
        **(_pose_part(graph, graph.skeleton) if graph.skeleton else _detector_part(graph)),
    }


def _pose_part(graph: Graph, skeleton: Skeleton) -> Json:
    """Rows, decode and ROI of a pose net; points are given by their rows."""
    pairs = [skeleton.indices(pair) for pair in skeleton.left_right]
    return {
        "fields": list(graph.fields),
        "keypoints": list(skeleton.keypoints),
        "auxiliary": list(skeleton.auxiliary),
        "own_names": list(graph.own_names),
        "blazepose_names": list(skeleton.body_names),
        "bones": [list(bone) for bone in skeleton.bone_indices],
        "left_right": [list(pair) for pair in pairs],
        "center": list(skeleton.indices(skeleton.center)),
        "up": list(skeleton.indices(skeleton.up)),
        "decode": _decode(graph),
        "roi": _next_roi(skeleton),
        "min_presence": MIN_PRESENCE,
    }


def _decode(graph: Graph) -> Json:
    decode: Json = {
        "landmarks": graph.decode,
        "method": "refine" if "heatmap" in graph.outputs else "regression",
        "regression": "x and y of landmarks / side of the input: 0 to 1 in the crop",
        "visibility": "sigmoid of the field: not hidden",
        "presence": "sigmoid of the field: inside of the image",
        "z": "field / side of the input * side of the ROI: px of the image",
    }
    if "heatmap" in graph.outputs:
        decode["refine"] = {
            "window": KERNEL,
            "threshold": MIN_CONFIDENCE,
            "rule": (
                "take the cell of the regressed point, x and y * cells, cut to whole numbers; in "
                "the window round it, cut at the border, take the sigmoid; if the largest is at "
                "least the threshold, the point is the mean of the cells' columns and rows, "
                "weighted by it, / cells; else, or outside of the map, it stays"
            ),
        }
    return decode


def roi_rows(skeleton: Skeleton) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """By which points the next ROI is placed (``rois.from_keypoints``).

    Returns:
      ``rows``, where the net predicts the centre and a point on the circle; ``points``, where the
      radius is that of the farthest keypoint; or ``none``. Then the rows whose means are the centre
      and the point above it.
    """
    count = len(skeleton.keypoints)
    if skeleton.has_roi_points:
        return "rows", (count,), (count + 1,)
    if skeleton.center and skeleton.up:
        return "points", skeleton.indices(skeleton.center), skeleton.indices(skeleton.up)
    return "none", (), ()


def _next_roi(skeleton: Skeleton) -> Json:
    """Where to look in the next frame, from the points of this one."""
    rule, center, above = roi_rows(skeleton)
    radius = {
        "rows": "distance from the centre to the point above it",
        "points": "distance from the centre to the farthest keypoint",
        "none": "the network does not say where to look next",
    }
    return {
        "rule": rule,
        "center": list(center),
        "above": list(above),
        "radius": radius[rule],
        "scale": SIDE_PER_RADIUS,
        "side": "scale * radius, image px",
        "angle": (
            "radians, clockwise on the screen: atan2(dx, -dy) of the vector from the centre to the "
            "point above it, both the means of their rows; 0 where that is straight up"
        ),
        "corner": (
            "crop pixel (0, 0) lies on the corner of the square and pixel i at i / side of it, "
            "without half-pixel shift"
        ),
    }


def _detector_part(graph: Graph) -> Json:
    """Anchors of a detector, and the rule of the first ROI."""
    return {
        "anchors": {
            "maps": [list(layout) for layout in LAYOUTS[graph.side]],
            "rule": (
                "maps of (cells a side, anchors a cell), rows, columns, anchors; centres are ((x +"
                " 0.5) / cells, (y + 0.5) / cells) * side of the input"
            ),
        },
        "letterbox": (
            "the smallest upright square with the image at its centre; the corner convention is"
            " that of the pose net's crop"
        ),
        "min_score": MIN_SCORE,
        "nms": {
            "iou": NMS_IOU,
            "rule": (
                "candidates whose box overlaps the best one's by more than iou are one person: the"
                " mean of all their values, weighted by their scores"
            ),
        },
        "roi": {
            "rule": "alignment points",
            "center": "mid-hip",
            "above": "body circle",
            "radius": "distance from the centre to the point above it",
            "scale": SIDE_PER_RADIUS,
        },
    }
