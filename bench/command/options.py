"""Options that commands share, with their checks and the environment variables that set them."""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import click
from click.core import ParameterSource

from bench.errors import InputError

Command: TypeAlias = Callable[..., int]


@dataclass(frozen=True)
class Selection:
    """What `cell_options` were given. The suite decides on the others."""

    suite: str | None
    problems: tuple[str, ...]
    optimizers: tuple[str, ...]
    kernels: tuple[str, ...]
    devices: tuple[str, ...]
    dtype: str | None
    seeds: int | None
    repetitions: int | None

    @property
    def replaced(self) -> dict[str, Any]:
        """The fields of the suite that are replaced."""
        fields: dict[str, Any] = {
            "problems": self.problems,
            "optimizers": self.optimizers,
            "kernels": self.kernels,
            "devices": self.devices,
            "dtypes": (self.dtype,) if self.dtype else (),
            "seeds": self.seeds,
            # With --seeds alone, each seed is run once, whatever the suite has.
            "repetitions": self.repetitions or (1 if self.seeds else None),
        }
        return {name: value for name, value in fields.items() if value}

    def __bool__(self) -> bool:
        return self.suite is not None or bool(self.replaced)


def cell_options(command: Command) -> Command:
    """`selection`, the cells to run, and `folder`, where results are kept."""

    @functools.wraps(command)
    def with_selection(**given: Any) -> int:
        names = [field.name for field in dataclasses.fields(Selection)]
        selection = Selection(**{name: given.pop(name) for name in names})
        return command(selection=selection, **given)

    decorated: Command = with_selection
    for option in (
        results_option("records, tables, plots and the page"),
        click.option(
            "--repetitions",
            type=click.IntRange(min=1),
            help="Runs of each seed. [default with --seeds: 1]",
        ),
        click.option("--seeds", type=click.IntRange(min=1), help="Number of seeds: 0, 1, ..."),
        click.option(
            "--dtype",
            type=click.Choice(["float32", "float64"]),
            help="Floating-point type of X, w and the gradient.",
        ),
        click.option("-d", "--device", "devices", multiple=True, help="cpu, cuda, cuda:1, ..."),
        click.option("-k", "--kernel", "kernels", multiple=True, help="Such as torch-autograd."),
        click.option("-o", "--optimizer", "optimizers", multiple=True, help="Such as adam:lr=0.1."),
        click.option("-p", "--problem", "problems", multiple=True, help="Such as iris:l2=0.1."),
        click.option("--suite", help="quick, peers, full or notebook. [default: quick]"),
    ):
        decorated = option(decorated)
    return decorated


def results_option(holds: str, *, written: bool = True) -> Callable[[Command], Command]:
    """`folder`, where results are kept.

    Args:
        holds: what it holds, for the help.
        written: check that it can be written to, before anything is measured.
    """
    return click.option(
        "--results",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("results"),
        show_default=True,
        callback=_check_folder if written else None,
        help=f"Folder of {holds}.",
    )


def summary_option(command: Command) -> Command:
    """`summary`, a file that a report is appended to; None where it is not asked for."""
    return click.option(
        "--summary",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=_check_file,
        help="Append a report in Markdown to this file, such as $GITHUB_STEP_SUMMARY.",
    )(command)


def output_option(what: str, *, printed: bool = False) -> Callable[[Command], Command]:
    """`output`, a file that is written anew; None where it is not asked for.

    Args:
        what: what is written there, for the help.
        printed: whether - stands for stdout, and is the default. Nothing is checked then.
    """
    return click.option(
        "--output",
        type=click.Path(dir_okay=False, allow_dash=printed, path_type=Path),
        default=Path("-") if printed else None,
        show_default=printed,
        callback=None if printed else _check_file,
        help=f"Write {what} to this file{'; - prints it' if printed else ''}.",
    )


def append_summary(summary: Path | None, markdown: str) -> None:
    """Append to the file of `summary_option`, where there is one."""
    if summary is not None:
        with summary.open("a", encoding="utf-8") as stream:
            stream.write(markdown)


def refuse_given(options: Collection[str], why: str) -> None:
    """Refuse options that would do nothing, as in "--output does nothing WHY".

    Options that the environment sets are allowed: a workflow sets them for all of its commands.

    Args:
        options: their long names.
    Raises:
        InputError: some of them were given on the command line.
    """
    context = click.get_current_context()
    given = [
        "/".join(parameter.opts)
        for parameter in context.command.params
        if long_name(parameter) in options
        and parameter.name is not None
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        *first, last = given
        listed = f"{', '.join(first)} and {last} do" if first else f"{last} does"
        raise InputError(f"{listed} nothing {why}: leave {'them' if first else 'it'} out")


def long_name(parameter: click.Parameter) -> str:
    """`--problem` of `-p/--problem`; an argument's own name."""
    return max(parameter.opts, key=len)


def _check_folder(_: click.Context, option: click.Parameter, folder: Path) -> Path:
    """Raise InputError for a folder that can't be written to, or made."""
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(p))
    if not there.is_dir():
        raise InputError(f"{long_name(option)} {folder}: {there} is not a folder: name another")
    _try_writing(long_name(option), folder, there)
    return folder


def _check_file(_: click.Context, option: click.Parameter, file: Path | None) -> Path | None:
    if file is not None:
        check_file(long_name(option), file)
    return file


def check_file(option: str, file: Path) -> None:
    """Raise InputError for a file that can't be written to, or made."""
    if file.is_dir():  # also "", a variable that is not set
        raise InputError(f"{option} {file} is a folder: name a file, or leave it out")
    if not file.absolute().parent.is_dir():
        raise InputError(f"no folder for {file}: make {file.parent} first")
    if file.is_file():
        try:
            file.open("ab").close()
        except OSError as error:
            raise InputError(
                f"{option} {file} can't be written to: {error.strerror}: name another"
            ) from None
    elif not file.exists():  # what exists and is no file is a pipe, or a terminal
        _try_writing(option, file, file.absolute().parent)


def _try_writing(option: str, asked: Path, folder: Path) -> None:
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"{option} {asked}: nothing can be written to {folder}: {error.strerror}: name another"
        ) from None
