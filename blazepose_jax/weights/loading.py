"""A weights directory, a .task or Google's files come in, networks ready for the pipeline leave."""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import FIELDS, FOLDED, create_network
from blazepose_jax.models.fold import fold_batch_norm
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import Network
from blazepose_jax.weights.archive import read_task, read_wheel
from blazepose_jax.weights.directory import (
    KINDS,
    StoredNetwork,
    read_description,
    read_network,
    save_weights,
)
from blazepose_jax.weights.mediapipe import import_tflite

__all__ = [
    "StoredNetwork",
    "TFLiteFile",
    "Weights",
    "import_weights",
    "load_weights",
    "read_stored",
    "read_tflite_files",
    "save_weights",
]

LICENCE = "Apache-2.0 (Google, MediaPipe)"


@dataclasses.dataclass(frozen=True)
class Weights:
    """Networks ready for ``inference.track``; either may be missing.

    Attributes:
      detector: finds people.
      pose: estimates their points; carries its skeleton.
      name: what to call the pair, e.g. ``detector + full``.
    """

    detector: Network | None
    pose: Network | None
    name: str


@dataclasses.dataclass(frozen=True)
class TFLiteFile:
    """A network as LiteRT runs it.

    Attributes:
      data: the .tflite file.
      skeleton: of a pose net.
      fields: of a pose net: what is predicted per keypoint.
    """

    data: bytes
    skeleton: Skeleton | None = None
    fields: tuple[str, ...] = FIELDS


def load_weights(path: str | Path, detector: str | Path | None = None) -> Weights:
    """Load networks for JAX, batch normalisation folded.

    Args:
      path: a weights directory or a .task.
      detector: another one to take the detector from.

    Returns:
      Weights.

    Raises:
      BlazePoseError: missing, damaged, or weights of another network.
    """
    stored = read_stored(path, detector)
    networks = {kind: _bind(net) for kind, net in stored.items()}
    return Weights(
        networks.get("detector"),
        networks.get("pose"),
        " + ".join(stored[k].model for k in sorted(stored)),
    )


def _with_detector(path: str | Path, detector: str | Path | None, read) -> dict[str, Any]:
    found = read(path)
    if detector is not None:
        other = read(detector)
        if "detector" not in other:
            raise BlazePoseError(
                f"{detector} holds no detector: give a directory or .task that does"
            )
        found = {**found, "detector": other["detector"]}
    return found


def _bind(net: StoredNetwork) -> Network:
    variables = fold_batch_norm(net.variables) if net.norm == "batch" else net.variables
    variables = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), variables)
    return create_network(net.model, variables, FOLDED, net.skeleton, **net.arguments)


def read_stored(path: str | Path, detector: str | Path | None = None) -> dict[str, StoredNetwork]:
    """Read a weights directory or a .task as it is stored: {kind: StoredNetwork}.

    Args:
      path: a weights directory or a .task.
      detector: another one to take the detector from.

    Raises:
      BlazePoseError: as for ``load_weights``.
    """
    return _with_detector(path, detector, _read_stored)


def _read_stored(path: str | Path) -> dict[str, StoredNetwork]:
    path = Path(path)
    if path.is_dir():
        return {
            kind: read_network(path, kind, entry) for kind, entry in read_description(path).items()
        }
    if not path.exists():
        raise BlazePoseError(
            f"weights {str(path)!r} do not exist: give a weights directory (blazepose import makes "
            "one) or a .task"
        )
    return _import_files({f"{path.name}:{kind}": data for kind, data in read_task(path).items()})


