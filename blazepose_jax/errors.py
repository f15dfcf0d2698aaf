"""Errors that users see: one line that states the value, the rule and the remedy."""

import difflib
from collections.abc import Iterable


class BlazePoseError(ValueError):
    """Bad input.

    The message is one line; the command line prints it and exits with ``exit_code``.
    """

    exit_code = 2

    def __init__(self, message: str):
        """Control characters, which a file's name may hold, are written out."""
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in message))


class Interrupted(BlazePoseError):
    """An interrupted command, which kept what it had done.

    The exit code is that of shells: 128 + the signal's number.
    """

    exit_code = 130


class ParityError(BlazePoseError):
    """A written file that differs from what it was made of by more than is promised."""

    exit_code = 1


def check_name(value: str, known: Iterable[str], what: str) -> str:
    """Return ``value`` if it is one of ``known``.

    Args:
      value: a name that a user gave.
      known: the names that there are.
      what: they name, for the message.

    Raises:
      BlazePoseError: unknown; the message suggests the nearest known name.
    """
    names = list(known)
    if value in names:
        return value
    hint = f"{near} " if (near := suggestion(value, names)) else ""
    raise BlazePoseError(f"unknown {what} {value!r}: {hint}known are {', '.join(names)}")


def suggestion(value: str, known: Iterable[str]) -> str:
    """``did you mean 'left_hip'?``, or "" where nothing is near."""
    near = difflib.get_close_matches(value, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""
