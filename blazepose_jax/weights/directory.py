"""Weights directories: safetensors, the imported .tflite files, and ``model.json``."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import OutputFolder
from blazepose_jax.io.tensors import parse_tensors, save_tensors
from blazepose_jax.models import (
    FIELDS,
    ModelSpec,
    check_arguments,
    hashable,
    spec_of,
)
from blazepose_jax.models.batch_norm import fold_batch_norm
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import Variables
from blazepose_jax.weights.description import KINDS, NAME, Entry, write_description
from blazepose_jax.weights.own import ExperimentFile, OwnNetwork, find_own
from blazepose_jax.weights.tensors import check_tensors, expected_shapes

MAX_BYTES = 2**31  # of one file

# Files of a weights directory.
OURS = {NAME, *(f"{kind}.{suffix}" for kind in KINDS for suffix in ("safetensors", "tflite"))}


@dataclasses.dataclass(frozen=True)
class StoredNetwork:
    """One network of a weights directory.

    Attributes:
      model: a key of ``MODELS``, or a name of an experiment file's.
      norm: ``batch`` or ``folded``.
      variables: {"params", and "batch_stats" where norm is batch}.
      arguments: of ``create_model``, plain data.
      source: where it comes from, for people.
      licence: of the weights.
      skeleton: of a pose net.
      tflite: the file it was imported from, for the LiteRT runtime.
      own: the network of an experiment file; None for one of the zoo.
      changes: what was changed of the source's files.
    """

    model: str
    norm: str
    variables: Variables
    arguments: dict[str, Any]
    source: str
    licence: str
    skeleton: Skeleton | None = None
    tflite: bytes | None = None
    own: OwnNetwork | None = None
    changes: str = ""

    @property
    def side(self) -> int:
        """Input px."""
        return self.arguments.get("side", self.spec.side)

    @property
    def fields(self) -> tuple[str, ...]:
        """Of a pose net: what is predicted per keypoint."""
        return tuple(self.arguments.get("fields", FIELDS))

    @property
    def spec(self) -> ModelSpec:
        """What the package knows of the network."""
        return spec_of(self.model) if self.own is None else self.own.spec

    def folded(self) -> "StoredNetwork":
        """With batch normalisation folded into the convolutions.

        A network of an experiment file stays as it is where not all of it is that of
        ``layers.Conv``.
        """
        if self.norm == "folded":
            return self
        variables = fold_batch_norm(self.variables)
        if self.own is not None:
            names = set(traverse_util.flatten_dict(variables, sep="/"))
            if names != expected_shapes(self.spec, "folded", self.arguments).keys():
                return self
        return dataclasses.replace(self, variables=variables, norm="folded")


def save_weights(directory: Path, networks: dict[str, StoredNetwork]) -> None:
    """Write a weights directory: whole or not at all, in the place of an older one in one step.

    Args:
      directory: new, empty, or a weights directory, whose networks are replaced; what else lies in
        it stays.
      networks: by kind, ``detector`` and / or ``pose``.

    Raises:
      BlazePoseError: the path is a file or a folder with something else in it.
    """
    directory = Path(directory)
    if directory.is_file() or (
        directory.is_dir() and any(directory.iterdir()) and not (directory / NAME).is_file()
    ):
        raise BlazePoseError(f"{directory} exists and is no weights directory: name a new one")
    folder = OutputFolder(directory)
    try:
        described = {kind: _write_network(folder.part, kind, net) for kind, net in networks.items()}
        write_description(folder.part, described)
        folder.keep_others(OURS)
        folder.finish(replace=True)
    finally:
        folder.discard()


def _write_network(directory: Path, kind: str, net: StoredNetwork) -> Entry:
    """Write a network's files; its description is left to write."""
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
    if net.changes:
        entry["changes"] = net.changes
    if net.skeleton is not None:
        entry["skeleton"] = net.skeleton.to_dict()
    if net.own is not None:
        entry["experiment"] = {"file": net.own.file, "sha256": net.own.sha256}
    if net.tflite is not None:
        (directory / f"{kind}.tflite").write_bytes(net.tflite)
        entry |= {"tflite": f"{kind}.tflite", "tflite_sha256": _sha256(net.tflite)}
    return entry


def read_network(
    directory: Path,
    kind: str,
    entry: Entry,
    experiment: ExperimentFile | str | Path | None = None,
    *,
    for_tflite: bool = False,
) -> StoredNetwork:
    """Read a network and check every tensor against its architecture.

    Args:
      directory: a weights directory.
      kind: ``detector`` or ``pose``.
      entry: its description, of ``read_description``.
      experiment: the file that brings the network, where it is none of the zoo.
      for_tflite: the caller takes the .tflite where there is one: then nobody needs the tensors,
        and half a second for tracing the architecture is saved.

    Raises:
      BlazePoseError: no such experiment file, as for ``find_own``; a damaged file, one whose
        checksum differs, or unknown, missing, misshapen, mistyped, repeated, NaN or infinite
        tensors, by name.
    """
    path = Path(directory) / entry.get("file", f"{kind}.safetensors")
    arguments = {name: hashable(value) for name, value in entry.get("arguments", {}).items()}
    own = None
    if "experiment" in entry:
        own = _find_own(Path(directory), kind, entry, arguments, experiment)
    data = _read(path)
    try:
        tensors = parse_tensors(data)
    except ValueError as error:
        raise BlazePoseError(
            f"{path} cannot be read ({error}): import the weights again"
        ) from error
    tflite = None
    if "tflite" in entry and (place := Path(directory) / entry["tflite"]).is_file():
        tflite = _check_sum(_read(place), entry.get("tflite_sha256"), place)
    if not (for_tflite and tflite):
        # By name first: that says more than a checksum.
        spec = own.spec if own else spec_of(entry["model"])
        check_tensors(tensors, expected_shapes(spec, entry["form"], arguments), str(path))
    _check_sum(data, entry.get("sha256"), path)
    return StoredNetwork(
        entry["model"],
        entry["form"],
        traverse_util.unflatten_dict(tensors, sep="/"),
        arguments,
        entry.get("source", ""),
        entry.get("licence", ""),
        Skeleton.from_dict(entry["skeleton"]) if "skeleton" in entry else None,
        tflite,
        own,
        entry.get("changes", ""),
    )


def _find_own(
    directory: Path,
    kind: str,
    entry: Entry,
    arguments: dict[str, Any],
    experiment: ExperimentFile | str | Path | None,
) -> OwnNetwork:
    """The network of an experiment file, checked as ``read_description`` checks the zoo's."""
    reference = entry["experiment"]
    own = find_own(entry["model"], reference["file"], reference["sha256"], experiment, directory)
    if own.spec.kind != kind:
        raise BlazePoseError(
            f"{directory} describes the {kind} {entry['model']!r}, which {own.file} says is a"
            f" {own.spec.kind}: give the file that it was trained with"
        )
    check_arguments(own.spec, arguments)
    return own


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
    """Return ``data`` if it has this sha256; older directories have written none down."""
    if checksum and _sha256(data) != checksum:
        raise BlazePoseError(
            f"{path} is damaged (its sha256 is not that of model.json): import or copy the weights "
            "again"
        )
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
