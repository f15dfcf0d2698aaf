"""Reading ahead: order, errors, and threads that end."""

import threading
import time

import pytest

from blazepose_jax.io.prefetch import Prefetch


def test_items_come_in_order_and_are_read_ahead():
    read = []

    def numbers():
        for i in range(100):
            read.append(i)
            yield i

    with Prefetch(numbers(), ahead=3) as items:
        found = iter(items)
        assert next(found) == 0
        deadline = time.monotonic() + 10
        while len(read) < 5 and time.monotonic() < deadline:
            time.sleep(0.001)
        # One was taken, three wait, and one is at the door.
        time.sleep(0.05)
        assert read == list(range(5))
        assert [*found] == list(range(1, 100))


def test_an_error_comes_where_its_item_would_have_come():
    def breaking():
        yield from "ab"
        raise ValueError("cut")

    with Prefetch(breaking()) as items:
        rest = iter(items)
        assert [next(rest), next(rest)] == ["a", "b"]
        with pytest.raises(ValueError, match="cut"):
            next(rest)


def test_closing_ends_the_thread_and_the_source():
    ended = threading.Event()

    def endless():
        try:
            while True:
                yield 1
        finally:
            ended.set()

    with Prefetch(endless(), ahead=1) as items:
        assert next(iter(items)) == 1
    assert ended.wait(10)


def test_what_is_ready_can_be_asked():
    go = threading.Event()

    def waiting():
        go.wait(10)
        yield "now"

    with Prefetch(waiting()) as items:
        assert not items.is_ready
        go.set()
        assert [*items] == ["now"]


def test_what_is_nothing_to_iterate_over_is_an_error():
    with pytest.raises(TypeError, match="not iterable"), Prefetch(5) as items:
        list(items)
