"""Options that `compare` and `selfcheck compare` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import click

if TYPE_CHECKING:
    from bench.cells.definitions import Suite

Command: TypeAlias = Callable[..., int]


def suite_options(command: Command) -> Command:
    """`problems`, `optimizers` and `kernels`: what replaces those of the quick suite."""
    for option in (
        click.option("-k", "--kernel", "kernels", multiple=True, help="Such as fused-cpu."),
        click.option("-o", "--optimizer", "optimizers", multiple=True, help="Such as lbfgs."),
        click.option(
            "-p",
            "--problem",
            "problems",
            multiple=True,
            help="Such as iris. What -p, -o and -k leave out is that of the quick suite.",
        ),
    ):
        command = option(command)
    return command


def minutes_option(command: Command) -> Command:
    """`minutes`, the time limit of a comparison."""
    return click.option(
        "--minutes",
        type=click.FloatRange(min=0, min_open=True),
        default=8.0,
        show_default=True,
        help="Time limit of a comparison. Cells without a verdict by then are INCONCLUSIVE.",
    )(command)


def quick_suite(
    problems: tuple[str, ...], optimizers: tuple[str, ...], kernels: tuple[str, ...]
) -> Suite:
    """The quick suite, with what `suite_options` named in place of its own."""
    from bench.cells.definitions import chosen_suite

    named = {"problems": problems, "optimizers": optimizers, "kernels": kernels}
    return chosen_suite(None, {field: names for field, names in named.items() if names})
