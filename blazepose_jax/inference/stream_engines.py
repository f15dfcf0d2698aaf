"""Engines of many streams: one program of JAX, or LiteRT with a thread for each stream."""

import os
import queue
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from blazepose_jax.inference.batch import forget, initial_states, searches, track_batch
from blazepose_jax.inference.engine import Engine, load_engine
from blazepose_jax.inference.jax_engine import JaxEngine
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.state import initial_state
from blazepose_jax.io.frames import as_rgb, capacity, pixel_buffer, to_frame
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import Frame, Poses
from blazepose_jax.weights.own import ExperimentFile

# {slot: (image as for ``as_rgb``, seconds since its previous frame)}
Frames = Mapping[int, tuple[np.ndarray, float]]


class StreamEngine(Protocol):
    """The pipeline with its networks, settings and the states of several streams.

    Attributes:
      skeleton: what the keypoints mean.
      model: the networks' names.
      slots: S, streams at a time.
    """

    skeleton: Skeleton
    model: str
    slots: int

    def reset(self, slot: int) -> None:
        """Let a slot forget everybody."""
        ...

    def step(self, frames: Frames) -> dict[int, Poses]:
        """The next frame of some slots: {slot: poses}."""
        ...


class JaxStreams:
    """All streams in one program; see ``inference.track_batch``."""

    def __init__(self, engine: JaxEngine, settings: Settings, slots: int):
        """Start with empty memories.

        Args:
          engine: gives the networks.
          settings: static.
          slots: S.
        """
        self.skeleton, self.model, self.slots = engine.skeleton, engine.model, slots
        self._detector, self._pose, self._settings = engine.detector, engine.pose, settings
        self._state = initial_states(engine.skeleton, slots, settings.max_people)
        self._fresh = initial_state(engine.skeleton, settings.max_people)
        self._active = np.zeros((slots, settings.max_people), bool)
        self._buffers: dict[int, np.ndarray] = {}
        self._batched = jax.default_backend() != "cpu"

    def reset(self, slot: int) -> None:
        """Let a slot forget everybody."""
        self._state = forget(self._state, slot, self._fresh)
        self._active[slot] = False

    def step(self, frames: Frames) -> dict[int, Poses]:
        """One call of ``track_batch``."""
        if not frames:
            return {}
        images = {slot: as_rgb(image) for slot, (image, _) in frames.items()}
        needed = capacity(max(image.shape[0] * image.shape[1] for image in images.values()))
        # Compiled for each capacity, as a single stream is.
        if needed not in self._buffers:
            self._buffers[needed] = pixel_buffer(self.slots, needed)
        pixels = self._buffers[needed]
        sizes, elapsed = np.ones((self.slots, 2), np.int32), np.zeros(self.slots, np.float32)
        ready = np.zeros(self.slots, bool)
        for slot, image in images.items():
            height, width, _ = image.shape
            pixels[slot, : height * width] = image.reshape(-1, 3)
            sizes[slot], elapsed[slot], ready[slot] = (width, height), frames[slot][1], True
        wanted = ready & ~self._active.all(1)
        self._state, poses = track_batch(
            self._detector,
            self._pose,
            self._state,
            Frame(pixels, sizes),
            elapsed,
            ready,
            wanted,
            searched=searches(wanted, batched=self._batched),
            settings=self._settings,
            batched=self._batched,
        )
        # Not before the step is done may the buffer be written again.
        active, poses = jax.device_get((self._state.active, poses))
        self._active = np.array(active)
        return {slot: jax.tree.map(lambda a, i=slot: a[i], poses) for slot in frames}


class LiteRTStreams:
    """A thread and an interpreter for each core; each takes the next stream that has a frame."""

    def __init__(self, engines: list[Engine], settings: Settings, slots: int):
        """Start with empty memories.

        Args:
          engines: of one thread each.
          settings: static.
          slots: S.
        """
        self.skeleton, self.model, self.slots = engines[0].skeleton, engines[0].model, slots
        self._people = settings.max_people
        self._states = {slot: initial_state(self.skeleton, self._people) for slot in range(slots)}
        self._free: queue.Queue[Engine] = queue.Queue()
        for engine in engines:
            self._free.put(engine)
        self._pool = ThreadPoolExecutor(len(engines), "stream")

    def reset(self, slot: int) -> None:
        """Let a slot forget everybody."""
        self._states[slot] = initial_state(self.skeleton, self._people)

    def step(self, frames: Frames) -> dict[int, Poses]:
        """Each frame by whoever is free."""

        def one(slot: int) -> Poses:
            image, elapsed = frames[slot]
            engine = self._free.get()
            try:
                self._states[slot], poses = engine.step(
                    self._states[slot], to_frame(image), elapsed
                )
                return jax.device_get(poses)
            finally:
                self._free.put(engine)

        return dict(zip(frames, self._pool.map(one, frames), strict=True))


def load_stream_engine(
    weights: str | Path,
    detector: str | Path | None,
    settings: Settings,
    runtime: str,
    slots: int,
    *,
    experiment: ExperimentFile | str | Path | None = None,
    download: bool = False,
) -> StreamEngine:
    """Load networks for several streams; the arguments are those of ``load_engine``.

    Raises:
      BlazePoseError: bad weights, a missing network, an unknown runtime.
    """

    def load() -> Any:
        return load_engine(
            weights,
            detector,
            settings,
            runtime,
            threads=1,
            experiment=experiment,
            download=download,
        )

    engine = load()
    _ = engine.detector  # an error where there is none
    if isinstance(engine, JaxEngine):
        return JaxStreams(engine, settings, slots)
    from blazepose_jax.inference.litert_engine import LiteRTEngine

    assert isinstance(engine, LiteRTEngine)
    count = min(slots, os.cpu_count() or 1)
    others = [engine.with_networks_of(load()) for _ in range(count - 1)]
    return LiteRTStreams([engine, *others], settings, slots)
