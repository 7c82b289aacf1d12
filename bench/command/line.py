"""How all commands run: exit codes, and one line for an error or an interruption."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from click.core import ParameterSource

from bench.command.doors import name_variables
from bench.errors import InputError

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2


def main(command: click.Command, name: str) -> NoReturn:
    """Run a command: exit 0 if it is fine, 1 for failed cells, 2 with one line for bad input.

    Args:
        name: the name of the program. The options of "python -m bench.report" can also be set by
            variables that begin with BENCH_REPORT_.
    """
    name_variables(command, name.split()[-1].replace(".", "_").upper())
    # Worktrees and processes are cleared away when a CI job is cancelled, too.
    for ending in ("SIGTERM", "SIGHUP"):
        if number := getattr(signal, ending, None):  # Windows has no SIGHUP
            signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        code = command.main(
            prog_name=name, standalone_mode=False, help_option_names=["-h", "--help"]
        )
        sys.exit(code if isinstance(code, int) else 0)
    except (click.exceptions.Abort, KeyboardInterrupt) as interrupted:
        _fail(f"interrupted; {str(interrupted) or 'the same command starts anew'}", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        asked = error.ctx.command_path if error.ctx else name
        _fail(f"no command given (see {asked} --help)", EXIT_BAD_INPUT)
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        asked = f"{where.command_path} --help" if where else f"{name} --help"
        _fail(
            f"{error.format_message().rstrip('.')}{_variable(error)} (see {asked})", EXIT_BAD_INPUT
        )
    except InputError as error:
        _fail(str(error), EXIT_BAD_INPUT)
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename}", EXIT_BAD_INPUT)


@contextmanager
def if_interrupted(words: Callable[[], str]) -> Iterator[None]:
    """Let `main` say after Ctrl-C what was kept, and what to do."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(err=True)  # the terminal shows ^C
        raise click.exceptions.Abort(words()) from None


def cells_are_kept() -> str:
    """The words after Ctrl-C for commands that append each cell's record as it ends."""
    return "finished cells are kept, run the same command again to go on"


def _variable(error: click.ClickException) -> str:
    """The variable that a bad value comes from; empty where it was typed."""
    parameter, context = getattr(error, "param", None), getattr(error, "ctx", None)
    if parameter is None or context is None or parameter.name is None:
        return ""
    source = context.get_parameter_source(parameter.name)
    return f", set by {parameter.envvar}" if source is ParameterSource.ENVIRONMENT else ""


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)
