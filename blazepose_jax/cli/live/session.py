"""A live session: one picture after another, what is said of each, and the recording."""

import io
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from blazepose_jax.analysis.measures import Measuring, angles_in, repetitions_of
from blazepose_jax.analysis.recording import Recording
from blazepose_jax.analysis.repetitions import Repetitions, count_repetitions
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.media import Picture
from blazepose_jax.io.results import JsonWriter, people
from blazepose_jax.structs import Poses

# Seconds between two countings, and how many times as long as one takes: counting grows with the
# session.
RECOUNTED, SHARE = 0.5, 20.0
LONGEST_WAIT = 5.0  # s; a counting that something else has delayed says nothing of the next one
# Seconds without a frame after which people are forgotten: the camera was away.
AWAY = 2.0


def read_frame(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a JPEG or PNG.

    Raises:
      BlazePoseError: anything else.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
            return np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BlazePoseError(f"the frame is no JPEG or PNG ({error}): send one") from error


class Session:
    """What is remembered between pictures; calls from several threads wait for each other.

    Attributes:
      names: K, of the keypoints.
      bones: pairs of rows.
    """

    def __init__(
        self,
        tracker: Tracker,
        count: str | None,
        output: Path,
        how: Measuring = Measuring(),
    ):
        """Begin.

        Args:
          tracker: with an empty memory.
          count: what repetitions are counted of, as for ``repetitions_of``; None of nothing.
          output: folder of the recordings.
          how: which angles are shown and counted.

        Raises:
          BlazePoseError: nothing that can be counted.
        """
        self.names, self.bones = tracker.skeleton.keypoints, tracker.skeleton.bone_indices
        self.count, self._how = count, how
        self._tracker, self._output, self._busy = tracker, output, threading.Lock()
        self._people: list[dict[str, Any]] = []  # of the last frame
        # Of whoever is counted, for each frame: x, y, confidence of the points; NaN for nobody.
        self._times: list[float] = []
        self._rows: list[np.ndarray] = []
        self._size = (1, 1)
        self._next_count, self._last = -np.inf, -np.inf
        self._found: Repetitions | None = None
        self._writer: JsonWriter | None = None
        self._began, self._written = 0.0, 0
        # An unknown angle or point is an error now, and not with the first picture; and what
        # counting imports at its first signal would make the first picture wait.
        self._remember(0.0)
        self._recount()
        angles_in(np.zeros((len(self.names), 2)), self.names, np.ones(len(self.names)), how)
        times = np.arange(9.0)
        count_repetitions(times % 2, times, least=0.5)
        self._forget()

    def frame(self, data: bytes, moment: float) -> dict[str, Any]:
        """Track into a picture.

        Args:
          data: of a JPEG or PNG.
          moment: s, of the page's clock.

        Returns:
          Plain data: ``people`` with ``id``, ``points`` (rows of x and y in px and confidence) and
          ``angles`` in degrees; ``repetitions`` of one person, ``rejected``, ``recorded`` frames or
          None, ``track_ms``.

        Raises:
          BlazePoseError: no image, or a moment that is not after the last one.
        """
        image = read_frame(data)
        with self._busy:
            if not (np.isfinite(moment) and moment > self._last):
                raise BlazePoseError(
                    f"the frame's time is {moment} s, and the last one's {self._last}: times grow"
                )
            if moment - self._last > AWAY:
                self._forget()
            self._last = moment
            began = time.perf_counter()
            poses = self._tracker(image, moment)
            seconds = time.perf_counter() - began
            self._size = (image.shape[1], image.shape[0])
            self._people = people(poses)
            self._remember(moment)
            if self._writer is not None:
                self._record(image, moment, poses)
            if moment >= self._next_count:
                began = time.perf_counter()
                self._recount()
                took = time.perf_counter() - began
                self._next_count = moment + min(max(RECOUNTED, SHARE * took), LONGEST_WAIT)
            return self._answer(seconds)

    def start_recording(self) -> str:
        """Write from the next frame on.

        Returns:
          The file's name.

        Raises:
          BlazePoseError: the file cannot be written.
        """
        with self._busy:
            self._stop()
            stem = name = time.strftime("live_%Y%m%d_%H%M%S")
            number = 1
            while (self._output / f"{name}.json").exists():
                number += 1
                name = f"{stem}_{number}"
            name = f"{name}.json"
            self._writer = JsonWriter(
                self._output / name, "live", 0.0, self._tracker.model, self._tracker.skeleton
            )
            self._written = 0
            return name

    def stop_recording(self) -> int:
        """Finish the file, if there is one.

        Returns:
          Frames in it.
        """
        with self._busy:
            self._stop()
            return self._written

    def reset(self) -> None:
        """Forget people and repetitions."""
        with self._busy:
            self._forget()
            # A page that was loaded anew may have another clock.
            self._last = -np.inf

    def _stop(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            try:
                writer.close()
            except OSError:
                writer.discard()
                raise

    def _record(self, image: np.ndarray, moment: float, poses: Poses) -> None:
        assert self._writer is not None
        if not self._written:
            self._began = moment
        self._writer.write(Picture(self._written, moment - self._began, image), poses)
        self._written += 1

    def _forget(self) -> None:
        """Whoever comes next is somebody new, and has an id that no recording has yet."""
        following = self._tracker.state.next_id
        self._tracker.reset()
        self._tracker.state = self._tracker.state.replace(next_id=following)
        self._people, self._times, self._rows = [], [], []
        self._found, self._next_count = None, -np.inf

    def _remember(self, moment: float) -> None:
        """Keep the points of the person who has been followed longest; one row while nobody is."""
        if not self._people and self._rows and np.isnan(self._rows[-1]).all():
            self._times[-1] = moment
            return
        row = np.full((len(self.names), 3), np.nan, np.float32)
        if self._people:
            person = self._people[0]  # they are sorted by id
            row[:, :2] = np.array(person["keypoints"])[:, :2]
            row[:, 2] = person["confidence"]
        self._times.append(moment)
        self._rows.append(row)

    def _recount(self) -> None:
        if self.count is None:
            return
        rows = np.stack(self._rows)
        points, sure = rows[..., :2], rows[..., 2]
        recording = Recording(
            "live",
            self.names,
            self.bones,
            self._size,
            np.array(self._times),
            points,
            np.full_like(sure, np.nan),
            sure,
            sure,
            None,
            {},
        )
        self._found = repetitions_of(recording, self.count, self._how)[1]

    def _answer(self, seconds: float) -> dict[str, Any]:
        found = self._people
        counted = () if self._found is None else self._found.counted
        rejected = () if self._found is None else self._found.rejected
        return {
            "people": [self._person(person) for person in found],
            "repetitions": len(counted),
            "rejected": len([one for one in rejected if one.reason != "unfinished"]),
            "recorded": None if self._writer is None else self._written,
            "track_ms": round(1000 * seconds, 1),
        }

    def _person(self, person: dict[str, Any]) -> dict[str, Any]:
        points, sure = np.array(person["keypoints"]), np.array(person["confidence"])
        angles = angles_in(points[:, :2], self.names, sure, self._how)
        rows = np.concatenate([points[:, :2], sure[:, None]], -1).round(2)
        return {
            "id": person["id"],
            "points": rows.tolist(),
            "angles": {name: round(float(v)) for name, v in angles.items() if np.isfinite(v)},
        }
