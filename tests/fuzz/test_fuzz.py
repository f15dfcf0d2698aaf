"""A few hundred damaged files a parser; ``make fuzz`` reads thousands, in child processes."""

import pytest
from fuzzing import PARSERS, fuzz


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_damaged_was_whole(name, tmp_path):
    """Damage to a file that is refused as it is would be looked at by nobody."""
    parser = PARSERS[name]
    for i, data in enumerate(parser.valid()):
        path = tmp_path / f"{i}{parser.suffix}"
        path.write_bytes(data)
        assert parser.read(path) is not None


@pytest.mark.parametrize("name", [name for name in PARSERS if name != "tflite"])
def test_damaged_files_are_one_line(name):
    assert fuzz(name, 200, seed=1, children=False) == []


def test_damaged_networks_are_one_line_and_crash_nothing():
    """In a child process.

    LiteRT is native code, and what it can still do is said in SECURITY.md.
    """
    assert fuzz("tflite", 200, seed=1) == []
