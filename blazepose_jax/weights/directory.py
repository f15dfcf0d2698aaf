"""A weights directory: networks come in and are written, or are read and leave checked."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import OutputFolder, write_text
from blazepose_jax.io.json_files import read_json
from blazepose_jax.io.tensors import parse_tensors, save_tensors
from blazepose_jax.models import LayerConfig, check_arguments, create_model, spec_of
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton

FORMAT = "blazepose_jax weights 1"
KINDS = ("detector", "pose")
RELEASED_ROWS = len(BLAZEPOSE.keypoints) + len(BLAZEPOSE.auxiliary)
MAX_BYTES = 2**31  # of one file
MAX_DESCRIPTION = 2**24  # of model.json
MAX_NAME = 200  # characters of a file's name


@dataclasses.dataclass(frozen=True)
class StoredNetwork:
    """One network of a weights directory.

    Attributes:
      model: a key of ``MODELS``.
      norm: ``batch`` or ``folded``.
      variables: {"params", and "batch_stats" where norm is batch}.
      arguments: of ``create_model``, plain data.
      source: where it comes from, for people.
      licence: of the weights.
      skeleton: of a pose net.
      tflite: the file it was imported from, for the LiteRT runtime.
    """

    model: str
    norm: str
    variables: dict[str, Any]
    arguments: dict[str, Any]
    source: str
    licence: str
    skeleton: Skeleton | None = None
    tflite: bytes | None = None


def save_weights(directory: Path, networks: dict[str, StoredNetwork]) -> None:
    """Write a weights directory.

    It takes its name when it is complete, and the place of an older one in one step.

    Args:
      directory: new, empty, or a weights directory, which is replaced.
      networks: by kind, ``detector`` and / or ``pose``.

    Raises:
      BlazePoseError: the path is a file or a folder with something else in it.
    """
    directory = Path(directory)
    if directory.is_file() or (
        directory.is_dir() and any(directory.iterdir()) and not (directory / "model.json").is_file()
    ):
        raise BlazePoseError(f"{directory} exists and is no weights directory: name a new one")
    folder = OutputFolder(directory)
    try:
        described = {kind: _write_network(folder.part, kind, net) for kind, net in networks.items()}
        write_text(
            folder.part / "model.json",
            json.dumps({"format": FORMAT, "networks": described}, indent=2) + "\n",
        )
        folder.finish(replace=True)
    finally:
        folder.discard()


def _write_network(directory: Path, kind: str, net: StoredNetwork) -> dict[str, Any]:
    tensors = traverse_util.flatten_dict(net.variables, sep="/")
    path = directory / f"{kind}.safetensors"
    save_tensors({name: np.asarray(value) for name, value in tensors.items()}, path)
    entry = {
        "model": net.model,
        "form": net.norm,
        "arguments": net.arguments,
        "source": net.source,
        "licence": net.licence,
        "file": path.name,
        "sha256": _sha256(path.read_bytes()),
    }
    if net.skeleton is not None:
        entry["skeleton"] = net.skeleton.to_dict()
    if net.tflite is not None:
        (directory / f"{kind}.tflite").write_bytes(net.tflite)
        entry |= {"tflite": f"{kind}.tflite", "tflite_sha256": _sha256(net.tflite)}
    return entry


def read_description(directory: Path) -> dict[str, dict[str, Any]]:
    """The networks that model.json describes, by kind.

    Raises:
      BlazePoseError: no weights directory, or a damaged description.
    """
    path = Path(directory) / "model.json"
    if not path.is_file():
        raise BlazePoseError(
            f"{directory} is no weights directory (it has no model.json): make one with "
            "blazepose import"
        )
    description = read_json(path, MAX_DESCRIPTION)
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        found = (
            description.get("format")
            if isinstance(description, dict)
            else type(description).__name__
        )
        raise BlazePoseError(
            f"{path} has the format {repr(found)[:40]}, this version reads {FORMAT!r}: import or "
            "train the weights again"
        )
    networks = description.get("networks")
    if not isinstance(networks, dict) or not networks:
        raise BlazePoseError(
            f"{path} is damaged (it describes no networks): import the weights again"
        )
    for kind, entry in networks.items():
        _check_entry(kind, entry, path)
    return networks


def _check_entry(kind: str, entry: Any, path: Path) -> None:
    """Check the description of one network.

    Raises:
      BlazePoseError: a field is missing or mistyped, names a file elsewhere, or describes no known
        network.
    """
    if not isinstance(entry, dict):
        raise BlazePoseError(
            f"{path} is damaged (the {kind} is {type(entry).__name__}): import the weights again"
        )
    texts = {
        "model": True,
        "form": True,
        "file": False,
        "sha256": False,
        "tflite": False,
        "tflite_sha256": False,
        "source": False,
        "licence": False,
    }
    for field, needed in texts.items():
        if not isinstance(entry.get(field, None if needed else ""), str):
            raise BlazePoseError(
                f"{path} is damaged ({field!r} of the {kind} is {entry.get(field)!r:.40}, not"
                " text): import the weights again"
            )
    if (
        kind not in KINDS
        or spec_of(entry["model"]).kind != kind
        or entry["form"] not in ("batch", "folded")
    ):
        raise BlazePoseError(
            f"{path} describes the {kind} {entry['model']!r} in form {entry['form']!r}: "
            "this version knows no such network"
        )
    for field in ("file", "tflite"):
        name = entry.get(field, "x")
        if (
            not name
            or Path(name).name != name
            or "\\" in name
            or not name.isprintable()
            or len(name) > MAX_NAME
        ):
            raise BlazePoseError(
                f"{path} names the {field} {name!r}: it must be a file in the same folder"
            )
    arguments = entry.get("arguments", {})
    if not isinstance(arguments, dict):
        raise BlazePoseError(
            f"{path} is damaged (the {kind}'s arguments are {type(arguments).__name__}): import the"
            " weights again"
        )
    check_arguments(entry["model"], kind, arguments)
    if "skeleton" in entry:
        skeleton = Skeleton.from_dict(entry["skeleton"])
        rows, predicted = (
            len(skeleton.keypoints) + len(skeleton.auxiliary),
            arguments.get("keypoints", RELEASED_ROWS),
        )
        if predicted != rows:
            raise BlazePoseError(
                f"{path} is damaged (the skeleton has {rows} rows, the net {predicted}): import the"
                " weights again"
            )


def read_network(directory: Path, kind: str, entry: dict[str, Any]) -> StoredNetwork:
    """Read one network that ``read_description`` names, and check every tensor against its
    architecture.

    Raises:
      BlazePoseError: a damaged file, one whose checksum differs, or unknown, missing, misshapen,
        mistyped, repeated, NaN or infinite tensors, by name.
    """
    path = Path(directory) / entry.get("file", f"{kind}.safetensors")
    arguments = {
        k: tuple(v) if isinstance(v, list) else v for k, v in entry.get("arguments", {}).items()
    }
    data = _read(path)
    try:
        tensors = parse_tensors(data)
    except ValueError as error:
        raise BlazePoseError(
            f"{path} cannot be read ({error}): import the weights again"
        ) from error
    # By name first: that says more than a checksum.
    check_tensors(tensors, expected_shapes(entry["model"], entry["form"], arguments), str(path))
    _check_sum(data, entry.get("sha256"), path)
    tflite = None
    if "tflite" in entry and (place := Path(directory) / entry["tflite"]).is_file():
        tflite = _check_sum(_read(place), entry.get("tflite_sha256"), place)
    return StoredNetwork(
        entry["model"],
        entry["form"],
        traverse_util.unflatten_dict(tensors, sep="/"),
        arguments,
        entry.get("source", ""),
        entry.get("licence", ""),
        Skeleton.from_dict(entry["skeleton"]) if "skeleton" in entry else None,
        tflite,
    )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BlazePoseError(
                f"{path} has {path.stat().st_size} bytes: at most {MAX_BYTES} are read"
            )
        return path.read_bytes()
    except OSError as error:
        raise BlazePoseError(
            f"{path} cannot be read ({error}): import the weights again"
        ) from error


def _check_sum(data: bytes, checksum: str | None, path: Path) -> bytes:
    """The bytes, if they are those whose sha256 was written down; older directories have none."""
    if checksum and _sha256(data) != checksum:
        raise BlazePoseError(
            f"{path} is damaged (its sha256 is not that of model.json): import or copy the weights "
            "again"
        )
    return data


def expected_shapes(model: str, norm: str, arguments: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """{tensor name: shape} of a network's variables; nothing is computed."""
    module = create_model(model, LayerConfig(norm=norm, convolution="xla"), **arguments)
    side = arguments.get("side", spec_of(model).side)
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), images)
    shapes: dict[str, Any] = traverse_util.flatten_dict(variables, sep="/")
    return {name: leaf.shape for name, leaf in shapes.items()}


def check_tensors(
    tensors: dict[str, np.ndarray], expected: dict[str, tuple[int, ...]], what: str
) -> None:
    """Compare names, shapes and types, and look for values that are no numbers.

    Raises:
      BlazePoseError: the first unknown, missing, misshapen or mistyped tensor, or one with NaN or
        infinite values.
    """
    missing, unknown = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    for verb, names in (("lacks the", missing), ("has the unknown", unknown)):
        if names:
            raise BlazePoseError(
                f"{what} {verb} tensor {min(names)!r} ({len(names)} such): these are weights of "
                "another network"
            )
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise BlazePoseError(
                f"{what} has {name!r} with shape {tensors[name].shape}, the network needs {shape}: "
                "these are weights of another network"
            )
        if tensors[name].dtype not in (np.float32, np.float16):
            raise BlazePoseError(
                f"{what} has {name!r} of type {tensors[name].dtype}: weights are float32 or float16"
            )
        if not np.isfinite(tensors[name]).all():
            raise BlazePoseError(
                f"{what} has NaN or infinite values in {name!r}: import or train the weights again"
            )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
