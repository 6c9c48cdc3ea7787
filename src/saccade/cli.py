"""The command line: `saccade COMMAND ...`, its dispatch, warnings, errors and exit codes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from saccade import distribution
from saccade.commands import COMMANDS
from saccade.commands.completion import candidates
from saccade.commands.parsing import parse
from saccade.console import show_warning
from saccade.errors import SaccadeError, SaccadeWarning, UnknownNameError, look_up


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exits with 0 done, 1 a failure that the message explains, 2 wrong usage."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            _dispatch(arguments)
            sys.stdout.flush()
    except SaccadeError as error:
        print(f"saccade: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UnknownNameError) else 1)
    except KeyboardInterrupt:
        print(
            "saccade: stopped; a training run goes on with --resume, an extraction, comparison or prediction with the "
            "same command",
            file=sys.stderr,
        )
        sys.exit(130)
    except OSError as error:
        try:
            sys.stdout.flush()
        except OSError:  # it is standard output that cannot be written: let nothing more be tried at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # which is only the reader of our output gone, as `| head` does
            place = "" if error.filename is None else f"{error.filename}: "
            print(f"saccade: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)


def _dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = [f"  {name:16} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
        print("usage: saccade COMMAND ...\n", *lines, "\nsaccade COMMAND --help says more.", sep="\n")
        sys.exit(0 if arguments else 2)
    if arguments[0] == "--complete":  # what the script of `saccade completion` asks
        for name, about in candidates(arguments[1:], COMMANDS).items():
            print(f"{name}\t{about}")
        return
    if trouble := distribution.overwritten() or (arguments[0] == "--version" and distribution.installed_beside()):
        warnings.warn(trouble, SaccadeWarning, stacklevel=1)
    if arguments[0] == "--version":
        print(f"saccade {distribution.installed_version()}")
        return
    command = look_up(COMMANDS, arguments[0], "command")
    read = getattr(command, "parse", None)
    (read(arguments[1:]) if read else parse(command, arguments[1:], prog=f"saccade {arguments[0]}")).run()
