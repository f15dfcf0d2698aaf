"""Own networks: those that an experiment file brings, found again by name and by the file's hash.

A file is run only where a user names it; nothing is registered, the specs are handed on.
"""

import contextlib
import dataclasses
import functools
import hashlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from blazepose_jax.codecs.anchors import LAYOUTS
from blazepose_jax.errors import BlazePoseError, suggestion
from blazepose_jax.models import MODELS, TEST_MODELS, ModelSpec
from blazepose_jax.weights.description import KINDS


@dataclasses.dataclass(frozen=True)
class ExperimentFile:
    """An experiment file that a user names, and thereby allows to run.

    Attributes:
      path: of the Python file.
      any_version: whether it may differ from the one that the weights were trained with.
    """

    path: Path
    any_version: bool = False


@dataclasses.dataclass(frozen=True)
class OwnNetwork:
    """A network of an experiment file, and which file that was.

    Attributes:
      spec: of the network.
      file: name of the experiment file.
      sha256: of its content.
    """

    spec: ModelSpec
    file: str
    sha256: str


def own_networks(path: Path) -> dict[str, OwnNetwork]:
    """The networks that an experiment file brings as ``MODELS``; running it is what this does.

    Args:
      path: of the file.

    Returns:
      {name: OwnNetwork}, empty for a file without ``MODELS``.

    Raises:
      BlazePoseError: a file that cannot be run, ``MODELS`` that is no dict of ModelSpecs, or a name
        of the zoo.
    """
    return _networks_in(path, _source(path))


def _networks_in(path: Path, source: bytes) -> dict[str, OwnNetwork]:
    specs = getattr(_run_once(path.resolve(), source), "MODELS", {})
    if not isinstance(specs, Mapping) or not all(
        isinstance(name, str) and isinstance(spec, ModelSpec) and spec.kind in KINDS
        for name, spec in specs.items()
    ):
        raise BlazePoseError(
            f"MODELS of {path} must be a dict of names to models.ModelSpec whose kind is 'pose' or"
            " 'detector'"
        )
    if taken := sorted(specs.keys() & (MODELS.keys() | TEST_MODELS.keys())):
        raise BlazePoseError(
            f"MODELS of {path} names a network {taken[0]!r}, which the package has: choose another"
            " name"
        )
    for name, spec in specs.items():
        if spec.kind == "detector" and spec.side not in LAYOUTS:
            raise BlazePoseError(
                f"MODELS of {path} has a detector {name!r} of {spec.side} px, for which there are"
                f" no anchors: known are {', '.join(map(str, sorted(LAYOUTS)))}"
            )
    return {
        name: OwnNetwork(dataclasses.replace(spec, name=name), path.name, _sha256(source))
        for name, spec in specs.items()
    }


def find_own(
    model: str, file: str, sha256: str, experiment: ExperimentFile | str | Path | None, where: Path
) -> OwnNetwork:
    """The network that weights refer to, from the experiment file that the user names.

    Args:
      model: name of the network.
      file: name of the experiment file that the weights were trained with.
      sha256: of its content.
      experiment: the file to run; a path means an unchanged one.
      where: the weights, for messages.

    Raises:
      BlazePoseError: none is named, there is no such file, it is another one, or it does not bring
        the network.
    """
    if experiment is None:
        raise BlazePoseError(
            f"{where} holds {model!r}, a network of the experiment file {file!r}, which is not part"
            f" of it: name that file with --experiment path/to/{file} (in Python experiment=...)"
        )
    if not isinstance(experiment, ExperimentFile):
        experiment = ExperimentFile(Path(experiment))
    path = experiment.path
    source = _source(path)  # read once: what is run is what was checked
    found = _sha256(source)
    if found != sha256 and not experiment.any_version:
        raise BlazePoseError(
            f"{path} is not the file that {where} was trained with (sha256 {found[:12]}..., not"
            f" {sha256[:12]}...): give that one, or add --changed-experiment if {model!r} is"
            " still the same network (in Python ExperimentFile(path, any_version=True))"
        )
    networks = _networks_in(path, source)
    if model not in networks:
        hint = suggestion(model, networks)
        raise BlazePoseError(
            f"{path} brings no network {model!r}, which {where} holds: {hint + ' ' if hint else ''}"
            f"its MODELS are {', '.join(networks) or 'none'}"
        )
    return networks[model]


def _sha256(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BlazePoseError(
            f"experiment file {str(path)!r} cannot be read ({error.strerror}): give the path of a"
            " Python file"
        ) from error


def run_file(path: Path) -> ModuleType:
    """An experiment file as a module; the same content is run once in a process.

    Raises:
      BlazePoseError: it cannot be read, or it fails; the message says in which line.
    """
    return _run_once(path.resolve(), _source(path))


# Classes of two runs differ: networks built of them would be compiled twice.
@functools.cache
def _run_once(path: Path, source: bytes) -> ModuleType:
    name = f"blazepose_experiment_{path.stem}_{_sha256(source)[:12]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    # Dataclasses with annotations as text look their module up here.
    sys.modules[name] = module
    with told_by_line(path):
        # Not by an import: Python takes a file that was changed within a second, to the same
        # length, for the one that it has compiled before.
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    return module


@contextlib.contextmanager
def told_by_line(path: Path) -> Iterator[None]:
    """Turn whatever a user's file raises into one line.

    Raises:
      BlazePoseError: with the line of the file that failed.
    """
    try:
        yield
    except BlazePoseError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)] or [1]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1]
        raise BlazePoseError(
            f"{path} fails in line {line} ({type(error).__name__}: {error}): correct it"
        ) from error
