"""Networks loaded by name, from weights directories and .task bundles, for JAX or for LiteRT."""

import dataclasses
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import FIELDS, LayerConfig, create_network
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import DetectorOutputs, Network, PoseOutputs
from blazepose_jax.weights.archive import read_task
from blazepose_jax.weights.description import read_description
from blazepose_jax.weights.directory import StoredNetwork, read_network
from blazepose_jax.weights.find import cached_name, find_weights, shared_detector
from blazepose_jax.weights.mediapipe import decode_of, import_files, input_of
from blazepose_jax.weights.own import ExperimentFile

Item = TypeVar("Item")
# The file that brings networks which are none of the zoo.
Experiment = ExperimentFile | str | Path | None


@dataclasses.dataclass(frozen=True)
class Weights:
    """Networks ready for ``inference.track``; either may be missing.

    Attributes:
      detector: finds people.
      pose: estimates their points; carries its skeleton.
      name: what to call the pair, e.g. ``detector + full``.
    """

    detector: Network[DetectorOutputs] | None
    pose: Network[PoseOutputs] | None
    name: str

    def __repr__(self) -> str:
        """Three lines, without the parameters themselves."""
        found = {"detector": self.detector, "pose": self.pose}
        lines = [f"{kind}: {net.describe() if net else 'none'}" for kind, net in found.items()]
        return "\n  ".join([f"Weights({self.name!r})", *lines])


@dataclasses.dataclass(frozen=True)
class TFLiteFile:
    """A network as LiteRT runs it.

    Attributes:
      data: the .tflite file.
      skeleton: of a pose net.
      fields: of a pose net: what is predicted per keypoint.
      normalisation: mean and std of grey levels; None for those of Google's files.
    """

    data: bytes
    skeleton: Skeleton | None = None
    fields: tuple[str, ...] = FIELDS
    normalisation: tuple[float, float] | None = None

    @property
    def decode(self) -> str:
        """Of a pose net: what x and y of its landmarks are; see ``structs.Network``."""
        return decode_of(self.data)


def load_weights(
    path: str | Path,
    detector: str | Path | None = None,
    *,
    experiment: Experiment = None,
    download: bool = False,
) -> Weights:
    """Load networks for JAX, batch normalisation folded.

    Args:
      path: a name like ``full``, as for ``find_weights``; a weights directory; or a .task.
      detector: another one to take the detector from.
      experiment: the Python file that brings networks which are none of the zoo; it is run where
        the weights refer to it, and unless it is an ``ExperimentFile`` of any version only if it is
        the one that they were trained with.
      download: fetch what is named and not on this machine, once.

    Returns:
      Weights.

    Raises:
      BlazePoseError: missing, damaged, or weights of another network.
    """
    stored = read_stored(path, detector, experiment=experiment, download=download)
    networks = {kind: _bind(net) for kind, net in stored.items()}
    return Weights(
        networks.get("detector"),
        networks.get("pose"),
        " + ".join(stored[k].model for k in sorted(stored)),
    )


def _with_detector(
    path: str | Path,
    detector: str | Path | None,
    read: Callable[[Path], dict[str, Item]],
    download: bool,
) -> dict[str, Item]:
    """Read ``path``, and its detector from ``detector`` where that is given.

    Packaged pose nets share a detector, which is read from its own folder.
    """
    place = find_weights(path, download=download)
    found = read(place)
    if detector is None:
        detector = shared_detector(place)
    if detector is not None:
        other = read(find_weights(detector, download=download))
        if "detector" not in other:
            raise BlazePoseError(
                f"{detector} holds no detector: give a directory or .task that does"
            )
        found = {**found, "detector": other["detector"]}
    return found


def _bind(net: StoredNetwork) -> Network:
    net = net.folded()
    variables = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), net.variables)
    config = LayerConfig(norm=net.norm)
    return create_network(net.spec, variables, config, net.skeleton, **net.arguments)


def read_stored(
    path: str | Path,
    detector: str | Path | None = None,
    *,
    experiment: Experiment = None,
    download: bool = False,
) -> dict[str, StoredNetwork]:
    """Read weights as they are stored.

    Args:
      path: as for ``load_weights``.
      detector: another one to take the detector from.
      experiment: as for ``load_weights``.
      download: as for ``load_weights``.

    Returns:
      {kind: StoredNetwork}.

    Raises:
      BlazePoseError: as for ``load_weights``.
    """
    return _with_detector(path, detector, partial(_read_stored, experiment=experiment), download)


def _read_stored(path: Path, experiment: Experiment) -> dict[str, StoredNetwork]:
    if path.is_dir():
        return _read_directory(path, experiment)
    return import_files({f"{path.name}:{kind}": data for kind, data in read_task(path).items()})


def _read_directory(
    path: Path, experiment: Experiment, *, for_tflite: bool = False
) -> dict[str, StoredNetwork]:
    try:
        return {
            kind: read_network(path, kind, entry, experiment, for_tflite=for_tflite)
            for kind, entry in read_description(path).items()
        }
    except BlazePoseError as error:
        if (name := cached_name(path)) is None:
            raise
        fault = str(error).rpartition(": ")[0]
        raise BlazePoseError(
            f"{fault}: run `blazepose weights remove {name}`, and the next use fetches them again"
        ) from error


def read_tflite_files(
    path: str | Path,
    detector: str | Path | None = None,
    convert: Callable[[StoredNetwork], bytes] | None = None,
    *,
    anew: Collection[str] = (),
    experiment: Experiment = None,
    download: bool = False,
) -> dict[str, TFLiteFile]:
    """The .tflite files of weights, for the LiteRT runtime.

    Args:
      path: as for ``load_weights``.
      detector: another one to take the detector from.
      convert: makes the .tflite of a network that has none, such as a trained one.
      anew: the kinds that are converted though they have one.
      experiment: as for ``load_weights``.
      download: as for ``load_weights``.

    Returns:
      {kind: TFLiteFile}.

    Raises:
      BlazePoseError: missing; without ``convert`` a directory without .tflite files; with ``anew``
        a .task, whose networks are what they are.
    """

    def one(where: Path, kind: str, net: StoredNetwork) -> TFLiteFile:
        data = None if kind in anew else net.tflite
        if data is None:
            if convert is None:
                raise BlazePoseError(f"{where} has no .tflite of its {kind}: use --runtime jax")
            data = convert(net)
        return TFLiteFile(data, net.skeleton, net.fields, (net.spec.mean, net.spec.std))

    def read(where: Path) -> dict[str, TFLiteFile]:
        is_main = where == find_weights(path, download=download)
        if where.is_dir():
            nets = _read_directory(where, experiment, for_tflite=not (anew and is_main))
            # Of other weights nothing but the detector is wanted.
            wanted = [kind for kind in nets if is_main or kind == "detector"]
            return {kind: one(where, kind, nets[kind]) for kind in wanted}
        if anew and is_main:
            raise BlazePoseError(
                f"{where} holds networks of one precision: give the weights that it was made of"
            )
        return {
            kind: TFLiteFile(
                data, BLAZEPOSE if kind == "pose" else None, normalisation=input_of(data)
            )
            for kind, data in read_task(where).items()
        }

    return _with_detector(path, detector, read, download)
