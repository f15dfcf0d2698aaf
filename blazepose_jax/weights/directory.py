"""A weights directory: networks come in and are written, or are read and leave checked."""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import Form, create_model, spec_of
from blazepose_jax.skeleton import Skeleton

FORMAT = "blazepose_jax weights 1"
KINDS = ("detector", "pose")


@dataclasses.dataclass(frozen=True)
class StoredNetwork:
    """One network of a weights directory.

    Attributes:
      model: a key of ``MODELS``.
      form: ``batch`` or ``folded``.
      variables: {"params", and "batch_stats" in form batch}.
      arguments: of ``create_model``, plain data.
      source: where it comes from, for people.
      licence: of the weights.
      skeleton: of a pose net.
      tflite: the file it was imported from, for the LiteRT runtime.
    """

    model: str
    form: str
    variables: dict[str, Any]
    arguments: dict[str, Any]
    source: str
    licence: str
    skeleton: Skeleton | None = None
    tflite: bytes | None = None


def save_weights(directory: Path, networks: dict[str, StoredNetwork]) -> None:
    """Write a weights directory: to a temporary name, then renamed.

    Args:
      directory: new, empty, or a weights directory, which is replaced.
      networks: by kind, ``detector`` and / or ``pose``.

    Raises:
      BlazePoseError: the path is a file or a folder with something else in it.
    """
    directory = Path(directory)
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())
                               and not (directory / "model.json").is_file()):
        raise BlazePoseError(f"{directory} exists and is no weights directory: name a new one")
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        described = {kind: _write_network(temporary, kind, net) for kind, net in networks.items()}
        text = json.dumps({"format": FORMAT, "networks": described}, indent=2)
        (temporary / "model.json").write_text(text + "\n", encoding="utf-8")
        temporary.chmod(0o755)
        if directory.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{directory.name}.old.", dir=directory.parent))
            directory.rename(old / "old")
            temporary.rename(directory)
            shutil.rmtree(old)
        else:
            temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_network(directory: Path, kind: str, net: StoredNetwork) -> dict[str, Any]:
    tensors = traverse_util.flatten_dict(net.variables, sep="/")
    path = directory / f"{kind}.safetensors"
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)
    path.chmod(0o644)
    entry = {"model": net.model, "form": net.form, "arguments": net.arguments, "source": net.source,
             "licence": net.licence, "file": path.name, "sha256": _sha256(path.read_bytes())}
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
        raise BlazePoseError(f"{directory} is no weights directory (it has no model.json): make one with "
                             "blazepose import")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description.get("format") != FORMAT:
            raise BlazePoseError(f"{path} has the format {description.get('format')!r}, this version reads "
                                 f"{FORMAT!r}: import or train the weights again")
        networks = description["networks"]
        for kind, entry in networks.items():
            if kind not in KINDS or spec_of(entry["model"]).kind != kind or entry["form"] not in ("batch", "folded"):
                raise BlazePoseError(f"{path} describes the {kind} {entry['model']!r} in form {entry['form']!r}: "
                                     "this version knows no such network")
        return networks
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise BlazePoseError(f"{path} is damaged ({type(error).__name__}: {error}): "
                             "import the weights again") from error


def read_network(directory: Path, kind: str, entry: dict[str, Any]) -> StoredNetwork:
    """Read one network that ``read_description`` names, and check every tensor against its architecture.

    Raises:
      BlazePoseError: a damaged file, or unknown, missing or misshapen tensors, by name.
    """
    path = Path(directory) / entry.get("file", f"{kind}.safetensors")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BlazePoseError(f"{path} cannot be read ({error}): import the weights again") from error
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.get("arguments", {}).items()}
    check_tensors(tensors, expected_shapes(entry["model"], entry["form"], arguments), str(path))
    tflite = Path(directory) / entry["tflite"] if "tflite" in entry else None
    return StoredNetwork(
        entry["model"], entry["form"], traverse_util.unflatten_dict(tensors, sep="/"), arguments,
        entry.get("source", ""), entry.get("licence", ""),
        Skeleton.from_dict(entry["skeleton"]) if "skeleton" in entry else None,
        tflite.read_bytes() if tflite is not None and tflite.is_file() else None)


def expected_shapes(model: str, form: str, arguments: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """{tensor name: shape} of a network's variables; nothing is computed."""
    module = create_model(model, Form(norm=form, convolution="xla"), **arguments)
    side = arguments.get("side", spec_of(model).side)
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), images)
    shapes: dict[str, Any] = traverse_util.flatten_dict(variables, sep="/")
    return {name: leaf.shape for name, leaf in shapes.items()}


def check_tensors(tensors: dict[str, np.ndarray], expected: dict[str, tuple[int, ...]], what: str) -> None:
    """Compare names and shapes.

    Raises:
      BlazePoseError: the first unknown, missing or misshapen tensor, and how many there are.
    """
    missing, unknown = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    for verb, names in (("lacks the", missing), ("has the unknown", unknown)):
        if names:
            raise BlazePoseError(f"{what} {verb} tensor {min(names)!r} ({len(names)} such): these are weights of "
                                 "another network")
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise BlazePoseError(f"{what} has {name!r} with shape {tensors[name].shape}, the network needs {shape}: "
                                 "these are weights of another network")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
