"""Memory in large pages, for commands that compute for hours on a CPU."""

import os
import platform
import sys
from pathlib import Path

TUNABLE = "glibc.malloc.hugetlb"
FIRST_GLIBC = (2, 35)  # that has it
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_large_pages() -> None:
    """Begin this process anew with a malloc on large pages, where the system has them.

    XLA's CPU backend takes and returns a training step's gigabytes at every step, and the kernel
    hands them out page by page: half a million faults a step in pages of 4 KiB, a thousand in
    large ones, and 8 images/s of Lite became 12 (docs/training.md). glibc reads the setting before
    the program begins; a process that has it is left as it is.
    """
    if TUNABLE in os.environ.get("GLIBC_TUNABLES", "") or not has_large_pages():
        return
    others = os.environ.get("GLIBC_TUNABLES")
    settings = f"{others}:{TUNABLE}=1" if others else f"{TUNABLE}=1"
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(
        sys.executable,
        [sys.executable, *sys.orig_argv[1:]],
        {**os.environ, "GLIBC_TUNABLES": settings},
    )


def has_large_pages() -> bool:
    """Whether glibc can ask for them, and the kernel gives them to those who ask."""
    library, version = platform.libc_ver() if sys.platform == "linux" else ("", "")
    if library != "glibc" or tuple(map(int, version.split(".")[:2])) < FIRST_GLIBC:
        return False
    try:
        return "[never]" not in ENABLED.read_text(encoding="ascii")
    except OSError:
        return False
