"""The journal of ``data label``: what a run has labelled, so that one that was stopped goes on."""

import json
import os
from pathlib import Path
from types import TracebackType

from blazepose_jax.data.coco_file import JsonObject
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.json_files import read_json_lines
from blazepose_jax.io.temporary_names import hold

# How every journal begins.
BEGINNING = b'{"format"'


class Journal:
    """A line for each photograph, after one that says what made them.

    Attributes:
      path: of the file.
      done: file names of the photographs that it has.
    """

    def __init__(self, path: Path, made_by: JsonObject):
        """Open it, and keep other runs away from it until ``__exit__``.

        Args:
          path: of the file; it may be new.
          made_by: what the labels depend on, ``format`` first.

        Raises:
          BlazePoseError: another run is writing it, it is of a run that labels otherwise, or it is
            no journal.
        """
        self.path, self._is_empty = path, False
        self._file = path.open("a", encoding="utf-8")
        self._lock, busy = hold(path)
        try:
            if busy:
                raise BlazePoseError(f"{path} is being written by another run: wait for it")
            self.done = self._read(made_by)
        except BlazePoseError:
            self.__exit__(None, None, None)
            raise
        self._is_empty = not self.done
        if self.done:
            self._file.write("\n")  # a crash may have cut the last line
        else:
            self._file.truncate(0)
            self._write(made_by)

    def _read(self, made_by: JsonObject) -> set[str]:
        rows = read_json_lines(self.path)
        if not rows:
            with self.path.open("rb") as file:
                if BEGINNING.startswith(file.read(len(BEGINNING))):
                    return set()
            raise BlazePoseError(
                f"{self.path} exists and is no journal of data label: name another output, or move"
                " it away"
            )
        if rows[0] != made_by:
            other = [key for key in made_by if rows[0].get(key) != made_by[key]]
            raise BlazePoseError(
                f"{self.path} is of a run that was stopped and had another {', '.join(other)}: give"
                " the same arguments to go on with it, name another output, or remove it"
            )
        return {str(row["file_name"]) for row in rows[1:]}

    def append(self, name: str, row: JsonObject) -> None:
        """Add a photograph."""
        self._is_empty = False
        self._write({"file_name": name, **row})

    def _write(self, row: JsonObject) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def rows(self) -> list[JsonObject]:
        """Those of the photographs."""
        return read_json_lines(self.path)[1:]

    def __enter__(self) -> "Journal":
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it; without a photograph it goes, and else stays where it is."""
        self._file.close()
        if self._is_empty:
            self.path.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
