"""How a command is found by its name, and its options by environment variables."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from bench.command.options import long_name


class LazyGroup(click.Group):
    """A group that imports a command when it is used; `commands_at` holds "module:attribute"."""

    def __init__(self, *args: Any, commands_at: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._commands_at = commands_at
        self.prefix = ""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names in the order of `commands_at`."""
        return [*self._commands_at, *super().list_commands(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of that name, imported now; None where there is none."""
        if name not in self._commands_at:
            return super().get_command(context, name)
        module, attribute = self._commands_at[name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        name_variables(command, f"{self.prefix}_{_as_variable(name)}")
        return command


def commands_of(command: click.Command) -> dict[str, click.Command]:
    """The commands of a group by their names, imported now; none where it is no group."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: below for name, below in found.items() if below is not None}


def name_variables(command: click.Command, prefix: str) -> None:
    """Name the environment variable that sets each option of a command and of its subcommands.

    With the prefix BENCH, `compare --minutes` is set by BENCH_COMPARE_MINUTES. Rejected: click's
    automatic variables, which are named after the parameters of the command's function.
    """
    if isinstance(command, LazyGroup):
        command.prefix = prefix
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            name_variables(below, f"{prefix}_{_as_variable(name)}")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            parameter.envvar = f"{prefix}_{_as_variable(long_name(parameter))}"


def _as_variable(name: str) -> str:
    return name.lstrip("-").replace("-", "_").upper()
