"""`python -m bench selfcheck timing`, `recorder` and `harness`: the harness checks itself."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from bench.command.line import EXIT_FAILED

# Spec and passes. A run takes 0.2 to 0.4 s on two cores, as long as those of the quick suite.
_RECORDER_RUNS = (("lbfgs", 150), ("adam:lr=0.1", 150), ("sgd:lr=0.1,batch_size=256", 20))
_MOST_RECORDER_COST = 0.02
_HARNESS_RUNS = (
    "lbfgs",
    "lbfgs:line_search=strong_wolfe",
    "scipy:method=l-bfgs-b",
    "scipy:method=newton-cg",
    "scipy:method=trust-ncg",
    "adam:lr=0.1",
    "momentum:lr=0.1",
    "sgd:lr=0.1,batch_size=256",
)
_MOST_HARNESS_COST = 1.15


@click.command(
    short_help="Is each step charged its own time on an asynchronous device?",
    epilog="""\b
Examples:
  python -m bench selfcheck timing
  python -m bench selfcheck timing --clock bare
""",
)
@click.option(
    "--clock",
    type=click.Choice(["events", "bare"]),
    default="events",
    show_default=True,
    help="events: as for CUDA. bare: time.perf_counter alone, which must fail.",
)
def timing(clock: str) -> int:
    """Is each step charged its own time on a device that works asynchronously?

    The device is a fake one: it returns at once, as a GPU does, and is done milliseconds later.
    """
    from bench.selfcheck.fake_async_device import check_timing

    found = check_timing(bare=clock == "bare")
    click.echo(
        f"{len(found.true_ms)} steps on a fake asynchronous device, charged by "
        f"{'time.perf_counter alone' if clock == 'bare' else 'events'}:\n"
    )
    click.echo("  step   the device took   charged")
    for step, (true, charged) in enumerate(zip(found.true_ms, found.charged_ms, strict=True), 1):
        if step <= 7 or step == len(found.true_ms):
            click.echo(f"  {step:>4}   {true:>12.3f} ms   {charged:>8.3f} ms")
    verdict = "right" if found.passed else "WRONG"
    click.echo(f"\nEach step's time is {verdict}: off by at most {found.worst:.1%}, 5% is allowed.")
    if clock == "events":
        click.echo("")
        _print_recorder_cost("synthetic:n=20000,d=100", "torch-autograd", rounds=6)
    return 0 if found.passed else EXIT_FAILED


@click.command(
    short_help="What recording costs a run; exit 1 if over 2%.",
    epilog="\b\nExample:\n  python -m bench selfcheck recorder -k numpy",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=4),
    default=20,
    show_default=True,
    help="Runs with the recorder, and as many without it.",
)
@click.option(
    "-p", "--problem", default="synthetic:n=20000,d=100", show_default=True, help="What is fitted."
)
@click.option("-k", "--kernel", default="torch-autograd", show_default=True, help="Such as numpy.")
def recorder(rounds: int, problem: str, kernel: str) -> int:
    """Measure what recording costs a run; exit 1 if over 2%.

    Runs with the recorder and runs without it take turns.
    """
    return 0 if _print_recorder_cost(problem, kernel, rounds) < _MOST_RECORDER_COST else EXIT_FAILED


@click.command(
    short_help="What a suite costs beyond its runs; exit 1 if over 15%.",
    epilog="\b\nExample:\n  python -m bench selfcheck harness -k numpy",
)
@click.option(
    "-p", "--problem", default="synthetic:n=20000,d=100", show_default=True, help="What is fitted."
)
@click.option("-k", "--kernel", default="torch-autograd", show_default=True, help="Such as numpy.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of seeds: 0, 1, ...",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="Time limit of a run.",
)
def harness(problem: str, kernel: str, seeds: int, seconds: float) -> int:
    """Measure what a suite costs beyond its runs; exit 1 if it takes over 1.15 times their time.

    The wall time is that of the whole suite in this process: loading the problem, proving its
    optimum, binding and verifying the kernel, warming up, running, scoring and writing records.
    """
    from bench.cells.definitions import Suite
    from bench.cells.run import run_suite
    from bench.measure.recorder import Budget

    suite = Suite(
        name="harness",
        problems=(problem,),
        optimizers=_HARNESS_RUNS,
        budget=Budget(passes=5_000, seconds=seconds),
        kernels=(kernel,),
        devices=("cpu",),
        seeds=seeds,
        kernel_samples=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        results = run_suite(suite, Path(folder))
        wall_s = time.perf_counter() - start
    scores = results.scores()
    own_s = float(scores["spent_s"].sum())
    for name, rows in scores.groupby("optimizer", sort=False):
        click.echo(f"  {name!s:<32} {len(rows)} runs, {rows['spent_s'].sum():6.2f} s of their own")
    click.echo(
        f"\n{wall_s:.2f} s of wall time for {own_s:.2f} s of optimizers' own: "
        f"{wall_s / own_s:.3f}, held to {_MOST_HARNESS_COST}"
    )
    return 0 if wall_s / own_s <= _MOST_HARNESS_COST else EXIT_FAILED


def _print_recorder_cost(problem: str, kernel: str, rounds: int) -> float:
    """Print the cost for each run; returns the largest share of a run inside the recorder."""
    from bench.cells.plan import check_kernel
    from bench.optimizers import make_reporting_optimizer
    from bench.problems import load_problem
    from bench.selfcheck.recorder_cost import recorder_cost

    data = load_problem(problem)
    check_kernel(kernel, "cpu")
    click.echo(f"The recorder's cost on {problem}, {kernel}, {rounds} rounds in ABBA order:\n")
    worst = 0.0
    for spec, passes in _RECORDER_RUNS:
        cost = recorder_cost(
            data, kernel, make_reporting_optimizer(spec), passes=passes, rounds=rounds
        )
        worst = max(worst, cost.inside_fraction)
        click.echo(
            f"  {spec:<26} {cost.steps:>4} steps, {cost.snapshots:>3} snapshots: "
            f"{cost.ratio - 1:+.2%} of the run's time "
            f"[{cost.low - 1:+.2%}, {cost.high - 1:+.2%}]; inside the recorder "
            f"{cost.inside_fraction:.2%}"
        )
    click.echo(
        "\nThe first figure is the median ratio of paired runs with its 95% interval, which holds "
        f"the machine's noise.\nThe time inside the recorder, {worst:.2%}, may be 2% at most."
    )
    return worst
