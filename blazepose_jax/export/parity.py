"""Parity: how far the outputs of exported files lie from JAX's."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from blazepose_jax.export.graph import Graph
from blazepose_jax.export.mediapipe_rows import ROWS
from blazepose_jax.export.quantize import PRECISIONS

Outputs = tuple[np.ndarray, ...]
# Unit of outputs that only the experiment file knows.
SHARE = "of its largest"
LOGITS = ("mask", "heatmap", "scores")
READ = 35  # of MediaPipe's rows


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far one output lies from JAX's.

    Attributes:
      output: its name.
      unit: ``px``, ``m``, ``probability``, or ``of its largest`` for other networks' own outputs.
      largest: over all crops and values.
      mean: likewise.
      allowed: of the mean.
    """

    output: str
    unit: str
    largest: float
    mean: float
    allowed: float

    @property
    def passes(self) -> bool:
        """Whether the mean is small enough; a NaN never is."""
        return self.mean <= self.allowed


def run_jax(graph: Graph, crops: np.ndarray) -> list[Outputs]:
    """Run a graph in JAX, crop by crop.

    Args:
      graph: made with ``convolution="auto"`` it compiles and runs fastest.
      crops: (N, S, S, 3) float32 normalised.

    Returns:
      Its outputs per crop.
    """
    call = jax.jit(graph.call)
    return [
        tuple(np.asarray(value) for value in call(np.repeat(crop[None], graph.batch, 0)))
        for crop in crops
    ]


def run_tflite(data: bytes, graph: Graph, crops: np.ndarray, threads: int = 2) -> list[Outputs]:
    """Run a file in LiteRT, crop by crop, outputs by index, as MediaPipe binds them.

    Args:
      data: a .tflite file.
      graph: what it was made of.
      crops: (N, S, S, 3) float32 normalised.
      threads: of the CPU.

    Returns:
      Its outputs per crop.
    """
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


# Depth is the least exact output of these nets: int8 moves it by three times as much as x and y,
# whatever it was calibrated with.
Z_ALLOWANCE = 3.0


def compare(
    graph: Graph, ours: list[Outputs], expected: list[Outputs], precision: str
) -> list[Difference]:
    """Compare output by output.

    Args:
      graph: says what the outputs are.
      ours: of the exported file, per crop.
      expected: JAX's, per crop.
      precision: of the file, one of ``quantize.PRECISIONS``.

    Returns:
      Differences, in the order of the outputs; landmarks as distances of the points, then their z
      and their logits.
    """
    chosen = PRECISIONS[precision]
    allowed = {
        "px": chosen.tolerance_px,
        "probability": chosen.tolerance,
        "m": chosen.tolerance,
        SHARE: chosen.tolerance,
    }
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for a, b in zip(ours, expected, strict=True):
        for i, name in enumerate(graph.outputs):
            for label, unit, errors in _errors(graph, name, a, b, i):
                errors = np.where(np.isnan(errors), np.inf, errors)
                found.setdefault((label, unit), []).append(errors.ravel())
    joined = {key: np.concatenate(parts) for key, parts in found.items()}
    return [
        Difference(
            label,
            unit,
            float(errors.max(initial=0)),
            float(errors.mean()) if errors.size else 0.0,
            allowed[unit] * (Z_ALLOWANCE if label == "z" else 1),
        )
        for (label, unit), errors in joined.items()
    ]


def _errors(
    graph: Graph, name: str, ours: Outputs, expected: Outputs, i: int
) -> Iterator[tuple[str, str, np.ndarray]]:
    """(label, unit, errors) of output ``name``, the i-th, on one crop; NaN where one has it."""
    a, b = (outputs[i].astype(np.float64) for outputs in (ours, expected))
    if name == "landmarks":
        # Of MediaPipe's 39 rows the last four are not read (docs/mediapipe.md, 2.1).
        read = READ if graph.keypoints == ROWS else len(graph.keypoints)
        a, b = (v.reshape(-1, len(graph.keypoints), len(graph.fields))[:, :read] for v in (a, b))
        xy = [graph.fields.index("x"), graph.fields.index("y")]
        yield name, "px", np.linalg.norm(a[..., xy] - b[..., xy], axis=-1)
        if "z" in graph.fields:
            z = graph.fields.index("z")
            yield "z", "px", np.abs(a[..., z] - b[..., z])
        logits = [graph.fields.index(f) for f in ("visibility", "presence") if f in graph.fields]
        if logits:
            errors = np.abs(sigmoid(a[..., logits]) - sigmoid(b[..., logits]))
            yield "visibility", "probability", errors
    elif name == "boxes":  # of anchors that find somebody, or that come nearest to it
        scores = expected[graph.outputs.index("scores")][..., 0]
        seen = scores >= min(0.0, scores.max())
        yield name, "px", np.abs(a - b)[seen]
    elif name in LOGITS:
        yield name, "probability", np.abs(sigmoid(a) - sigmoid(b))
    elif name in ("world", "presence"):
        yield name, "m" if name == "world" else "probability", np.abs(a - b)
    else:
        yield name, SHARE, np.abs(a - b) / max(np.abs(b).max(), 1.0)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The logistic function, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64)))
