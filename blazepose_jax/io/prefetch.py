"""Reading ahead: an iterator that runs in a thread of its own."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar, cast

Item = TypeVar("Item")
AHEAD = 4  # items that wait


class Prefetch(Iterable[Item]):
    """What an iterable gives, read ahead by a thread, so that reading and its use overlap.

    Decoders and PIL release Python's lock. Items come in their order; an error of the iterable is
    raised where its item would have come. ``close``, or leaving the ``with``, ends the thread after
    the item that it reads.
    """

    def __init__(
        self,
        items: Iterable[Item],
        ahead: int = AHEAD,
        interrupted: Callable[[], bool] = lambda: False,
    ):
        """Begin to read.

        Args:
          items: iterated over once, in the thread.
          ahead: how many of them may wait.
          interrupted: asked while nothing waits; where it says so, the items end, as those of a
            camera that stalls would not.
        """
        self._interrupted = interrupted
        self._waiting: queue.Queue[tuple[str, Item | BaseException | None]] = queue.Queue(ahead)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(items,), daemon=True)
        self._thread.start()

    def _read(self, items: Iterable[Item]) -> None:
        iterator = None
        try:
            iterator = iter(items)
            for item in iterator:
                if not self._put("item", item):
                    break
            else:
                self._put("end", None)
        except BaseException as error:
            self._put("error", error)
        finally:
            if isinstance(iterator, Generator):
                iterator.close()

    def _put(self, kind: str, item: Item | BaseException | None) -> bool:
        """Hand over an item; False where nobody will take it any more."""
        while not self._closed.is_set():
            try:
                self._waiting.put((kind, item), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    @property
    def is_ready(self) -> bool:
        """Whether the next item, the end or an error can be had without waiting."""
        return not self._waiting.empty()

    def __iter__(self) -> Generator[Item]:
        while True:
            try:
                kind, item = self._waiting.get(timeout=0.1)
            except queue.Empty:
                if self._interrupted():
                    return
                continue
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(item, BaseException)
                raise item
            yield cast("Item", item)

    def close(self) -> None:
        """End the thread; what waits is lost."""
        self._closed.set()

    def __enter__(self) -> "Prefetch[Item]":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
