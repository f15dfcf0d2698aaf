"""``blazepose export``: networks as files for other runtimes."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

from blazepose_jax.cli.export_formats import FORMATS, Format, Networks
from blazepose_jax.cli.export_report import as_json, print_report
from blazepose_jax.cli.export_request import ExportRequest
from blazepose_jax.cli.options import add_weights, experiment_of, locate_weights, names_help
from blazepose_jax.errors import BlazePoseError, ParityError, check_name
from blazepose_jax.export.calibration import read_calibration_set
from blazepose_jax.export.convert import BACKENDS, Backend
from blazepose_jax.export.graph_decode import DECODES
from blazepose_jax.export.page import check_page, page_path
from blazepose_jax.export.quantize import PRECISIONS, Precision
from blazepose_jax.io.files import is_special, write_text
from blazepose_jax.io.output_checks import check_outputs
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.weights import read_stored

PARTS = ("pose", "detector")  # the default first
MAX_BATCH_DIGITS = 5


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``blazepose export``."""
    add_weights(parser)
    parser.add_argument("--output", required=True, metavar="X", help=_described(FORMATS))
    parser.add_argument(
        "--part", metavar="NAME", help="of all but .task: pose (default) or detector"
    )
    parser.add_argument(
        "--precision", default="float32", metavar="P", help=_described(PRECISIONS, "float32")
    )
    parser.add_argument(
        "--backend", default="jax2tf", metavar="B", help=_described(BACKENDS, "jax2tf")
    )
    parser.add_argument(
        "--decode",
        metavar="NAME",
        help=f"of pose nets: {names_help(DECODES)} (default: heatmap where the net has one)",
    )
    parser.add_argument(
        "--calibration",
        metavar="DIR",
        help="annotated people: ranges for int8, and the PCK that reduced precision costs",
    )
    parser.add_argument(
        "--images", metavar="DIR", help="where the pictures of --calibration lie, if not there"
    )
    parser.add_argument(
        "--batch", default="1", metavar="N", help="of all but .task: images at once (default: 1)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the parity report here")


def _described(rows: Mapping[str, Format | Precision | Backend], default: str = "") -> str:
    """A help text: the names of a table, and what each of them is."""
    texts = {name or "a new path without suffix": row.description for name, row in rows.items()}
    return names_help(texts, default)


def run(args: Namespace) -> None:
    """``blazepose export``.

    Raises:
      BlazePoseError: a request that cannot be fulfilled.
      ParityError: what was written lies too far from JAX.
    """
    request = request_from(args)
    nets = read_nets(request)
    skeleton = (nets["pose"].skeleton or BLAZEPOSE) if "pose" in nets else None
    calibration = read_calibration_set(request.calibration, skeleton, request.images)
    check_files(request, calibration.files)
    export = FORMATS[request.format].write(request, nets, calibration)
    # Before anything is printed: whoever reads that may hang up.
    if request.json:
        write_text(Path(request.json), json.dumps(as_json(request, export), indent=2) + "\n")
    print_report(export)
    if export.failure:
        raise ParityError(export.failure)


def request_from(args: Namespace) -> ExportRequest:
    """The request of a command line, checked as far as that is possible before the work starts.

    Raises:
      BlazePoseError: unknown names, an unknown suffix, outputs that cannot be written, options that
        exclude each other.
    """
    check_name(args.precision, PRECISIONS, "precision")
    check_name(args.backend, BACKENDS, "backend")
    if args.decode is not None:
        check_name(args.decode, DECODES, "decode")
    if args.part is not None:
        check_name(args.part, PARTS, "part")
    suffix = Path(args.output).suffix
    if suffix not in FORMATS:
        raise BlazePoseError(
            f"output {args.output!r} ends in {suffix!r}: known are"
            f" {', '.join(name for name in FORMATS if name)},"
            " and a new path without suffix for a SavedModel"
        )
    if args.images is not None and args.calibration is None:
        raise BlazePoseError(
            "--images says where the pictures of --calibration DIR lie: give that, too, or leave it"
            " out"
        )
    batch = _batch_from(args.batch)
    locate_weights(args)
    request = ExportRequest(
        weights=args.weights,
        detector=args.detector,
        output=args.output,
        format=suffix,
        part=args.part,
        precision=args.precision,
        backend=args.backend,
        calibration=args.calibration,
        images=args.images,
        batch=batch,
        json=args.json,
        experiment=experiment_of(args),
        decode=args.decode,
    )
    FORMATS[suffix].check(request)
    check_files(request)
    if PRECISIONS[request.precision].needs_crops and request.calibration is None:
        raise BlazePoseError(
            f"{request.precision} needs the ranges of activations on real people: give"
            " --calibration DIR, a folder with annotations.json in COCO's format"
        )
    return request


def _batch_from(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_BATCH_DIGITS
    if not is_number or int(text) < 1:
        raise BlazePoseError(f"batch is {text!r:.40}: it must be a whole number of at least 1")
    return int(text)


def check_files(request: ExportRequest, inputs: tuple[Path, ...] = ()) -> None:
    """Check that the outputs can be written and are none of the inputs.

    Args:
      request: names the outputs, and the weights, which are inputs.
      inputs: further ones.

    Raises:
      BlazePoseError: as for ``check_outputs``, and for ``check_page`` of the page beside the file.
    """
    output, page = request.output, None
    if FORMATS[request.format].is_folder:
        output = None
    elif not is_special(request.path):
        page = page_path(request.path)
    names = (request.json, output, None if page is None else str(page))
    check_outputs(names, (request.weights, request.detector, *inputs))
    if page is not None:
        check_page(page)


def read_nets(request: ExportRequest) -> Networks:
    """The networks to export, detector first.

    Raises:
      BlazePoseError: one of them is missing.
    """
    nets = read_stored(request.weights, request.detector, experiment=request.experiment)
    if FORMATS[request.format].both:
        if lacking := [kind for kind in ("detector", "pose") if kind not in nets]:
            option = "--detector W" if lacking[0] == "detector" else "--weights W"
            raise BlazePoseError(
                f"{request.weights} holds no {lacking[0]}: a {request.format} needs both networks;"
                f" give one with {option}"
            )
        return {kind: nets[kind] for kind in ("detector", "pose")}
    part = request.part or ("pose" if "pose" in nets else "detector")
    if part not in nets:
        raise BlazePoseError(f"{request.weights} holds no {part}: it has {', '.join(nets)}")
    if part == "detector" and request.decode is not None:
        raise BlazePoseError(
            f"--decode {request.decode} is of pose nets, and this is a detector: leave it out"
        )
    return {part: nets[part]}
