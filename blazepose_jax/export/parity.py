"""An exported file, its graph and real crops come in; how far the file's outputs lie from JAX's leaves."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from blazepose_jax.export.graph import Graph

Outputs = tuple[np.ndarray, ...]
# Largest allowed mean error of the points, px of the crop, and of probabilities. float32 differs by rounding alone;
# reduced precision is judged by PCK where photographs with truth are given, and these bounds catch a broken file.
TOLERANCES = {"float32": (0.01, 1e-3), "float16": (0.5, 0.05), "dynamic": (6.0, 0.2), "int8": (8.0, 0.3)}
PROBABILITIES = ("mask", "heatmap", "scores")


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far one output lies from JAX's.

    Attributes:
      output: its name.
      unit: ``px``, ``m`` or ``probability``.
      largest: over all crops and values.
      mean: likewise.
      allowed: of the mean; infinite where nothing is promised.
    """

    output: str
    unit: str
    largest: float
    mean: float
    allowed: float


def run_jax(graph: Graph, crops: np.ndarray) -> list[Outputs]:
    """The graph in JAX, crop by crop; made with ``convolution="auto"`` it compiles and runs fastest."""
    call = jax.jit(graph.call)
    return [tuple(np.asarray(value) for value in call(np.repeat(crop[None], graph.batch, 0))) for crop in crops]


def run_tflite(data: bytes, graph: Graph, crops: np.ndarray, threads: int = 2) -> list[Outputs]:
    """The file in LiteRT, outputs by index, as MediaPipe binds them."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=threads)
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]["index"]
    outputs = [details["index"] for details in interpreter.get_output_details()]

    def run(crop: np.ndarray) -> Outputs:
        interpreter.set_tensor(image, np.repeat(crop[None], graph.batch, 0))
        interpreter.invoke()
        return tuple(interpreter.get_tensor(index) for index in outputs)

    return [run(crop) for crop in crops]


def compare(graph: Graph, ours: list[Outputs], expected: list[Outputs], precision: str) -> list[Difference]:
    """Compare output by output.

    Args:
      graph: says what the outputs are.
      ours: of the exported file, per crop.
      expected: JAX's, per crop.
      precision: of the file.

    Returns:
      Differences, in the order of the outputs; landmarks as distances of the points, then their logits.
    """
    points, probability = TOLERANCES[precision]
    rows = []

    def row(name: str, unit: str, allowed: float, error: Callable[[np.ndarray, np.ndarray], np.ndarray],
            i: int) -> None:
        found = np.concatenate([error(a[i].astype(np.float64), b[i].astype(np.float64)).ravel()
                                for a, b in zip(ours, expected, strict=True)])
        rows.append(Difference(name, unit, float(found.max(initial=0)), float(found.mean()) if found.size else 0.0,
                               allowed))

    for i, name in enumerate(graph.outputs):
        if name == "landmarks":
            count, width = len(graph.keypoints), len(graph.fields)
            xy = [graph.fields.index("x"), graph.fields.index("y")]
            body = min(count, 35)  # of MediaPipe's 39 rows nobody reads the last four
            row(name, "px", points, lambda a, b: np.linalg.norm(
                (a - b).reshape(-1, count, width)[:, :body, xy], axis=-1), i)
            if flags := [graph.fields.index(f) for f in ("visibility", "presence") if f in graph.fields]:
                row("visibility", "probability", probability, lambda a, b: np.abs(
                    sigmoid(a.reshape(-1, count, width)[:, :body, flags])
                    - sigmoid(b.reshape(-1, count, width)[:, :body, flags])), i)
        elif name == "boxes":
            scores = graph.outputs.index("scores")
            found = np.concatenate([np.abs(a[i] - b[i])[sigmoid(b[scores][..., 0]) > 0.5].ravel()
                                    for a, b in zip(ours, expected, strict=True)])
            rows.append(Difference(name, "px", float(found.max(initial=0)), float(found.mean()) if found.size else 0.0,
                                   points))
        elif name in PROBABILITIES:
            row(name, "probability", probability, lambda a, b: np.abs(sigmoid(a) - sigmoid(b)), i)
        else:
            row(name, "m" if name == "world" else "probability", probability, lambda a, b: np.abs(a - b), i)
    return rows


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64)))
