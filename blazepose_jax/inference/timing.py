"""Time per stage of the pipeline."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.inference import steps
from blazepose_jax.inference.association import associate, candidates
from blazepose_jax.inference.compiled import Compiled
from blazepose_jax.inference.engine import RUNTIMES
from blazepose_jax.inference.requirements import required_skeleton
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.state import initial_state
from blazepose_jax.io.frames import to_frame
from blazepose_jax.structs import Array, DetectorOutputs, Network, PoseOutputs
from blazepose_jax.weights import load_weights, read_tflite_files

Nets = tuple[Callable[[Array], DetectorOutputs], Callable[[Array], PoseOutputs]]


def median_ms(call: Callable[[], Any], repeats: int = 30) -> float:
    """Median wall time of ``call`` in milliseconds, after two calls that compile and warm up."""
    times = []
    for i in range(repeats + 2):
        began = time.perf_counter()
        jax.block_until_ready(call())
        if i >= 2:
            times.append(1e3 * (time.perf_counter() - began))
    return float(np.median(times))


def stage_times(
    weights: str | Path, image: np.ndarray, runtime: str, *, settings: Settings = Settings()
) -> dict[str, float]:
    """Time every stage of the pipeline alone, on one image with a person.

    Args:
      weights: a weights directory or a .task with both networks.
      image: (H, W, 3) uint8 RGB.
      runtime: ``jax`` or ``litert``; differs in the two networks only.
      settings: as for ``inference.track``.

    Returns:
      {stage: ms}, in the order of the pipeline.

    Raises:
      BlazePoseError: a network is missing, or an unknown runtime.
    """
    check_name(runtime, RUNTIMES, "runtime")
    loaded = load_weights(weights)
    detector, pose = loaded.detector, loaded.pose
    if detector is None or pose is None:
        raise BlazePoseError(f"{weights} lacks a detector or a pose net: both are timed")
    is_litert = runtime == "litert"
    run_detector, run_pose = _litert_nets(weights) if is_litert else _jax_nets(detector, pose)
    frame = jax.device_put(to_frame(image))
    letterbox = jax.jit(partial(steps.detector_input, detector, rounding=settings.rounding))
    seen = letterbox(frame)
    read_detections = jax.jit(partial(steps.read_detections, detector, settings=settings))
    raw = run_detector(seen)
    first, admit = jax.jit(candidates), jax.jit(partial(associate, settings=settings))
    state = initial_state(required_skeleton(pose), settings.max_people)
    state = admit(state, first(read_detections(raw, frame)))
    crop = jax.jit(partial(steps.pose_input, pose, rounding=settings.rounding))
    crops = crop(frame, state.roi)
    outputs = run_pose(crops)
    follow = jax.jit(partial(steps.follow, pose, settings=settings))
    # LiteRT reads the host's memory; copies to it are not its own time.
    seen, crops = (np.asarray(seen), np.asarray(crops)) if is_litert else (seen, crops)
    return {
        "copy the frame": median_ms(lambda: to_frame(image).pixels),
        "letterbox": median_ms(lambda: letterbox(frame)),
        "detector net": median_ms(lambda: run_detector(seen)),
        "decode, NMS": median_ms(lambda: admit(state, first(read_detections(raw, frame)))),
        "crop": median_ms(lambda: crop(frame, state.roi)),
        "pose net": median_ms(lambda: run_pose(crops)),
        "decode, smooth": median_ms(lambda: follow(state, outputs, 1 / 30)),
    }


def _jax_nets(detector: Network, pose: Network) -> Nets:
    def without_mask(images: Array) -> PoseOutputs:
        return pose(images).replace(mask=None)

    return Compiled(lambda images: detector(images)), Compiled(without_mask)


def _litert_nets(weights: str | Path) -> Nets:
    # Here, as JAX's times need no export.
    from blazepose_jax.export.convert import to_native_tflite
    from blazepose_jax.inference.litert import litert_networks

    files = read_tflite_files(weights, convert=to_native_tflite)
    nets = litert_networks(files, without=("mask",))
    return (
        lambda images: nets["detector"](np.asarray(images)),
        lambda images: nets["pose"](np.asarray(images)),
    )
