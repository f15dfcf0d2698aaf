"""Progress of a loop, for a terminal or a log."""

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
LOG_SECONDS = 10


def progress(items: Iterable[T], total: int | None, name: str, unit: str) -> Iterator[T]:
    """Pass items on, with a bar on a terminal and a line every ten seconds in a log.

    Args:
      items: anything.
      total: how many, or None.
      name: of the whole.
      unit: of one, in the plural.

    Returns:
      The items.
    """
    if sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            yield from tqdm(items, total=total, unit=unit, desc=name)
            return
    due = time.monotonic() + LOG_SECONDS
    for done, item in enumerate(items, 1):
        yield item
        if time.monotonic() > due:
            due = time.monotonic() + LOG_SECONDS
            print(f"{name}: {done} of {total or '?'} {unit}", file=sys.stderr)
