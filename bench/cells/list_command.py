"""`python -m bench list`: what can be named."""

from __future__ import annotations

import click


@click.command(
    "list",
    short_help="Problems, optimizers, kernels and suites that can be named.",
    epilog="\b\nExample:\n  python -m bench list",
)
def list_() -> None:
    """What can be named: problems, optimizers with their parameters, kernels and suites."""
    from bench.cells.definitions import SUITES

    click.echo("Suites")  # first, as the others need torch, whose import takes seconds
    for suite in SUITES.values():
        counted = f"{len(suite.problems)} problems x {len(suite.optimizers)} optimizers"
        runs = f"{suite.seeds} seeds x {suite.repetitions} repetitions"
        click.echo(f"  {suite.name:<16} {counted}, {runs}")
    click.echo(f"  {'notebook':<16} the notebook's experiments beside its printed numbers")

    from bench.cells.plan import devices_here
    from bench.optimizers import OPTIMIZERS
    from bench.problems import PROBLEMS
    from bench.specs import signature_text
    from logreg_kernels import KERNELS

    for title, registry in (("Problems", PROBLEMS), ("Optimizers", OPTIMIZERS)):
        click.echo(f"\n{title}, with the defaults of their parameters")
        for name, factory in registry.items():
            first_line = (factory.__doc__ or "").strip().splitlines()[0]
            click.echo(f"  {signature_text(name, factory)}\n      {first_line}")
    click.echo("\nKernels")
    for name, kernel in KERNELS.items():
        where = [f"{device}: {kernel.unavailable(device) or 'ready'}" for device in devices_here()]
        click.echo(f"  {name:<16} {'; '.join(where)}")
