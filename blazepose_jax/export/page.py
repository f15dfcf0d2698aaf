"""The page beside an exported file: what it is, for whoever gets it without this package."""

import json
import re
from pathlib import Path

from blazepose_jax.codecs.heatmaps import KERNEL, MIN_CONFIDENCE
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.description import (
    SIDE_PER_RADIUS,
    facts_of,
    meaning,
    output_shapes,
    roi_rows,
)
from blazepose_jax.export.graph import Graph
from blazepose_jax.export.page_code import python_code

SUFFIX = ".md"
# The first line, by which a page is known as one that may be replaced.
MARK = "<!-- written by blazepose export: it is replaced when the file is exported again -->"
FORMATS = {
    ".tflite": "LiteRT (TensorFlow Lite)",
    ".task": "MediaPipe Tasks: a zip of two LiteRT files",
    ".onnx": "ONNX",
    "": "TensorFlow SavedModel",
}
# Suffix -> packages of the Python code.
PACKAGES = {
    ".tflite": "ai-edge-litert numpy pillow",
    ".task": "ai-edge-litert numpy pillow",
    ".onnx": "onnxruntime numpy pillow",
    "": "tensorflow numpy pillow",
}


def page_path(output: Path) -> Path:
    """Where the page of a file lies: beside it, under its whole name, as others share the stem."""
    return output.with_name(output.name + SUFFIX)


def check_page(path: Path) -> None:
    """Check that a page may be written here.

    Raises:
      BlazePoseError: a file is there that this package has not written.
    """
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        if file.readline().strip() == MARK:
            return
    raise BlazePoseError(
        f"output {str(path)!r} exists and was not written by blazepose export, which would put the"
        " description of the exported file there: rename it, or name another --output"
    )


def page_text(path: Path, suffix: str, graphs: list[Graph]) -> str:
    """The page of an exported file.

    Args:
      path: of the file or SavedModel.
      suffix: its format, a key of ``FORMATS``.
      graphs: the networks in it.

    Returns:
      Markdown.
    """
    parts = [MARK, f"# {_cell(path.name)}", ""]
    if suffix == ".task":
        parts += [
            "For MediaPipe's Pose Landmarker, which shows 33 points: Android, iOS, web, Python.",
            "The code below is for those who run the networks themselves.",
            "",
        ]
    for graph in graphs:
        parts += _network(path, suffix, graph)
    if suffix in (".tflite", ".task"):
        inside = " (of each of the two files inside)" if suffix == ".task" else ""
        parts += [
            "## For programs",
            "",
            f"The same as data: `blazepose.json` in the zip at the end of the file{inside};"
            " `unzip -p FILE blazepose.json` prints it.",
            "",
        ]
    # Names of files may hold bytes that are no text.
    return "\n".join(parts).encode("utf-8", "backslashreplace").decode()


def _network(path: Path, suffix: str, graph: Graph) -> list[str]:
    title = "Pose net" if graph.kind == "pose" else "Detector"
    code = python_code(graph, path.name, suffix)
    uses = "photo.jpg 320 240 500 0" if graph.kind == "pose" else "photo.jpg"
    return [
        f"## {title}",
        "",
        f"BlazePose {graph.kind}, architecture `{graph.model}`; {FORMATS[suffix]}.",
        "",
        f"- Source: {_cell(graph.source) or 'not known'}",
        f"- Licence: {_cell(graph.licence) or 'not known'}",
        "",
        *_tensors(graph),
        *(_keypoints(graph) if graph.kind == "pose" else []),
        *(_next_roi(graph) if graph.kind == "pose" else _FIRST_ROI),
        "### Python",
        "",
        f"`pip install {PACKAGES[suffix]}`, save as `run.py`, and `python run.py {uses}`"
        + (
            " (middle x, y and side of the square in px, angle in radians)."
            if graph.kind == "pose"
            else "."
        ),
        "",
        "```python",
        *code.rstrip().split("\n"),
        "```",
        "",
    ]


def _tensors(graph: Graph) -> list[str]:
    shape = " x ".join(map(str, graph.input_shape))
    level = f"(v - {graph.mean:g}) / {graph.std:g}" if graph.mean else f"v / {graph.std:g}"
    rows = [
        f"| {index} | `{name}` | {' x '.join(map(str, shape))} | {', '.join(facts_of(name)[2])} |"
        f" {facts_of(name)[1]} | {meaning(name, graph)} |"
        for index, (name, shape) in enumerate(output_shapes(graph).items())
    ]
    return [
        "### Tensors",
        "",
        f"Input `image`: {shape} float32, batch, y, x, colour (RGB); a grey level v becomes"
        f" {level}.",
        "Outputs, all float32, in this order:",
        "",
        "| index | name | shape | order | unit | meaning |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _keypoints(graph: Graph) -> list[str]:
    """The rows of the landmarks, and how they are decoded."""
    names = zip(graph.keypoints, graph.own_names, strict=True)
    rows = [
        f"| {row} | {_cell(name)} | {_cell(own) if own else 'not predicted'} |"
        for row, (name, own) in enumerate(names)
    ]
    fields = ", ".join(graph.fields)
    decoded = (
        " x and y of the keypoints are decoded from the heatmaps already."
        if graph.decode == "heatmap"
        else ""
    )
    refine = (
        f" Then each point is pulled to the heatmap's centre of mass in the {KERNEL} x {KERNEL}"
        f" cells round it, if one of them reaches the probability {MIN_CONFIDENCE} (`refine`, as in"
        " the code below)."
        if "heatmap" in graph.outputs
        else ""
    )
    return [
        "### Rows",
        "",
        f"Each row of `landmarks` is {fields}. x / {graph.side} and y / {graph.side} are places in"
        f" the crop, 0 to 1.{decoded}{refine}",
        "",
        "| row | name | point of the network |",
        "|---|---|---|",
        *rows,
        "",
    ]


def _next_roi(graph: Graph) -> list[str]:
    """Where the crop of the next frame lies."""
    assert graph.skeleton is not None
    kind, center, above = roi_rows(graph.skeleton)
    rule = ["The network does not say where to look next: crop by a detector or a box.", ""]
    if kind != "none":
        farthest = f"the farthest of rows 0 to {len(graph.skeleton.keypoints) - 1}"
        circle = _mean_of(above) if kind == "rows" else farthest
        rule = [
            "The square to look at in the next frame, from the points of this one:",
            "",
            "| | |",
            "|---|---|",
            f"| centre | {_mean_of(center)} |",
            f"| side | {SIDE_PER_RADIUS:g} times the distance from the centre to {circle} |",
            f"| angle | of the line from the centre to {_mean_of(above)}, clockwise; 0 if it points"
            " up |",
            "",
        ]
    return [
        "### The square (ROI)",
        "",
        *rule,
        "Pixel (0, 0) of the crop lies on the corner of the square, without half-pixel shift;"
        " outside of the image its edge is repeated. The first square comes from a detector.",
        "",
    ]


_FIRST_ROI = [
    "### The square (ROI)",
    "",
    "The input is the smallest upright square with the image at its centre, black outside. The"
    f" square for the pose net has its centre at the mid-hip and {SIDE_PER_RADIUS:g} times the"
    " distance from there"
    " to the point on the circle round the body as its side; that point lies straight above.",
    "",
]


def _mean_of(rows: tuple[int, ...]) -> str:
    return f"row {rows[0]}" if len(rows) == 1 else f"the mean of rows {', '.join(map(str, rows))}"


def _cell(text: str) -> str:
    """Text as it stands in Markdown, on one line."""
    plain = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')
    return re.sub(r"([|<>`*\[\]])", r"\\\1", plain)
