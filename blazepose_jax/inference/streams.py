"""Many streams at once."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.stream_engines import StreamEngine, load_stream_engine
from blazepose_jax.io.frames import as_rgb
from blazepose_jax.io.media import Media, Picture, read_media
from blazepose_jax.io.prefetch import Prefetch
from blazepose_jax.structs import Poses
from blazepose_jax.weights.own import ExperimentFile

SLOTS = 16
# Seconds that a step waits for streams which have no frame yet: all that a slow one costs others.
PATIENCE = 0.02
POLL = 0.001
_END = object()  # of a source, which may give None

Source = str | Path | Media | Iterable[Picture] | Callable[[], Media]


@dataclasses.dataclass(frozen=True)
class Tracked:
    """One frame of one stream.

    Attributes:
      stream: the source's position.
      picture: the frame.
      poses: of its people, numpy leaves, as a ``Tracker`` gives them.
    """

    stream: int
    picture: Picture
    poses: Poses


@dataclasses.dataclass(frozen=True)
class Ended:
    """The end of one stream.

    Attributes:
      stream: the source's position.
      error: why it ended before its time; None at its end.
    """

    stream: int
    error: BlazePoseError | OSError | None = None


def track_streams(
    sources: Iterable[Source],
    weights: str | Path,
    detector: str | Path | None = None,
    *,
    settings: Settings = Settings(),
    runtime: str = "jax",
    slots: int = SLOTS,
    experiment: ExperimentFile | str | Path | None = None,
    download: bool = False,
) -> Iterator[Tracked | Ended]:
    """Track people in many videos at once.

    Every step takes a frame of each stream that has one. With JAX it is one program
    (``inference.batch.track_batch``), which on an accelerator calls each network once and on a CPU
    once a stream; with LiteRT as many streams at a time as there are
    cores, with a thread each. A stream that ends or breaks makes room for the next source, without
    compiling anew; a slow one is left behind.

    Args:
      sources: names of videos as for ``read_media``, what it returned, functions that call it, or
        iterables of Pictures, whose times are as for ``Tracker``. Any number; each is opened when a
        slot is free.
      weights: as for ``Tracker``.
      detector: as for ``Tracker``.
      settings: as for ``Tracker``; the same for all.
      runtime: ``jax`` or ``litert``.
      slots: S, streams at a time, at most; fewer where there are fewer sources.
      experiment: as for ``Tracker``.
      download: as for ``Tracker``.

    Yields:
      ``Tracked`` for each frame, in the order of each stream; and ``Ended`` after its last one.

    Raises:
      BlazePoseError: bad weights; no slot; one source in place of several. A source that cannot be
        read, that raises whatever, or that gives what is no Picture of an image, raises nothing:
        its ``Ended`` holds the error.
    """
    if isinstance(sources, str | Path | Media) or not isinstance(sources, Iterable):
        raise BlazePoseError(f"sources is {sources!r:.80}: give a list of sources, also of one")
    check_slots(slots)
    waiting = iter(sources)
    first = list(islice(waiting, slots))
    engine = load_stream_engine(
        weights,
        detector,
        settings,
        runtime,
        max(len(first), 1),
        experiment=experiment,
        download=download,
    )
    return run_streams(engine, chain(first, waiting))


def check_slots(slots: int) -> None:
    """Check a number of streams.

    Raises:
      BlazePoseError: there is none.
    """
    if slots < 1:
        raise BlazePoseError(f"slots is {slots}: it is a number of streams, 1 or more")


@contextlib.contextmanager
def _of_a_source() -> Iterator[None]:
    """Name what goes wrong in a source, which is anybody's, as an error that ends its stream.

    Raises:
      BlazePoseError, OSError: whatever it is.
    """
    try:
        yield
    except (BlazePoseError, OSError):
        raise
    except Exception as error:
        raise BlazePoseError(
            f"a source fails ({type(error).__name__}: {error}): it must give Pictures"
        ) from error


class _Stream:
    """A source that is being read."""

    def __init__(self, number: int, source: Source):
        """Open it; errors come at once, or with the frames.

        Raises:
          BlazePoseError, OSError: unreadable, or no source.
        """
        self.number, self._time = number, math.nan
        with _of_a_source():
            if isinstance(source, str | Path):
                source = read_media(source)
            elif callable(source):
                source = source()
        if not isinstance(source, Iterable):
            raise BlazePoseError(
                f"a source is {source!r:.80}: give a name, what read_media returned, or Pictures"
            )
        # Pictures that have nothing to do with each other.
        self.are_stills = isinstance(source, Media) and not source.is_sequence
        self._read = Prefetch(source)
        self._pictures = iter(self._read)

    @property
    def is_ready(self) -> bool:
        """Whether it has a frame, its end or an error."""
        return self._read.is_ready

    def next(self) -> tuple[Picture, float] | None:
        """The next frame, and the seconds since the one before; None at the end.

        Raises:
          BlazePoseError, OSError: whatever went wrong in the source.
        """
        with _of_a_source():
            picture = next(self._pictures, _END)
            if picture is _END:
                return None
            if not isinstance(picture, Picture):
                raise BlazePoseError(f"a source gives {picture!r:.80}: it must give Pictures")
            picture = dataclasses.replace(picture, image=as_rgb(picture.image))
            now = math.nan if picture.time is None else float(picture.time)
        elapsed, self._time = now - self._time, now
        return picture, elapsed

    def close(self) -> None:
        """Read no further."""
        self._read.close()


def run_streams(
    engine: StreamEngine,
    sources: Iterable[Source],
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[Tracked | Ended]:
    """``track_streams`` with an engine at hand; it ends where ``interrupted`` says so while no
    stream has a frame, as those of a camera that stalls.
    """
    waiting = enumerate(sources)
    live: dict[int, _Stream] = {}
    try:
        while True:
            yield from _admit(engine, waiting, live)
            if not live:
                return
            frames: dict[int, tuple[Picture, float]] = {}
            if not (ready := _ready(live, interrupted)):
                return
            for slot in ready:
                stream, error = live[slot], None
                try:
                    found = stream.next()
                except (BlazePoseError, OSError) as problem:
                    found, error = None, problem
                if found is None:
                    del live[slot]
                    stream.close()
                    yield Ended(stream.number, error)
                else:
                    frames[slot] = found
                    if stream.are_stills:
                        engine.reset(slot)
            poses = engine.step({slot: (p.image, t) for slot, (p, t) in frames.items()})
            for slot, (picture, _) in frames.items():
                yield Tracked(live[slot].number, picture, poses[slot])
    finally:
        for stream in live.values():
            stream.close()


def _admit(
    engine: StreamEngine, waiting: Iterator[tuple[int, Source]], live: dict[int, _Stream]
) -> Iterator[Ended]:
    """Give free slots to the next sources."""
    for slot in range(engine.slots):
        while slot not in live:
            if (following := next(waiting, None)) is None:
                return
            number, source = following
            try:
                live[slot] = _Stream(number, source)
            except (BlazePoseError, OSError) as error:
                yield Ended(number, error)
            else:
                engine.reset(slot)


def _ready(live: dict[int, _Stream], interrupted: Callable[[], bool]) -> list[int]:
    """Slots whose stream has something; at least one, but after an interrupt."""
    began = time.monotonic()
    while True:
        found = [slot for slot, stream in live.items() if stream.is_ready]
        if len(found) == len(live) or (found and time.monotonic() > began + PATIENCE):
            return found
        if interrupted():
            return []
        time.sleep(POLL)
