"""`python -m bench roofline`: how far each kernel is from reading X once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.command.options import results_option
from bench.command.progress import announce
from bench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from bench.roofline.samples import Roofline
    from bench.roofline.tables import Tables


@click.command(
    short_help="Compare the time of each kernel with that of reading X once.",
    epilog="""\b
Examples:
  python -m bench roofline
  python -m bench roofline --case "1,000,000 x 54" --twice
  python -m bench roofline -p file:path=my.csv,target=label --dtype float32
  python -m bench roofline -k fused-cpu -k torch-autograd --rounds 11
""",
)
@click.option("--case", "cases", multiple=True, help="Only cases whose name contains this.")
@click.option("-p", "--problem", "problems", multiple=True, help="Your data, such as file:path=...")
@click.option("-k", "--kernel", "kernels", multiple=True, help="Only these kernels.")
@click.option("-d", "--device", "devices", multiple=True, help="cpu, cuda, ... [default: all here]")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
    help="Floating-point type of X in your own problems.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=3),
    default=21,
    show_default=True,
    help="Samples of each call.",
)
@click.option("--twice", is_flag=True, help="Measure everything twice, and compare the results.")
@results_option("roofline.json, tables and plots")
def roofline(
    cases: tuple[str, ...],
    problems: tuple[str, ...],
    kernels: tuple[str, ...],
    devices: tuple[str, ...],
    dtype: str,
    rounds: int,
    twice: bool,
    folder: Path,
) -> int:
    """Compare the time of each kernel with the time to read its X once.

    All calls of a case take turns in one run, so their ratios hold on a noisy machine, too.
    Absolute times hold for this machine alone.
    """
    announce("importing torch, then timing kernels and the reading of X")

    from bench.cells.plan import devices_here
    from bench.command import text
    from bench.roofline.cases import chosen_cases
    from bench.roofline.measure import measure
    from bench.roofline.tables import agreement

    devices = devices or tuple(devices_here())
    _check(kernels, devices)
    chosen = chosen_cases(cases, problems, dtype, devices)
    if not chosen:
        named = f"{' or '.join(map(repr, cases))} in its name" if cases else "such a device"
        raise InputError(
            f"no case has {named}: there are cases for cpu and cuda; leave --case out for all"
        )
    runs = []
    for name in ("roofline_first", "roofline") if twice else ("roofline",):
        measured = measure(chosen, rounds, kernels, lambda case: click.echo(case, err=True))
        runs.append(_write(measured, folder, name))
    tables = runs[-1]
    click.echo(text.machine_line(measured.environment) + "\n")
    _print(tables.readable_calls)
    for line in tables.reasons:
        click.echo(f"not measured: {line}\n")
    _print(tables.readable_requirements)
    if twice:
        both = agreement(*(run.requirements for run in runs))
        _print(both)
        agree = int((both["agree"] == "yes").sum()) if len(both) else 0
        click.echo(f"{agree} of {len(both)} figures agree within their intervals.")
    if "cuda" not in devices:
        click.echo("fused-cuda: not measured: torch finds no CUDA device on this machine.")
    click.echo(f"Plot and tables: {folder / 'plots' / 'roofline.png'}, {folder / 'tables'}")
    return 0


def _check(kernels: tuple[str, ...], devices: tuple[str, ...]) -> None:
    """Raise InputError for a device that isn't there, or a kernel that runs on none of them."""
    from bench.cells.plan import check_kernel, why_not_timed
    from logreg_kernels import KERNELS
    from logreg_kernels.torch_kernels.devices import device_unavailable

    for device in devices:
        if reason := device_unavailable(device):
            raise InputError(f"{reason}: leave --device out for all that are here")
    for kernel in kernels:
        if kernel not in KERNELS or all(why_not_timed(kernel, device) for device in devices):
            check_kernel(kernel, devices[0])


def _write(measured: Roofline, folder: Path, name: str) -> Tables:
    """Write raw samples, tables and the plot under a name; return the tables."""
    from bench.command.figures import save_figure
    from bench.command.tables import write_table
    from bench.files.whole import write_whole
    from bench.roofline.plot import plot
    from bench.roofline.samples import as_json
    from bench.roofline.tables import tables_of

    write_whole(folder / f"{name}.json", as_json(measured).encode())
    tables = tables_of(measured)
    write_table(tables.calls, tables.readable_calls, folder / "tables" / name)
    if len(tables.requirements):
        path = folder / "tables" / f"{name}_asked"
        write_table(tables.requirements, tables.readable_requirements, path)
    save_figure(plot(tables, measured.caches), folder / "plots" / name)
    return tables


def _print(frame: pd.DataFrame) -> None:
    if len(frame):
        click.echo(frame.to_markdown(index=False, disable_numparse=True) + "\n")
