"""Python code that runs an exported network on a picture, for the page beside the file."""

import json

from blazepose_jax.codecs.anchors import LAYOUTS
from blazepose_jax.codecs.heatmaps import KERNEL, MIN_CONFIDENCE
from blazepose_jax.export.description import MIN_SCORE, NMS_IOU, SIDE_PER_RADIUS
from blazepose_jax.export.graph import Graph
from blazepose_jax.geometry.warp import SUBPIXELS
from blazepose_jax.weights.archive import TASK_MEMBERS

MAX_NAMES_WIDTH = 92  # columns
# Suffix of the file -> imports, and how Python loads and runs it: outputs by name.
_RUN = {
    ".tflite": (
        "from ai_edge_litert.interpreter import Interpreter",
        """\
signature = Interpreter({file}).get_signature_runner()
def run(images):
    return signature(image=images)
""",
    ),
    ".task": (
        "import zipfile\nfrom ai_edge_litert.interpreter import Interpreter",
        """\
model = zipfile.ZipFile({file}).read({member})
signature = Interpreter(model_content=model).get_signature_runner()
def run(images):
    return signature(image=images)
""",
    ),
    ".onnx": (
        "import onnxruntime",
        """\
session = onnxruntime.InferenceSession({file})
outputs = [output.name for output in session.get_outputs()]
def run(images):
    return dict(zip(outputs, session.run(outputs, {{"image": images}})))
""",
    ),
    "": (
        "import tensorflow as tf",
        """\
model = tf.saved_model.load({file})  # kept, or its variables are gone
signature = model.signatures["serving_default"]
def run(images):
    return {{name: value.numpy() for name, value in signature(image=tf.constant(images)).items()}}
""",
    ),
}
_HEAD = """\
import sys
{imports}
import numpy as np
from PIL import Image
{run}{constants}image = np.asarray(Image.open(sys.argv[1]).convert("RGB"), np.float32)
height, width = image.shape[:2]
"""
_CROP = """\
cos, sin = np.cos(angle) * size / {side}, np.sin(angle) * size / {side}
turn = np.array([[cos, -sin], [sin, cos]])  # crop px to image px
corner = np.array([cx, cy]) - turn.sum(1) * {side} / 2
grid = np.stack(np.meshgrid(np.arange({side}), np.arange({side})), -1)
places = np.round((grid @ turn.T + corner) * {subpixels}) / {subpixels}
low = np.floor(places).astype(int)
fx, fy = np.split(places - low, 2, -1)
def pixels(dx, dy):
    x, y = low[..., 0] + dx, low[..., 1] + dy
    return image[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]{black}
top = pixels(0, 0) * (1 - fx) + pixels(1, 0) * fx
bottom = pixels(0, 1) * (1 - fx) + pixels(1, 1) * fx
crop = np.floor(top * (1 - fy) + bottom * fy + 0.5)
"""
_BLACK = """ * (
        (x >= 0) & (x < width) & (y >= 0) & (y < height)
    )[..., None]"""
