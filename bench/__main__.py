"""`python -m bench`, or `bench`: the commands' names. None is imported before it is used."""

from __future__ import annotations

from typing import NoReturn

import click

from bench.command.doors import LazyGroup
from bench.command.line import main

COMMANDS = {
    "report": "bench.report.command:report",
    "run": "bench.report.run_command:run",
    "list": "bench.cells.list_command:list_",
    "compare": "bench.compare.command:compare",
    "counters": "bench.counters.command:counters",
    "history": "bench.history.command:history",
    "roofline": "bench.roofline.command:roofline",
}
SELFCHECKS = {
    "timing": "bench.selfcheck.command:timing",
    "recorder": "bench.selfcheck.command:recorder",
    "harness": "bench.selfcheck.command:harness",
    "compare": "bench.compare.command:selfcheck_compare",
}


@click.group(
    cls=LazyGroup,
    commands_at=COMMANDS,
    epilog="""\b
Examples:
  python -m bench list
  python -m bench run -p iris -o lbfgs -o adam:lr=0.1
  python -m bench report
""",
)
@click.version_option(package_name="logreg-bench", prog_name="logreg-bench")
def bench() -> None:
    """Which optimizer fits a logistic regression fastest, measured against a proved optimum.

    The main job is `python -m bench report`.
    """


@bench.group(
    cls=LazyGroup,
    commands_at=SELFCHECKS,
    epilog="""\b
Examples:
  python -m bench selfcheck timing
  python -m bench selfcheck recorder -k numpy
  python -m bench selfcheck compare
""",
)
def selfcheck() -> None:
    """Check the harness itself; exit 1 where it falls short."""


def console() -> NoReturn:
    """The console script `bench`."""
    main(bench, "bench")


if __name__ == "__main__":
    main(bench, "python -m bench")
