"""Export formats: what ``blazepose export`` can write, one row of ``FORMATS`` each."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from blazepose_jax.cli.export_cost import PckCost, measure_cost
from blazepose_jax.cli.export_request import ExportRequest
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.bundle import task_bytes
from blazepose_jax.export.calibration import CalibrationSet
from blazepose_jax.export.exported import (
    ExportedNetwork,
    export_onnx,
    export_saved_model,
    export_tflite,
)
from blazepose_jax.export.mediapipe_rows import has_mediapipe_rows, left_out
from blazepose_jax.export.page import check_page, page_path, page_text
from blazepose_jax.export.quantize import PRECISIONS
from blazepose_jax.io.files import OutputFolder, is_special, write_bytes, write_text
from blazepose_jax.weights import StoredNetwork

Networks = dict[str, StoredNetwork]


@dataclasses.dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
      path: where; its name says so if it lies too far from JAX.
      size: bytes of the file; None for a folder.
      page: the page that describes it; None where it has no place.
      networks: by kind.
      cost: the measured PCK; None where it was not measured.
      failure: why it lies too far from JAX, and a remedy; empty where it does not.
      note: what else to know of it.
    """

    path: Path
    size: int | None
    page: Path | None
    networks: dict[str, ExportedNetwork]
    cost: PckCost | None = None
    failure: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of exports.

    Attributes:
      description: what it holds, for whom.
      write: makes the files of the networks, compares them with JAX and writes them.
      check: refuses requests that the format cannot fulfil.
      both: it holds the detector and the pose net; else one of them.
      is_folder: it is a folder, not a file.
    """

    description: str
    write: Callable[[ExportRequest, Networks, CalibrationSet], Export]
    check: Callable[[ExportRequest], None] = lambda request: None
    both: bool = False
    is_folder: bool = False


def _write_tflite(request: ExportRequest, nets: Networks, calibration: CalibrationSet) -> Export:
    [(kind, net)] = nets.items()
    network = _as_tflite(request, net, calibration, mediapipe=has_mediapipe_rows(net))
    return _write_file(request, nets, {kind: network}, network.data, calibration)


def _as_tflite(
    request: ExportRequest, net: StoredNetwork, calibration: CalibrationSet, *, mediapipe: bool
) -> ExportedNetwork:
    return export_tflite(
        net,
        calibration,
        batch=request.batch,
        precision=request.precision,
        backend=request.backend,
        mediapipe=mediapipe,
        decode=request.decode,
    )


def _check_task(request: ExportRequest) -> None:
    if request.batch != 1:
        raise BlazePoseError(
            f"batch is {request.batch}: MediaPipe gives a .task one image at a time; leave --batch"
            " out, or export a .tflite"
        )
    if request.part is not None:
        raise BlazePoseError(
            f"a .task holds both networks: leave out --part {request.part}, or name a .tflite"
        )


def _write_task(request: ExportRequest, nets: Networks, calibration: CalibrationSet) -> Export:
    if nets["pose"].skeleton is not None and (lost := left_out(nets["pose"])):
        print(f"MediaPipe has no row for {', '.join(lost)}: left out")
    networks = {
        kind: _as_tflite(request, net, calibration, mediapipe=True) for kind, net in nets.items()
    }
    data = task_bytes(networks["detector"].data, networks["pose"].data)
    export = _write_file(request, nets, networks, data, calibration)
    if not PRECISIONS[request.precision].int8_weights:
        return export
    note = f"{request.precision} runs on CPUs; MediaPipe's web GPU takes float32 and float16 alone"
    return dataclasses.replace(export, note=note)


def _check_onnx(request: ExportRequest) -> None:
    if request.precision != "float32":
        raise BlazePoseError(f"an .onnx is float32: name a .tflite for {request.precision}")


def _write_onnx(request: ExportRequest, nets: Networks, calibration: CalibrationSet) -> Export:
    [(kind, net)] = nets.items()
    network = export_onnx(
        net,
        calibration,
        batch=request.batch,
        backend=request.backend,
        decode=request.decode,
    )
    return _write_file(request, nets, {kind: network}, network.data, calibration)


def _write_file(
    request: ExportRequest,
    nets: Networks,
    networks: dict[str, ExportedNetwork],
    data: bytes,
    calibration: CalibrationSet,
) -> Export:
    """Measure what the file costs and write it, under another name if it lies too far from JAX."""
    cost, path, failure = None, request.path, ""
    is_reduced, people = request.precision != "float32", calibration.measured
    if is_reduced and people is not None and "pose" in networks and request.batch == 1:
        cost = measure_cost(
            nets["pose"], networks["pose"], request.weights, people, request.experiment
        )
    failures = [text for network in networks.values() for text in network.failures]
    failures += cost.failures if cost else []
    if failures:
        path = path.with_name(f"{path.stem}.parity-failed{path.suffix}")
        failure = (
            f"{path} lies too far from JAX ({'; '.join(failures)}): use a higher --precision or"
            " more photographs to calibrate with"
        )
    page = None if is_special(path) else page_path(path)
    if page is not None:
        check_page(page)
    write_bytes(path, data)
    if page is not None:
        graphs = [network.graph for network in networks.values()]
        write_text(page, page_text(path, request.format, graphs))
    return Export(path, len(data), page, networks, cost, failure)


def _check_saved_model(request: ExportRequest) -> None:
    if request.path.exists():
        raise BlazePoseError(
            f"output {request.output!r} exists: a SavedModel is a new folder; name one"
        )
    if request.json and os.path.realpath(request.json) == os.path.realpath(request.path):
        raise BlazePoseError(
            f"output {request.output!r} and --json are the same: the model is a folder; name"
            " another file for the report"
        )
    if not request.path.absolute().parent.is_dir():
        raise BlazePoseError(
            f"output {request.output!r} lies in a folder that does not exist: make it first"
        )
    if request.precision != "float32" or request.backend != "jax2tf":
        raise BlazePoseError(
            "a SavedModel is float32 and written by --backend jax2tf: name a .tflite for "
            f"{request.precision} by {request.backend}"
        )


def _write_saved_model(
    request: ExportRequest, nets: Networks, calibration: CalibrationSet
) -> Export:
    [(kind, net)] = nets.items()
    path, failure = request.path, ""
    folder = OutputFolder(path)
    try:
        network = export_saved_model(
            net, folder.part, calibration, batch=request.batch, decode=request.decode
        )
        if network.failures:
            path = folder.path = path.with_name(f"{path.name}.parity-failed")
            failure = f"{path} lies too far from JAX: use --backend litert with a .tflite"
        page = page_path(Path(path.name))
        write_text(folder.part / page, page_text(path, request.format, [network.graph]))
        folder.finish(replace=bool(failure))
    finally:
        folder.discard()
    return Export(path, None, path / page, {kind: network}, failure=failure)


FORMATS = {
    ".tflite": Format("one network, for LiteRT", write=_write_tflite),
    ".task": Format(
        "both networks, for MediaPipe", write=_write_task, check=_check_task, both=True
    ),
    ".onnx": Format("one network, float32, for ONNX Runtime", write=_write_onnx, check=_check_onnx),
    "": Format(
        "one network, float32, as a SavedModel",
        write=_write_saved_model,
        check=_check_saved_model,
        is_folder=True,
    ),
}