def read_tflite_files(
    path: str | Path,
    detector: str | Path | None = None,
    convert: Callable[[StoredNetwork], bytes] | None = None,
) -> dict[str, TFLiteFile]:
    """The .tflite files of a weights directory or a .task, for the LiteRT runtime.

    Args:
      path: a weights directory or a .task.
      detector: another one to take the detector from.
      convert: makes the .tflite of a network that has none, such as a trained one.

    Returns:
      {kind: TFLiteFile}.

    Raises:
      BlazePoseError: missing, or, without ``convert``, a directory without .tflite files.
    """

    def one(where: Path, kind: str, net: StoredNetwork) -> TFLiteFile:
        data = net.tflite
        if data is None:
            if convert is None:
                raise BlazePoseError(f"{where} has no .tflite of its {kind}: use --runtime jax")
            data = convert(net)
        return TFLiteFile(data, net.skeleton, tuple(net.arguments.get("fields", FIELDS)))

    def read(where: str | Path) -> dict[str, TFLiteFile]:
        where = Path(where)
        if where.is_dir():
            stored = {
                kind: read_network(where, kind, entry)
                for kind, entry in read_description(where).items()
            }
            return {kind: one(where, kind, net) for kind, net in stored.items()}
        if not where.exists():
            raise BlazePoseError(
                f"weights {str(where)!r} do not exist: give a weights directory or a .task"
            )
        return {
            kind: TFLiteFile(data, BLAZEPOSE if kind == "pose" else None)
            for kind, data in read_task(where).items()
        }

    return _with_detector(path, detector, read)


def import_weights(
    sources: Sequence[str | Path], directory: str | Path
) -> dict[str, StoredNetwork]:
    """Turn Google's files into a weights directory.

    Args:
      sources: .task, .tflite and mediapipe wheel files, or the word ``mediapipe`` for the installed
        package.
      directory: where to write.

    Returns:
      What was written, by kind.

    Raises:
      BlazePoseError: unreadable, unknown, or two networks of one kind.
    """
    files: dict[str, bytes] = {}
    for source in sources:
        files |= _read_source(source)
    networks = _import_files(files)
    save_weights(Path(directory), networks)
    return networks


def _import_files(files: dict[str, bytes]) -> dict[str, StoredNetwork]:
    networks: dict[str, StoredNetwork] = {}
    for name, data in files.items():
        net = import_tflite(data, name)
        if net.kind in networks:
            raise BlazePoseError(
                f"{name} is a second {net.kind} net next to {networks[net.kind].source}: a weights "
                f"directory holds at most one of each of {', '.join(KINDS)}"
            )
        networks[net.kind] = StoredNetwork(
            net.name,
            "folded",
            net.variables,
            {},
            name,
            LICENCE,
            BLAZEPOSE if net.kind == "pose" else None,
            data,
        )
    return networks


def _read_source(source: str | Path) -> dict[str, bytes]:
    path = Path(source)
    if str(source) == "mediapipe" and not path.exists():
        return _read_installed()
    if not path.is_file():
        raise BlazePoseError(
            f"source {str(source)!r} is no file: give a .task, a .tflite, a mediapipe wheel, or the"
            " word mediapipe for the installed package"
        )
    readers = {".task": read_task, ".whl": read_wheel}
    if path.suffix in readers:
        return {f"{path.name}:{kind}": data for kind, data in readers[path.suffix](path).items()}
    if path.suffix == ".tflite":
        return {path.name: path.read_bytes()}
    raise BlazePoseError(
        f"source {str(source)!r} ends in {path.suffix!r}: known are .task, .tflite and .whl"
    )


def _read_installed() -> dict[str, bytes]:
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        raise BlazePoseError(
            "the package mediapipe is not installed: pip install mediapipe==0.10.21, or give a file"
        )
    root = Path(spec.submodule_search_locations[0])
    paths = [
        root / "modules/pose_detection/pose_detection.tflite",
        root / "modules/pose_landmark/pose_landmark_full.tflite",
    ]
    if lacking := [p for p in paths if not p.is_file()]:
        raise BlazePoseError(
            f"the installed mediapipe has no {lacking[0].name}: versions after 0.10.21 ship no "
            "models; give its wheel or a .task"
        )
    return {p.name: p.read_bytes() for p in paths}
