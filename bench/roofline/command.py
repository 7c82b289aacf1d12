"""`python -m bench roofline`: how far each kernel is from reading X once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.command.options import results_option
from bench.command.progress import announce
from bench.errors import InputError


@click.command(
    short_help="Time kernels beside reading their X once.",
    epilog="""\b
Examples:
  python -m bench roofline
  python -m bench roofline --case "1,000,000 x 54" --twice
  python -m bench roofline -p file:path=my.csv,target=label --dtype float32
  python -m bench roofline -k fused-cpu -k torch-autograd --rounds 11
""",
)
@click.option("--case", "cases", multiple=True, help="Cases whose name contains this.")
@click.option("-p", "--problem", "problems", multiple=True, help="Your data, such as file:path=...")
@click.option("-k", "--kernel", "kernels", multiple=True, help="Only these kernels.")
@click.option("-d", "--device", "devices", multiple=True, help="cpu, cuda, ... [default: all here]")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
    help="Of the problems that are named.",
)
@click.option(
    "--rounds", type=click.IntRange(min=3), default=21, show_default=True, help="Samples."
)
@click.option("--twice", is_flag=True, help="Measure all of it twice, and compare.")
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
    """Time kernels beside reading their X once, and say how near they are.

    Everything of a case takes turns in one run, so that ratios hold on a noisy machine; absolute
    times hold for this machine alone.
    """
    announce("importing torch, then timing kernels beside reading their X")

    from bench.cells.plan import devices_here
    from bench.command import text
    from bench.roofline.cases import chosen_cases
    from bench.roofline.measure import measure
    from bench.roofline.report import agreement, readable_verdicts, verdicts

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
        runs.append(measure(chosen, rounds, kernels, lambda case: click.echo(case, err=True)))
        written = write(runs[-1], folder, name)
    click.echo(text.machine_line(runs[-1].environment) + "\n")
    _print(written["entries"])
    for line in written["reasons"]:
        click.echo(f"not measured: {line}\n")
    asked = verdicts(runs[-1])
    if len(asked):
        _print(readable_verdicts(asked))
    if twice:
        both = agreement(*runs)
        _print(_readable_agreement(both))
        apart = int((~both["agree"]).sum()) if len(both) else 0
        click.echo(f"{len(both) - apart} of {len(both)} figures agree within their intervals.")
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
        reason = device_unavailable(device)
        if reason:
            raise InputError(f"{reason}: leave --device out for all that are here")
    for kernel in kernels:
        if kernel not in KERNELS or all(why_not_timed(kernel, device) for device in devices):
            check_kernel(kernel, devices[0])


def write(measured: Any, folder: Path, name: str = "roofline") -> dict[str, Any]:
    """Write raw samples, tables and the plot under a name; returns the tables for people."""
    from bench.command.figures import save_figure
    from bench.command.tables import write_table
    from bench.files.whole import write_whole
    from bench.roofline import report
    from bench.roofline.samples import as_json

    write_whole(folder / f"{name}.json", as_json(measured).encode())
    entries, asked = report.entries(measured), report.verdicts(measured)
    shown = report.readable_entries(entries)
    write_table(entries, shown, folder / "tables" / name)
    if len(asked):
        write_table(asked, report.readable_verdicts(asked), folder / "tables" / f"{name}_asked")
    save_figure(report.plot(measured), folder / "plots" / name)
    return {"entries": shown, "reasons": report.reasons(entries)}


def _readable_agreement(both: Any) -> Any:
    import pandas as pd

    rows = []
    for row in both.to_dict("records"):
        shown = {"case": row["case"], "kernel": row["entry"], "asked": row["asked"]}
        for run in ("first", "second"):
            middle, low, high = (row[f"{name}_{run}"] for name in ("measured", "low", "high"))
            shown[run] = f"{middle:.3g} [{low:.3g}-{high:.3g}]"
        rows.append({**shown, "agree": "yes" if row["agree"] else "no"})
    return pd.DataFrame(rows)


def _print(frame: Any) -> None:
    click.echo(frame.to_markdown(index=False, disable_numparse=True) + "\n")
