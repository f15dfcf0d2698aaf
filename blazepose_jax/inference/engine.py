"""Engines: networks bound to the pipeline, by JAX or by LiteRT."""

from functools import partial
from pathlib import Path
from typing import Protocol

from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.inference.jax_engine import JaxEngine
from blazepose_jax.inference.requirements import required
from blazepose_jax.inference.settings import Settings
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import (
    ROI,
    Array,
    Candidates,
    Detections,
    Frame,
    Network,
    Poses,
    TrackState,
)
from blazepose_jax.weights import Weights, find_weights, load_weights, read_tflite_files
from blazepose_jax.weights.own import ExperimentFile


class Engine(Protocol):
    """The pipeline with its networks and settings.

    Attributes:
      skeleton: what the keypoints mean.
      model: the networks' names.
    """

    skeleton: Skeleton
    model: str

    @property
    def detector(self) -> Network:
        """The detector; an error where the weights hold none."""
        ...

    @property
    def decode(self) -> str:
        """How tensors become points: what the settings' ``decode`` means for the pose net."""
        ...

    def step(
        self,
        state: TrackState,
        frame: Frame | Array,
        elapsed: Array | float,
        first: ROI | None = None,
    ) -> tuple[TrackState, Poses]:
        """One frame, as ``inference.track``."""
        ...

    def detect(self, frame: Frame | Array) -> Detections:
        """People by their faces, as ``inference.detect``."""
        ...

    def find(self, frame: Frame | Array) -> Candidates:
        """Where people may be, as ``inference.find_people``."""
        ...

    def estimate(self, frame: Frame | Array, roi: ROI) -> Poses:
        """Poses in (N,) ROIs, as ``inference.estimate``."""
        ...


def load_engine(
    weights: Weights | str | Path,
    detector: Weights | str | Path | None,
    settings: Settings,
    runtime: str = "jax",
    threads: int | None = None,
    *,
    experiment: ExperimentFile | str | Path | None = None,
    download: bool = False,
) -> Engine:
    """Load networks.

    Args:
      weights: a name like ``full``, a weights directory, a .task, or what ``load_weights`` gave.
      detector: another of these to take the detector from.
      settings: static.
      runtime: one of ``RUNTIMES``.
      threads: of LiteRT; None for as many as there are cores.
      experiment: the file that brings networks which are none of the zoo, as for ``load_weights``.
      download: fetch what is named and not on this machine, once.

    Returns:
      An engine.

    Raises:
      BlazePoseError: bad weights, no pose net, an unknown runtime, fewer than one thread.
    """
    if threads is not None and threads < 1:
        raise BlazePoseError(f"threads is {threads}: it must be at least 1, or None for all cores")
    check_name(runtime, RUNTIMES, "runtime")
    if not isinstance(weights, Weights):
        weights = find_weights(weights, download=download)
    if isinstance(detector, str | Path):
        detector = find_weights(detector, download=download)
    return RUNTIMES[runtime](weights, detector, settings, threads, experiment)


def _load_jax(
    weights: Weights | str | Path,
    detector: Weights | str | Path | None,
    settings: Settings,
    threads: int | None,
    experiment: ExperimentFile | str | Path | None,
) -> Engine:
    """XLA's own threads; ``threads`` does not matter."""
    if settings.precision != "float32":
        raise BlazePoseError(
            f"precision {settings.precision} is of the runtime litert: choose that, or float32"
        )
    if not isinstance(weights, Weights) and isinstance(detector, str | Path | None):
        loaded = load_weights(weights, detector, experiment=experiment)
        return JaxEngine(loaded.detector, loaded.pose, settings, loaded.name)
    if not isinstance(weights, Weights):
        weights = load_weights(weights, experiment=experiment)
    if isinstance(detector, str | Path):
        detector = load_weights(detector, experiment=experiment)
    own = weights.detector if detector is None else required(detector.detector, "detector")
    return JaxEngine(own, weights.pose, settings, weights.name)


def _load_litert(
    weights: Weights | str | Path,
    detector: Weights | str | Path | None,
    settings: Settings,
    threads: int | None,
    experiment: ExperimentFile | str | Path | None,
) -> Engine:
    """The weights' .tflite files; networks without one of the precision are converted in memory."""
    # Here, as ``import blazepose_jax`` loads no export.
    from blazepose_jax.export.convert import to_native_tflite
    from blazepose_jax.inference.litert import litert_networks
    from blazepose_jax.inference.litert_engine import LiteRTEngine

    if isinstance(weights, Weights) or isinstance(detector, Weights):
        raise BlazePoseError("the litert runtime reads .tflite files: give the path of the weights")
    convert = partial(to_native_tflite, precision=settings.precision)
    anew = () if settings.precision == "float32" else ("pose",)
    files = read_tflite_files(weights, detector, convert, anew=anew, experiment=experiment)
    unasked = [name for name in ("mask", "world") if not getattr(settings, name)]
    nets = litert_networks(files, threads, unasked)
    model = f"{Path(weights).name} (litert)"
    return LiteRTEngine(nets.get("detector"), nets.get("pose"), settings, model)


# What runs the networks: JAX, compiled by XLA; or LiteRT, from .tflite files.
RUNTIMES = {"jax": _load_jax, "litert": _load_litert}
