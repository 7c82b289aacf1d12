"""Write docs/cli.md from the help of every command: `python docs/make_cli.py [--check]`."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from bench.__main__ import bench
from bench.command.doors import commands_of, name_variables

PAGE = Path(__file__).with_name("cli.md")
INTRODUCTION = """# The command line

This page is made from `--help` by `python docs/make_cli.py`. `.ci/run` checks that it is up to
date.

The console script `bench` is the same program as `python -m bench`, and `python -m bench.report` is
the same command as `bench report`.

Every option can be set by an environment variable, listed below its command. What is typed
overrides it. Exit codes: 0 fine, 1 a regression or failed cells, 2 bad usage or input.

Completion of commands and options, for bash (zsh and fish likewise, by `zsh_source` and
`fish_source`), until the shell ends or from `~/.bashrc`:

```sh
eval "$(_BENCH_COMPLETE=bash_source bench)"
```
"""


def page() -> str:
    """The whole page: the group first, then each command in the order of the help."""
    os.environ["COLUMNS"] = "80"  # whatever the terminal
    name_variables(bench, "BENCH")
    return "\n".join([INTRODUCTION, *sections(bench, "bench")])


def sections(command: click.Command, words: str) -> Iterator[str]:
    """A section for a command, and one for each command below it."""
    yield f"## `{words}`\n\n```text\n{help_of(command, words)}\n```\n"
    if not isinstance(command, click.Group) and (variables := variables_of(command)):
        yield f"Variables: {', '.join(f'`{variable}`' for variable in variables)}.\n"
    for name, below in commands_of(command).items():
        yield from sections(below, f"{words} {name}")


def help_of(command: click.Command, words: str) -> str:
    """What `--help` prints, with the console script's name."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        command.main(
            ["--help"],
            prog_name=words,
            standalone_mode=False,
            help_option_names=["-h", "--help"],
        )
    return printed.getvalue().strip()


def variables_of(command: click.Command) -> list[str]:
    """What sets the command's options, in their order."""
    options = (p for p in command.params if isinstance(p, click.Option))
    return [str(option.envvar) for option in options if option.envvar]


def main() -> int:
    """Write the page, or with --check only tell whether it is up to date."""
    new = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(new, encoding="utf-8")
        return 0
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    sys.stdout.writelines(
        difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), str(PAGE), "the help"
        )
    )
    if old != new:
        print(f"{PAGE.name} is out of date: run python docs/make_cli.py", file=sys.stderr)
    return int(old != new)


if __name__ == "__main__":
    sys.exit(main())
