"""`python -m bench counters`: has the work of a run changed, in calls and reads of X?"""

from __future__ import annotations

from pathlib import Path

import click

from bench.command.line import EXIT_FAILED
from bench.command.options import append_summary, check_file, output_option, summary_option
from bench.command.progress import announce


@click.command(
    short_help="Count calls, passes and reads of X; compare exactly.",
    epilog="""\b
Examples:
  python -m bench counters --check
  python -m bench counters --check --summary "$GITHUB_STEP_SUMMARY"
  python -m bench counters --update
""",
)
@click.option(
    "--check", is_flag=True, help="Compare with the committed counters; exit 1 if any changed."
)
@click.option("--update", is_flag=True, help="Write the counters, and show what changed.")
@click.option(
    "--counters",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("results/counters.json"),
    show_default=True,
    help="File of the committed counters.",
)
@summary_option
@output_option("the fresh counters")
def counters(
    check: bool, update: bool, path: Path, summary: Path | None, output: Path | None
) -> int:
    """Count oracle calls, passes over X, line-search trials and reads of X; compare exactly.

    No time is measured, so there is no noise. The quick suite runs once on one thread. Each run
    ends after a fixed number of passes, or earlier. Its calls are counted up to each target and
    in total. On a CUDA device, kernel launches and synchronisations are counted as well.
    """
    if check == update:
        raise click.UsageError("give one of --check and --update")
    if update:
        check_file("--counters", path)
    announce("importing torch, then counting the quick suite's work")

    from bench.counters.count import count_pinned, keep_cuda
    from bench.counters.counters_file import as_json, changes, read_counters
    from bench.counters.report import markdown
    from bench.files.whole import write_whole

    committed = None if update and not path.exists() else read_counters(path)
    now = count_pinned(lambda what: click.echo(f"counting {what}", err=True))
    if output is not None:
        write_whole(output, as_json(now).encode())
    if committed is None:
        text = f"Counters: {len(now.runs)} runs counted, none were committed.\n"
    else:
        text = markdown(committed, now, str(path))
    click.echo(text, nl=False)
    append_summary(summary, f"## Counters\n\n{text}\n")
    if update:
        write_whole(path, as_json(keep_cuda(now, committed)).encode())
        click.echo(f"\nWritten: {path}")
        return 0
    assert committed is not None
    return EXIT_FAILED if changes(committed, now) else 0
