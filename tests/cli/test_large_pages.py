"""Training on a CPU takes its memory in large pages."""

import os
import subprocess
import sys

import pytest

from blazepose_jax.cli import large_pages
from blazepose_jax.cli.main import main

CODE = """
import os, sys
from blazepose_jax.cli.large_pages import restart_with_large_pages
restart_with_large_pages()
print(os.environ.get("GLIBC_TUNABLES"), sys.argv[1:], sys.flags.utf8_mode)
"""


@pytest.mark.skipif(not large_pages.has_large_pages(), reason="this system has no large pages")
@pytest.mark.parametrize("before", [None, "glibc.malloc.check=0"])
def test_a_process_begins_anew_as_it_was_called(before):
    env = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    env |= {"GLIBC_TUNABLES": before} if before else {}
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", CODE, "train", "a b"],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    expected = f"{before}:{large_pages.TUNABLE}=1" if before else f"{large_pages.TUNABLE}=1"
    assert done.stdout == f"{expected} ['train', 'a b'] 1\n"


@pytest.mark.parametrize(
    ("library", "said"),
    [(("glibc", "2.31"), "[madvise]"), (("", ""), "[madvise]"), (("glibc", "2.36"), "[never]")],
)
def test_systems_without_large_pages_are_left_alone(monkeypatch, tmp_path, library, said):
    (tmp_path / "enabled").write_text(f"always {said}")
    monkeypatch.setattr(large_pages, "ENABLED", tmp_path / "enabled")
    monkeypatch.setattr(large_pages.platform, "libc_ver", lambda: library)
    monkeypatch.setattr(large_pages.os, "execve", lambda *_: pytest.fail("began anew"))
    large_pages.restart_with_large_pages()


def test_only_the_command_line_begins_anew(monkeypatch, capsys):
    monkeypatch.setattr(large_pages.os, "execve", lambda *_: pytest.fail("began anew"))
    assert main(["train", "gone", "--workdir", "x"]) == 2
    assert "gone" in capsys.readouterr().err
