"""Results: poses as JSON and CSV files, written frame by frame."""

import contextlib
import csv
import json
from pathlib import Path
from typing import IO

import numpy as np

from blazepose_jax.io.files import Output
from blazepose_jax.io.json_files import Json
from blazepose_jax.io.media import Picture
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import NO_PARTS, Array, Part, Parts, Poses

DECIMALS = 4  # of px, metres and probabilities
TIME_DECIMALS = 6  # of seconds
COLUMNS = (
    "index",
    "time",
    "file",
    "id",
    "person_presence",
    "keypoint",
    "x",
    "y",
    "z",
    "visibility",
    "presence",
)
WORLD_COLUMNS = ("world_x", "world_y", "world_z")
# After all others, so that those keep their positions.
QUALITY_COLUMNS = ("person_quality", "confidence")


def people(poses: Poses, parts: Parts = NO_PARTS) -> list[dict[str, Json]]:
    """Convert the people of one frame to plain data.

    Args:
      poses: of the frame.
      parts: hands and faces of slots, if anybody looked for them.

    Returns:
      By growing id: ``id``, ``presence``, ``quality``, ``keypoints`` (rows of x, y, z in px,
      visibility, presence), ``confidence`` (a number a keypoint) and, where the net gives it,
      ``world`` (rows of x, y, z in metres), and each of ``parts`` by its name.
    """
    found = []
    for slot in np.flatnonzero(poses.present):
        rows = np.concatenate(
            [
                poses.keypoints[slot],
                poses.visibility[slot, :, None],
                poses.point_presence[slot, :, None],
            ],
            -1,
        )
        person = {
            "id": int(poses.ids[slot]),
            "presence": _rounded(poses.presence[slot]),
            "quality": _rounded(poses.quality[slot]),
            "keypoints": _rounded(rows),
            "confidence": _rounded(poses.confidence[slot]),
        }
        if poses.world is not None:
            person["world"] = _rounded(poses.world[slot])
        person |= {name: plain_part(part) for name, part in parts.get(int(slot), {}).items()}
        found.append(person)
    return sorted(found, key=lambda person: person["id"])


def plain_part(part: Part) -> dict[str, Json]:
    """A hand or face as plain data.

    Returns:
      ``center`` and ``side`` in px and ``angle`` in radians of the square where it is expected; and
      where a model has looked its ``presence`` and ``keypoints``, rows of x, y, z in px.
    """
    found: dict[str, Json] = {
        "center": _rounded(part.roi.center),
        "side": _rounded(part.roi.side),
        "angle": _rounded(part.roi.angle),
    }
    if part.keypoints is not None and part.presence is not None:
        found |= {
            "presence": _rounded(np.asarray(part.presence)),
            "keypoints": _rounded(part.keypoints),
        }
    return found


def _rounded(values: Array) -> Json:
    """Numbers in lists as deep as the array."""
    if np.ndim(values) == 0:
        return round(float(values), DECIMALS)
    return [_rounded(row) for row in np.asarray(values)]


def _abandon(file: IO[str], out: Output) -> None:
    with contextlib.suppress(OSError):  # a full disk, which is why this is called
        file.close()
    out.discard()


class JsonWriter:
    """A JSON file, ``{"source": ..., "frames": [...]}``; frames are written as they come."""

    def __init__(self, path: str | Path, source: str, fps: float, model: str, skeleton: Skeleton):
        """Open a file; the header follows with the first frame, which has the size.

        Args:
          path: of the file.
          source: name of what is tracked.
          fps: frames per second; 0 where time means nothing.
          model: name of the network.
          skeleton: names and bones.
        """
        self.path, self._out = Path(path), Output(path)
        self._file: IO[str] = self._out.open()
        self._head: dict[str, Json] = {
            "source": source,
            "width": 0,
            "height": 0,
            "fps": fps,
            "model": model,
            "keypoint_names": list(skeleton.keypoints),
            "bones": [list(b) for b in skeleton.bone_indices],
        }
        self._frames = 0

    def write(self, picture: Picture, poses: Poses, parts: Parts = NO_PARTS) -> None:
        """Append one frame."""
        if self._frames == 0:
            self._head["height"], self._head["width"] = picture.image.shape[:2]
            self._begin()
        frame: dict[str, Json] = {
            "index": picture.index,
            "time": round(picture.time, TIME_DECIMALS),
        }
        if picture.file is not None:
            frame["file"] = picture.file
        frame["people"] = people(poses, parts)
        self._file.write((",\n" if self._frames else "\n") + json.dumps(frame))
        self._frames += 1

    def _begin(self) -> None:
        self._file.write(json.dumps(self._head)[:-1] + ', "frames": [')

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._frames == 0:
            self._begin()
        self._file.write("\n]}\n")
        self._file.close()
        self._out.finish()

    def discard(self) -> None:
        """Leave nothing behind."""
        _abandon(self._file, self._out)


class CsvWriter:
    """A CSV file of one row per frame, person and keypoint.

    Points of hands and faces follow the person's own, as ``left_hand_0`` and so on; their presence
    is that of the whole part.
    """

    def __init__(self, path: str | Path, skeleton: Skeleton, world: bool):
        """Open a file and write its header.

        Args:
          path: of the file.
          skeleton: names.
          world: write the columns of world points.
        """
        self.path, self._out = Path(path), Output(path)
        self._names, self._world = skeleton.keypoints, world
        self._file: IO[str] = self._out.open()
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow([*COLUMNS, *(WORLD_COLUMNS if world else ()), *QUALITY_COLUMNS])

    def write(self, picture: Picture, poses: Poses, parts: Parts = NO_PARTS) -> None:
        """Append one frame."""
        for person in people(poses, parts):
            world = person.get("world", [["", "", ""]] * len(self._names))
            for name, point, metres, confidence in zip(
                self._names, person["keypoints"], world, person["confidence"], strict=True
            ):
                self._row(picture, person, name, point, metres, confidence)
            for part, found in person.items():
                if isinstance(found, dict) and "keypoints" in found:
                    for i, point in enumerate(found["keypoints"]):
                        row = [*point, "", found["presence"]]
                        self._row(picture, person, f"{part}_{i}", row, [""] * 3, "")

    def _row(
        self,
        picture: Picture,
        person: dict[str, Json],
        name: str,
        point: list[Json],
        metres: list[Json],
        confidence: Json,
    ) -> None:
        self._rows.writerow(
            [
                picture.index,
                round(picture.time, TIME_DECIMALS),
                picture.file or "",
                person["id"],
                person["presence"],
                name,
                *point,
                *(metres if self._world else []),
                person["quality"],
                confidence,
            ]
        )

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._file.close()
        self._out.finish()

    def discard(self) -> None:
        """Leave nothing behind."""
        _abandon(self._file, self._out)
