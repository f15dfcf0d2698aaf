"""Exported networks: one network as one file, compared with JAX."""

import dataclasses
from functools import partial
from pathlib import Path

from blazepose_jax.export import flatbuffer, jax2tf_backend, onnx_backend
from blazepose_jax.export.calibration import CalibrationSet, crops_for
from blazepose_jax.export.convert import to_tflite
from blazepose_jax.export.graph import Graph, make_graph
from blazepose_jax.export.mediapipe_rows import has_mediapipe_rows
from blazepose_jax.export.parity import Difference, compare, run_jax, run_tflite
from blazepose_jax.weights import StoredNetwork


@dataclasses.dataclass(frozen=True)
class ExportedNetwork:
    """One exported network.

    Attributes:
      graph: what was exported.
      data: the file's bytes; empty for a SavedModel, which is a folder.
      differences: from JAX.
      operators: {TFLite operator: how many}; empty for a SavedModel.
    """

    graph: Graph
    data: bytes
    differences: list[Difference]
    operators: dict[str, int]

    @property
    def failures(self) -> list[str]:
        """A phrase for each output that lies too far from JAX."""
        return [
            f"{row.output}: mean {row.mean:.3g} {row.unit}, allowed {row.allowed:.3g}"
            for row in self.differences
            if not row.passes
        ]


def export_tflite(
    net: StoredNetwork,
    calibration: CalibrationSet,
    *,
    batch: int,
    precision: str,
    backend: str,
    mediapipe: bool,
    decode: str | None = None,
) -> ExportedNetwork:
    """Convert a network to a .tflite and compare it with JAX.

    Args:
      net: what to export.
      calibration: images to calibrate with, and others to compare on.
      batch: images at once.
      precision: one of ``quantize.PRECISIONS``.
      backend: one of ``convert.BACKENDS``.
      mediapipe: as for ``make_graph``.
      decode: as for ``make_graph``.

    Raises:
      BlazePoseError: as for ``make_graph`` and ``to_tflite``.
    """
    make = partial(make_graph, net, batch=batch, mediapipe=mediapipe, decode=decode)
    graph = make()
    data = to_tflite(
        graph,
        backend=backend,
        precision=precision,
        crops=crops_for(graph, calibration.images),
    )
    crops = crops_for(graph, calibration.judged)
    reference = make(convolution="auto")
    differences = compare(
        graph, run_tflite(data, graph, crops), run_jax(reference, crops), precision
    )
    return ExportedNetwork(graph, data, differences, dict(flatbuffer.histogram(data).most_common()))


def export_onnx(
    net: StoredNetwork,
    calibration: CalibrationSet,
    *,
    batch: int,
    backend: str,
    decode: str | None = None,
) -> ExportedNetwork:
    """Convert a network to a float32 .onnx, by way of a .tflite, and compare it with JAX.

    Args:
      net: what to export.
      calibration: images to compare on.
      batch: images at once.
      backend: of the .tflite, one of ``convert.BACKENDS``.
      decode: as for ``make_graph``.

    Raises:
      BlazePoseError: as for ``to_tflite`` and ``onnx_backend``.
    """
    mediapipe = has_mediapipe_rows(net)
    make = partial(make_graph, net, batch=batch, mediapipe=mediapipe, decode=decode)
    graph = make()
    tflite = to_tflite(graph, backend=backend)
    data = onnx_backend.convert(tflite)
    crops = crops_for(graph, calibration.judged)
    reference = make(convolution="auto")
    differences = compare(
        graph, onnx_backend.run(data, graph, crops), run_jax(reference, crops), "float32"
    )
    operators = dict(flatbuffer.histogram(tflite).most_common())
    return ExportedNetwork(graph, data, differences, operators)


def export_saved_model(
    net: StoredNetwork,
    folder: Path,
    calibration: CalibrationSet,
    *,
    batch: int,
    decode: str | None = None,
) -> ExportedNetwork:
    """Write a network as a float32 SavedModel and compare it with JAX.

    Args:
      net: what to export.
      folder: to write into; new or empty.
      calibration: images to compare on.
      batch: images at once.
      decode: as for ``make_graph``.

    Raises:
      BlazePoseError: as for ``jax2tf_backend.save``.
    """
    mediapipe = has_mediapipe_rows(net)
    graph = make_graph(net, batch=batch, convolution="xla", mediapipe=mediapipe, decode=decode)
    crops = crops_for(graph, calibration.judged)
    jax2tf_backend.save(graph, folder)
    found = jax2tf_backend.run_saved(folder, graph, crops)
    differences = compare(graph, found, run_jax(graph, crops), "float32")
    return ExportedNetwork(graph, b"", differences, {})
