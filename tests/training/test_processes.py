"""Processes that train as one: what ends one of them ends the others."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from helpers import ROOT

# All that a run of several processes does between two steps.
PROGRAM = """
import sys, time
from pathlib import Path
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.interrupts import interruptible
from blazepose_jax.training.processes import agreed, together

address, process, workdir, fails = sys.argv[1:]
with together(address, 2, int(process), Path(workdir)), interruptible() as interrupted:
    print("ready", flush=True)
    while not agreed(interrupted()):
        if fails == process:
            raise BlazePoseError("a bad record: look at it")
        time.sleep(0.05)
    print("stopped", flush=True)
"""


def start(workdir, fails=""):
    """Two processes that have met."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, address, str(i), str(workdir), fails],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        for i in range(2)
    ]
    for run in runs:
        # Gloo prints a line of its own.
        assert any(line == "ready\n" for line in run.stdout), run.stderr.read()
    return runs


@pytest.mark.parametrize("told", [pytest.param(0, marks=pytest.mark.long), 1])
def test_sigterm_to_one_stops_both(tmp_path, told):
    runs = start(tmp_path)
    runs[told].send_signal(signal.SIGTERM)
    for run in runs:
        out, error = run.communicate(timeout=120)
        assert run.returncode == 0, error
        assert "stopped" in out
        assert error == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("killed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_dead_process_ends_the_other_with_one_line(tmp_path, killed):
    """Process 0 coordinates: without it XLA aborts; without another one a collective fails."""
    runs = start(tmp_path)
    began = time.monotonic()
    runs[killed].kill()
    other = runs[1 - killed]
    _, error = other.communicate(timeout=60)
    assert other.returncode == 1
    assert f"process {1 - killed} of 2 has lost the others" in error
    assert error.count("\n") == 1
    assert time.monotonic() - began < 60
    assert (tmp_path / f"process-{1 - killed}.log").stat().st_size
    runs[killed].communicate()


def test_an_error_in_one_is_its_line_and_ends_the_other(tmp_path):
    runs = start(tmp_path, fails="1")
    (_, of_other), (_, of_failed) = (run.communicate(timeout=60) for run in runs)
    assert [run.returncode for run in runs] == [1, 2]
    assert of_failed == "blazepose: a bad record: look at it\n"
    assert "has lost the others" in of_other
    assert of_other.count("\n") == 1
