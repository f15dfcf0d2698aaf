"""The entry point: one command runs; mistakes become one line and exit code 2."""

import argparse
import contextlib
import difflib
import importlib
import io
import os
import select
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from blazepose_jax.cli import COMMANDS
from blazepose_jax.cli.large_pages import restart_with_large_pages
from blazepose_jax.errors import BlazePoseError, Interrupted, check_name
from blazepose_jax.io.cache import use_compilation_cache
from blazepose_jax.io.interrupts import ending


class Parser(argparse.ArgumentParser):
    """argparse with one line on what is wrong in place of usage dumps."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing."""
        raise BlazePoseError(f"{message}; see {self.prog} --help")

    def check_options(self, command: str, words: Sequence[str]) -> None:
        """Refuse the first unknown option, before argparse complains of what it makes missing.

        Args:
          command: the parser's, for the message.
          words: what follows it.

        Raises:
          BlazePoseError: an unknown option; the message suggests the nearest known one.
        """
        known = self._option_string_actions
        for word in words:
            if word.startswith("--") and word.split("=")[0] not in known:
                near = difflib.get_close_matches(word.split("=")[0], known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else f"see blazepose {command} --help"
                raise BlazePoseError(f"{command} does not know {word!r}: {hint}")


def build_parsers(command: str | None) -> tuple[Parser, Parser | None]:
    """All commands by name and help line, and the options of one, whose module is imported.

    Args:
      command: the one that is called.

    Returns:
      The parser of everything, and that of the command; None where there is no such command.
    """
    parser = Parser(
        prog="blazepose",
        description="BlazePose in JAX: 33 body points of the people in a video.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    called = None
    for name, (module, help_line) in COMMANDS.items():
        of_command = commands.add_parser(name, help=help_line, allow_abbrev=False)
        if name == command:
            called = of_command
            importlib.import_module(module).add_arguments(called)
    return parser, called


def run(argv: Sequence[str]) -> None:
    """Run one command.

    Raises:
      BlazePoseError: a usage error, or bad input.
    """
    command = next((word for word in argv if not word.startswith("-")), None)
    if command is not None and argv[0] == command:
        check_name(command, COMMANDS, "command")
    parser, called = build_parsers(command)
    if called is not None and argv[0] == command:
        called.check_options(argv[0], argv[1:])
    args, extra = parser.parse_known_args(argv)
    if extra and not (hasattr(args, "overrides") and all("=" in word for word in extra)):
        raise BlazePoseError(
            f"{args.command} does not know {extra[0]!r}: see blazepose {args.command} --help"
        )
    if extra:
        # argparse does not take positional words that stand after options.
        args.overrides += extra
    use_compilation_cache()
    module, _ = COMMANDS[args.command]
    values = [
        v for value in vars(args).values() for v in (value if type(value) is list else [value])
    ]
    with contextlib.ExitStack() as stack:
        # What goes to standard output is nothing but the result.
        if any(map(is_standard_output, values)):
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        importlib.import_module(module).run(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Args:
      argv: the words after the program's name; None for those of the process.

    Returns:
      0; 2 after bad input; 1 where an export lies too far from its source; 130 where ``track`` was
      interrupted.
    """
    if argv is None and sys.argv[1:2] == ["train"]:
        restart_with_large_pages()
    os.environ.setdefault("GLOG_minloglevel", "2")
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show is no reason to stop.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings(), terminable():
        warnings.showwarning = _show_warning
        warnings.simplefilter("always", UserWarning)
        try:
            run(sys.argv[1:] if argv is None else argv)
        except BlazePoseError as error:
            print(f"blazepose: {error}", file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            print("blazepose: interrupted", file=sys.stderr)
            return Interrupted.exit_code
        except BrokenPipeError:
            if not is_abandoned(1):
                print(
                    "blazepose: whoever read an output, such as a pipe, has stopped reading: give"
                    " it another name, or a reader that reads to the end",
                    file=sys.stderr,
                )
                return 2
            sys.stderr.close()
        except OSError as error:
            print(
                f"blazepose: {error.filename or 'a file'} cannot be read or written"
                f" ({error.strerror or error}): check the path, the permissions and the free space",
                file=sys.stderr,
            )
            return 2
    return 0


def is_abandoned(descriptor: int) -> bool:
    """Whether nobody reads an open pipe or socket any more, as of ``blazepose ... | head``."""
    if not hasattr(select, "poll"):  # on Windows; there it is likely the standard output
        return True
    poll = select.poll()
    poll.register(descriptor, 0)
    gone = select.POLLERR | select.POLLHUP | select.POLLNVAL
    return any(event & gone for _, event in poll.poll(0))


def is_standard_output(value: object) -> bool:
    """Whether an argument names the file or pipe that is the standard output."""
    if not isinstance(value, str | Path) or not os.path.exists("/dev/stdout"):
        return False
    try:
        return os.path.samefile(value, "/dev/stdout")
    except (OSError, ValueError):
        return False


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"blazepose: warning: {message}", file=sys.stderr)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop the work as Ctrl-C does, so that it keeps or removes what it was
    writing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        # A shell script starts its background jobs with SIGINT ignored.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    old = {number: signal.signal(number, stop) for number in ending()}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
