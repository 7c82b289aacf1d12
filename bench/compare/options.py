"""Options that `compare` and `selfcheck compare` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import click

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
