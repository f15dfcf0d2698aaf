"""Networks and an image come in, milliseconds per stage leave."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.convert import to_native_tflite
from blazepose_jax.inference import pipeline
from blazepose_jax.inference.litert import litert_networks
from blazepose_jax.inference.pipeline import Settings
from blazepose_jax.io.frames import to_frame
from blazepose_jax.structs import Network
from blazepose_jax.weights import load_weights, read_tflite_files


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
    """
    loaded = load_weights(weights)
    detector, pose = loaded.detector, loaded.pose
    if detector is None or pose is None:
        raise BlazePoseError(f"{weights} lacks a detector or a pose net: both are timed")
    run = {"jax": _jax_nets, "litert": _litert_nets}[runtime](detector, pose, weights)
    frame = jax.device_put(to_frame(image))
    letterbox = jax.jit(partial(pipeline.detector_input, detector))
    seen = letterbox(frame)
    found = jax.jit(partial(pipeline.read_detections, detector, settings=settings))
    raw = run["detector"](seen)
    state = pipeline.initial_state(pose.skeleton, settings.max_people)
    associate = jax.jit(partial(pipeline.associate, settings=settings))
    state = associate(state, found(raw, frame))
    crop = jax.jit(partial(pipeline.pose_input, pose))
    crops = crop(frame, state.roi)
    outputs = run["pose"](crops)
    follow = jax.jit(partial(pipeline.follow, pose, settings=settings))
    host = (
        {"detector": np.asarray(seen), "pose": np.asarray(crops)}
        if runtime == "litert"
        else {"detector": seen, "pose": crops}
    )
    return {
        "copy the frame": median_ms(lambda: to_frame(image).pixels),
        "letterbox": median_ms(lambda: letterbox(frame)),
        "detector net": median_ms(lambda: run["detector"](host["detector"])),
        "decode, NMS": median_ms(lambda: associate(state, found(raw, frame))),
        "crop": median_ms(lambda: crop(frame, state.roi)),
        "pose net": median_ms(lambda: run["pose"](host["pose"])),
        "decode, smooth": median_ms(lambda: follow(state, outputs, 1 / 30)),
    }


def _jax_nets(
    detector: Network, pose: Network, weights: str | Path
) -> dict[str, Callable[[Any], Any]]:
    def without_mask(images):
        return pose(images).replace(mask=None)

    return {"detector": jax.jit(lambda images: detector(images)), "pose": jax.jit(without_mask)}


def _litert_nets(
    detector: Network, pose: Network, weights: str | Path
) -> dict[str, Callable[[Any], Any]]:
    nets = litert_networks(read_tflite_files(weights, convert=to_native_tflite))
    return {
        "detector": lambda x: nets["detector"](np.asarray(x)),
        "pose": lambda x: nets["pose"](np.asarray(x)).replace(mask=None),
    }
