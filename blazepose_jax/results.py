"""Poses, frame by frame, come in; JSON and CSV files leave, streamed."""

import csv
import json
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import Poses
from blazepose_jax.video import Picture

DECIMALS = 4


class _PartFile:
    """A text file that gets its name when it is complete."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.part = self.path.with_name(f".{self.path.name}.part")
        self.file: TextIO = self.part.open("w", encoding="utf-8", newline="")

    def close(self) -> None:
        self.file.close()
        self.part.replace(self.path)

    def discard(self) -> None:
        self.file.close()
        self.part.unlink(missing_ok=True)


def check_output(path: str | None, source: str = "") -> None:
    """Say before the work starts that a file cannot be written; None is no file.

    Raises:
      BlazePoseError: a folder, in a folder that does not exist, or the input itself.
    """
    if path is None:
        return
    if Path(path).is_dir():
        raise BlazePoseError(f"output {path!r} is a folder: name a file")
    if not Path(path).absolute().parent.is_dir():
        raise BlazePoseError(f"output {path!r} lies in a folder that does not exist: make it first")
    if source and Path(path).exists() and Path(source).exists() and Path(path).samefile(source):
        raise BlazePoseError(f"output {path!r} is the input: name another file")


def write_text(path: Path, text: str) -> None:
    """Write a small file under a temporary name, then rename."""
    out = _PartFile(path)
    out.file.write(text)
    out.close()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def people(poses: Poses) -> list[dict[str, Any]]:
    """The people of one frame as plain data: id, presence, keypoints, and world where there is one."""
    found = []
    for slot in np.flatnonzero(poses.present):
        rows = np.concatenate([poses.keypoints[slot], poses.visibility[slot, :, None],
                               poses.point_presence[slot, :, None]], -1)
        person = {"id": int(poses.ids[slot]), "presence": round(float(poses.presence[slot]), DECIMALS),
                  "keypoints": _rounded(rows)}
        if poses.world is not None:
            person["world"] = _rounded(poses.world[slot])
        found.append(person)
    return sorted(found, key=lambda person: person["id"])


def _rounded(rows: np.ndarray) -> list[list[float]]:
    return [[round(float(v), DECIMALS) for v in row] for row in rows]


class JsonWriter:
    """{"source", "width", ..., "frames": [...]}; frames are written as they come."""

    def __init__(self, path: str | Path, source: str, fps: float, model: str, skeleton: Skeleton):
        """Open a file; the header follows with the first frame, which tells the size."""
        self._out = _PartFile(path)
        self._head: dict[str, Any] = {
            "source": source, "width": 0, "height": 0, "fps": fps, "model": model,
            "keypoint_names": list(skeleton.keypoints), "bones": [list(b) for b in skeleton.bone_indices]}
        self._frames = 0

    def write(self, picture: Picture, poses: Poses) -> None:
        """Append one frame."""
        if self._frames == 0:
            self._head["height"], self._head["width"] = picture.image.shape[:2]
            self._begin()
        frame: dict[str, Any] = {"index": picture.index, "time": round(picture.time, 6)}
        if picture.file is not None:
            frame["file"] = picture.file
        frame["people"] = people(poses)
        self._out.file.write((",\n" if self._frames else "\n") + json.dumps(frame))
        self._frames += 1

    def _begin(self) -> None:
        self._out.file.write(json.dumps(self._head)[:-1] + ', "frames": [')

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._frames == 0:
            self._begin()
        self._out.file.write("\n]}\n")
        self._out.close()

    def discard(self) -> None:
        """Leave nothing behind."""
        self._out.discard()


class CsvWriter:
    """One row per frame, person and keypoint."""

    def __init__(self, path: str | Path, skeleton: Skeleton, world: bool):
        """Open a file and write its header."""
        self._out, self._names, self._world = _PartFile(path), skeleton.keypoints, world
        self._rows = csv.writer(self._out.file, lineterminator="\n")
        self._rows.writerow(["index", "time", "file", "id", "person_presence", "keypoint", "x", "y", "z", "visibility",
                             "presence", *(["world_x", "world_y", "world_z"] if world else [])])

    def write(self, picture: Picture, poses: Poses) -> None:
        """Append one frame."""
        for person in people(poses):
            world = person.get("world", [["", "", ""]] * len(self._names))
            for name, point, metres in zip(self._names, person["keypoints"], world, strict=True):
                self._rows.writerow([picture.index, round(picture.time, 6), picture.file or "", person["id"],
                                     person["presence"], name, *point, *(metres if self._world else [])])

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._out.close()

    def discard(self) -> None:
        """Leave nothing behind."""
        self._out.discard()
