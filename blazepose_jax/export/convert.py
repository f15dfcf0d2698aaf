"""Conversion of stored networks to .tflite files that MediaPipe, phones and browsers run."""

import dataclasses
import hashlib
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.errors import check_name
from blazepose_jax.export import flatbuffer, jax2tf_backend, litert_backend
from blazepose_jax.export.graph import Graph, make_graph
from blazepose_jax.export.metadata import describe
from blazepose_jax.export.quantize import KEPT_FLOAT, PRECISIONS, quantize
from blazepose_jax.io.cache import graphs_cache, remembered
from blazepose_jax.weights import StoredNetwork

CONVERTERS = ("litert-converter", "tensorflow", "tensorflow-cpu")
QUANTISERS = ("ai-edge-quantizer", "ai-edge-litert")
# What makes the people whom a network is calibrated on.
PEOPLE = ("rendering/*.py", "geometry/*.py", "data/rendered.py")

_OF_EXPERIMENTS: dict[str, bytes] = {}


@dataclasses.dataclass(frozen=True)
class Backend:
    """A converter.

    Attributes:
      description: what it is made of.
      convert: a graph to a float32 .tflite, whose marks ``flatbuffer`` has yet to replace.
    """

    description: str
    convert: Callable[[Graph], bytes]


# All give the same graph.
BACKENDS = {
    "jax2tf": Backend("TensorFlow's converter", jax2tf_backend.convert),
    "litert": Backend("litert-converter, without TensorFlow", litert_backend.convert),
}


def to_tflite(
    graph: Graph,
    *,
    backend: str = "jax2tf",
    precision: str = "float32",
    crops: np.ndarray | None = None,
) -> bytes:
    """Convert, finish, quantise and describe.

    Args:
      graph: from ``make_graph``.
      backend: one of ``BACKENDS``.
      precision: one of ``quantize.PRECISIONS``.
      crops: (N, S, S, 3) float32 normalised images of people, for int8 weights.

    Returns:
      A .tflite.

    Raises:
      BlazePoseError: an unknown backend or precision, a missing package, versions that cannot work
        together.
    """
    convert = BACKENDS[check_name(backend, BACKENDS, "backend")].convert
    data = flatbuffer.finish(convert(graph), graph)
    batches = None if crops is None else np.repeat(crops[:, None], graph.batch, 1)
    # Of weights that are all 0 int8 makes a scale of 0, and the constant is lost in it.
    kept = "|".join([KEPT_FLOAT, *(f"^{name};?$" for name in graph.constant)])
    data = quantize(data, precision, batches, kept)
    flatbuffer.check_portable(flatbuffer.read(data))
    return describe(data, graph)


def default_backend() -> str:
    """The quicker backend where it is installed."""
    return "litert" if find_spec("litert_converter") else "jax2tf"


def to_native_tflite(net: StoredNetwork, precision: str = "float32") -> bytes:
    """A network as a .tflite with its own rows and regressed points; ``Settings`` decode them.

    That of a network of the zoo is converted once and kept in the cache, that of an experiment file
    once a process.

    Args:
      net: a detector or a pose net.
      precision: of a pose net, one of ``quantize.PRECISIONS``. Where that needs ranges, they are
        those of rendered people.

    Raises:
      BlazePoseError: as for ``to_tflite``, and for ``rendered_crops``.
    """
    backend = default_backend()
    chosen = precision if net.spec.kind == "pose" else "float32"

    def convert() -> bytes:
        # Here, as starting with a file at hand renders nobody.
        from blazepose_jax.export.calibration import rendered_crops

        graph = make_graph(net, mediapipe=False, decode="regression")
        crops = rendered_crops(graph) if PRECISIONS[chosen].needs_crops else None
        return to_tflite(graph, backend=backend, precision=chosen, crops=crops)

    key = fingerprint(net, backend, chosen)
    if net.own is None:
        return remembered(graphs_cache() / f"{key}.tflite", convert)
    # An experiment file may import whatever changes: what it gives is kept while the process runs.
    if key not in _OF_EXPERIMENTS:
        _OF_EXPERIMENTS[key] = convert()
    return _OF_EXPERIMENTS[key]


def fingerprint(net: StoredNetwork, backend: str, precision: str) -> str:
    """All that a conversion depends on: the network, the converter's version and our own code."""
    digest = hashlib.sha256()
    variables = jax.tree_util.tree_leaves_with_path(net.variables)
    for path, leaf in variables:
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    own = None if net.own is None else net.own.sha256
    facts = (own, net.model, net.norm, sorted(net.arguments.items()), net.source, net.licence)
    digest.update(repr((facts, net.skeleton, net.changes, backend, precision)).encode())
    packages, code = CONVERTERS, ("export/*.py", "models/*.py")
    if PRECISIONS[precision].needs_crops:
        packages, code = packages + QUANTISERS, code + PEOPLE
    digest.update(repr((jax.__version__, *map(_version, packages))).encode())
    root = Path(__file__).parents[1]
    for file in sorted(file for pattern in code for file in root.glob(pattern)):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
