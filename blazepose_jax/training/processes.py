"""Several processes that train as one: they meet, wait for each other and end together."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import jax
import numpy as np

from blazepose_jax.errors import BlazePoseError, Interrupted

# Seconds to wait for the slowest process to start, and until one that is silent counts as dead.
MEET, SILENCE = 600, 30
# What XLA's, Gloo's, NCCL's and gRPC's errors say where another process is gone.
GONE = ("gloo", "nccl", "unavailable", "coordination", "heartbeat", "connection", "barrier", "peer")
# A C function that takes a signal's number; the one that is installed, which must stay alive.
Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)
installed: list[Callable] = []


@contextlib.contextmanager
def together(
    coordinator: str | None, processes: int, process: int, workdir: Path
) -> Iterator[None]:
    """Be one of several processes that train together; alone there is nothing to do.

    Whatever ends one of them ends the others, each with one line. An error leaves the program at
    once: on the ordinary way out JAX would wait for processes that wait for this one.

    Args:
      coordinator: HOST:PORT of process 0.
      processes: how many there are.
      process: the number of this one.
      workdir: gets ``process-N.log``, with what the libraries print, if they do.

    Raises:
      BlazePoseError: numbers that do not fit together.
    """
    if processes == 1 and coordinator is None:
        yield
        return
    if coordinator is None or not 0 <= process < processes:
        raise BlazePoseError(
            f"--coordinator {coordinator} --processes {processes} --process {process}: several "
            "processes need a coordinator's HOST:PORT, and numbers from 0 below --processes"
        )
    workdir.mkdir(parents=True, exist_ok=True)
    log = workdir / f"process-{process}.log"
    keep_library_output(log)
    lost = (
        f"process {process} of {processes} has lost the others: see what they printed, and {log};"
        " the same command on every host goes on from the last checkpoint"
    )
    report_abort(lost)
    try:
        join(coordinator, processes, process)
        yield
        if not log.stat().st_size:
            log.unlink()
    except BlazePoseError as error:
        leave(str(error), error.exit_code)
    except KeyboardInterrupt:
        leave("interrupted", Interrupted.exit_code)
    except Exception as error:
        if not any(word in str(error).lower() for word in GONE):
            sys.excepthook(type(error), error, error.__traceback__)
            leave(f"process {process} of {processes} ended, and so do the others", 1)
        os.write(2, f"{error}\n".encode())  # to the log
        leave(lost, 1)


def join(coordinator: str, processes: int, process: int) -> None:
    """Meet the other processes.

    Raises:
      BlazePoseError: nobody answers.
    """
    from jax.experimental import multihost_utils

    # It would catch SIGTERM before Python does, and then nobody would save.
    jax.config.update("jax_enable_preemption_service", False)
    numbers = (signal.SIGINT, signal.SIGTERM)
    asks = threading.current_thread() is threading.main_thread()
    # There is nothing to save yet, and a handler in Python would wait as long as this call.
    old = [signal.signal(number, signal.SIG_DFL) for number in numbers if asks]
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=MEET,
            heartbeat_timeout_seconds=SILENCE,
        )
    except (RuntimeError, ValueError) as error:
        raise BlazePoseError(
            f"process {process} could not join {coordinator} ({str(error).splitlines()[0]}): start "
            f"all {processes} processes with the same address"
        ) from error
    finally:
        for number, handler in zip(numbers, old, strict=False):
            signal.signal(number, handler)
    # Gloo gives up after half a minute where processes meet for the first time: now they are near.
    multihost_utils.sync_global_devices("joined")


def keep_library_output(path: Path) -> None:
    """Send what C++ writes to stderr to a file; Python's own stays where it was."""
    sys.stderr.flush()
    terminal = os.dup(2)
    sys.stderr = os.fdopen(terminal, "w", buffering=1, errors="backslashreplace")
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(file, 2)
    os.close(file)


def report_abort(line: str) -> None:
    """Print a line where XLA aborts, which it does as soon as another process is gone.

    It offers no callback that Python could take: a Status is nothing that it can convert.
    """

    def stop(_: int) -> None:
        leave(line, 1)

    handler = Handler(stop)
    installed[:] = [handler]
    ctypes.CDLL(None).signal(signal.SIGABRT, handler)


def leave(line: str, code: int) -> NoReturn:
    """Print a line on stderr and end, without anything that could wait for another process."""
    # Whoever read it may be gone.
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"blazepose: {line}\n".encode(errors="backslashreplace"))
    os._exit(code)


def wait_for_all(what: str) -> None:
    """Wait until every process is here, however long the slowest one takes.

    Args:
      what: is done, a name of its own for every place that waits.
    """
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)


def agreed(stop: bool) -> bool:
    """Whether any process was interrupted; all of them must stop after the same step."""
    if jax.process_count() == 1:
        return stop
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array(stop)).any())