_POSE = """\
# The square round the person: middle x, y and side in px, angle in radians; else all of the image.
given = [float(word) for word in sys.argv[2:6]]
cx, cy, size, angle = given or (width / 2, height / 2, max(width, height), 0.0)
{crop}
out = run({inputs})
rows = out["landmarks"][0].reshape(len(NAMES), {fields})
points = rows[:, {xy}] / {side}
{refine}points = points * {side} @ turn.T + corner  # px of the image
print("somebody is there:", float(out["presence"][0, 0]))
for name, (x, y){and_row} in zip(NAMES, points{rows}):
    print(name, x, y{visibility})
"""
_REFINE = """\
for row, (x, y) in enumerate(points * {grid}):
    x, y = int(x), int(y)
    if 0 <= x < {grid} and 0 <= y < {grid}:
        left, top = max(x - {reach}, 0), max(y - {reach}, 0)
        logits = out["heatmap"][0, top : y + {beyond}, left : x + {beyond}, row].astype(float)
        weights = 1 / (1 + np.exp(-logits))
        if weights.max() >= {threshold}:
            ys, xs = np.mgrid[top : top + weights.shape[0], left : left + weights.shape[1]]
            points[row] = np.sum([weights * xs, weights * ys], (1, 2)) / weights.sum() / {grid}
"""
_DETECTOR = """\
cx, cy, size, angle = width / 2, height / 2, max(width, height), 0.0  # the letterbox
{crop}
out = run({inputs})
scores = 1 / (1 + np.exp(-out["scores"][0, :, 0].astype(float)))
centers = []
for cells, anchors in {layout}:
    y, x = np.mgrid[:cells, :cells].reshape(2, -1).repeat(anchors, 1)
    centers.append((np.stack([x, y], -1) + 0.5) / cells)
values = (out["boxes"][0] / {side}).reshape(-1, 6, 2)
values[:, [0, 2, 3, 4, 5]] += np.concatenate(centers)[:, None]
low, high = values[:, 0] - values[:, 1] / 2, values[:, 0] + values[:, 1] / 2  # the face boxes
scores[(values[:, 1] < 0).any(1)] = 0
best = scores.argmax()
sides = np.clip(np.minimum(high, high[best]) - np.maximum(low, low[best]), 0, None)
area, common = (high - low).prod(1), sides.prod(1)
same = (common / (area + area[best] - common) > {iou}) & (scores >= {min_score})
if not same.any():
    sys.exit("nobody is there")
person = np.average(values[same], 0, scores[same])
hip, circle = person[2:4] * {side} @ turn.T + corner  # px of the image
dx, dy = circle - hip
print("score:", scores[best])
print("square for the pose net:", *hip, {scale} * np.hypot(dx, dy), np.arctan2(dx, -dy))
"""


def python_code(graph: Graph, file: str, suffix: str) -> str:
    """A program that runs a file on a picture and prints what it finds.

    Args:
      graph: what was exported.
      file: its name, in the folder where the program runs.
      suffix: its format: ``.tflite``, ``.task``, ``.onnx``, or "" for a SavedModel.

    Returns:
      Python of numpy, Pillow and the format's runtime.
    """
    imports, run = _RUN[suffix]
    member = json.dumps(TASK_MEMBERS[graph.kind])
    is_pose = graph.kind == "pose"
    head = _HEAD.format(
        imports=imports,
        run=run.format(file=json.dumps(file, ensure_ascii=False), member=member),
        constants=f"NAMES = [\n{_listed(graph.keypoints)}]\n" if is_pose else "",
    )
    inputs = f"((crop[None] - {graph.mean}) / {graph.std}).astype(np.float32)"
    if graph.batch > 1:
        inputs = f"np.repeat({inputs}, {graph.batch}, 0)"
    black = "" if is_pose else _BLACK
    crop = _CROP.format(side=graph.side, subpixels=SUBPIXELS, black=black).rstrip()
    body = _pose(graph, crop, inputs) if is_pose else _detector(graph, crop, inputs)
    return head + body


def _pose(graph: Graph, crop: str, inputs: str) -> str:
    refine = ""
    if "heatmap" in graph.outputs:
        refine = 'grid = out["heatmap"].shape[1]\n' + _REFINE.format(
            grid="grid", reach=KERNEL // 2, beyond=KERNEL // 2 + 1, threshold=MIN_CONFIDENCE
        )
    hides = "visibility" in graph.fields
    column = graph.fields.index("visibility") if hides else 0
    return _POSE.format(
        crop=crop,
        inputs=inputs,
        side=graph.side,
        fields=len(graph.fields),
        xy=[graph.fields.index("x"), graph.fields.index("y")],
        refine=refine,
        and_row=", row" if hides else "",
        rows=", rows" if hides else "",
        visibility=f", 1 / (1 + np.exp(-row[{column}]))" if hides else "",
    )


def _detector(graph: Graph, crop: str, inputs: str) -> str:
    return _DETECTOR.format(
        crop=crop,
        inputs=inputs,
        side=graph.side,
        layout=LAYOUTS[graph.side],
        iou=NMS_IOU,
        min_score=MIN_SCORE,
        scale=SIDE_PER_RADIUS,
    )


def _listed(names: tuple[str, ...]) -> str:
    """Names as lines of Python strings."""
    lines = [""]
    for word in (json.dumps(name, ensure_ascii=False) + "," for name in names):
        if lines[-1] and len(lines[-1]) + len(word) > MAX_NAMES_WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "".join(f"    {line}\n" for line in lines)
