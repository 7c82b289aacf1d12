"""What changed between two sets of counters, for people who did not write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from bench.command.text import in_a_table, listing
from bench.counters.counters_file import (
    CELL,
    CUDA,
    END,
    READS,
    RUNS,
    SETTINGS,
    Change,
    Counters,
    changes,
    other_versions,
)

_SECTIONS = {
    RUNS: "{} runs",
    READS: "reads of X by {} kernels and layouts",
    CUDA: "{} calls of the CUDA device",
}
_WORDS = {"oracle_calls": "oracle calls", "passes": "passes over X", "trials": "trials"}
_MOST_NAMES = 3


def verdict(committed: Counters, now: Counters) -> str:
    """One line: what changed, of how many, and in which optimizers or kernels."""
    changed = changes(committed, now)
    same, moved = [], []
    for section, words in _SECTIONS.items():
        here = [c for c in changed if c.section == section]
        total = len({*getattr(committed, section), *getattr(now, section)})
        if here:
            whose = listing(list(dict.fromkeys(_whose(c) for c in here)))
            moved.append(words.format(f"{len({c.cell for c in here})} of {total}") + f" ({whose})")
        elif total and (section != CUDA or (committed.cuda and now.cuda)):
            same.append(words.format(total))
    settings = [c.counter for c in changed if c.section == SETTINGS]
    moved += [f"the settings ({', '.join(settings)})"] if settings else []
    if moved:
        return f"Counters: changed: {'; '.join(moved)}."
    return f"Counters: the same: {listing(same)}."


def table(changed: Sequence[Change]) -> pd.DataFrame:
    """A row for each probable cause: one counter of an optimizer, or one call of a kernel.

    A row shows the numbers of its largest change. `where` names that change and counts those like
    it. Passes and steps are left out where they equal the calls.
    """
    calls = {(c.cell, c.at): (c.committed, c.now) for c in changed if c.counter == "oracle_calls"}
    groups: dict[tuple[str, ...], list[Change]] = {}
    for change in changed:
        numbers = (change.committed, change.now)
        cause = [change.section, _whose(change), change.counter]
        if change.section != RUNS:
            cause += map(str, numbers)
        repeats = change.counter in ("passes", "steps") and (
            calls.get((change.cell, change.at or END)) == numbers
        )
        if not repeats:
            groups.setdefault(tuple(cause), []).append(change)
    return pd.DataFrame([_row(group) for group in groups.values()]).map(in_a_table)


def markdown(committed: Counters, now: Counters, path: str) -> str:
    """The verdict, and below it what changed and what to do about it.

    Args:
        path: the committed file, which the advice names.
    """
    changed = changes(committed, now)
    lines = [verdict(committed, now)]
    if changed:
        shown = table(changed).to_markdown(index=False, disable_numparse=True)
        lines += [
            shown,
            "If this is meant: `python -m bench counters --update`, and commit "
            f"`{path}`. If not: the commit does more, or less, work than before.",
        ]
        if others := other_versions(committed, now):
            lines.append(
                f"It may be the environment rather than the code: counted with {'; '.join(others)}."
            )
    if now.cuda and not committed.cuda:
        lines.append(
            "CUDA calls were counted here, and none are committed: --update would add them."
        )
    elif not now.cuda:
        kept = ", the committed numbers stand" if committed.cuda else ""
        lines.append(f"CUDA: not counted: {now.not_counted.get(CUDA, 'left out')}{kept}.")
    return "\n\n".join(lines) + "\n"


def _whose(change: Change) -> str:
    """What may be the cause: the optimizer of a run, the kernel of a call."""
    return change.cell[1 if change.section == RUNS else 0]


def _row(group: Sequence[Change]) -> dict[str, str]:
    # Any number is larger than the difference of a miss.
    sizes = [-1.0 if change.difference is None else abs(change.difference) for change in group]
    largest = group[sizes.index(max(sizes))]
    difference = largest.difference
    return {
        "what": _whose(largest),
        "counter": _counter(largest),
        "committed": _number(largest, largest.committed),
        "now": _number(largest, largest.now),
        "difference": "" if difference is None else f"{difference:+.6g}",
        "allowed": str(largest.allowed),
        "where": _where(largest, group),
    }


def _where(largest: Change, group: Sequence[Change]) -> str:
    """The cell of the numbers, and the cells that changed alike."""
    if largest.section == SETTINGS:
        return ""
    if largest.section != RUNS:
        return "; ".join(", ".join(c.cell[1:]) for c in group)
    cells = {c.cell for c in group}
    here = f"{largest.cell[0]}, {largest.cell[2]}"
    if len(cells) == 1:
        return here if len(group) == 1 else f"{here}; at {len(group)} targets"
    problems, kernels = _names(c.cell[0] for c in group), _names(c.cell[2] for c in group)
    numbers = f"; {len(group)} numbers" if len(group) > len(cells) else ""
    return f"{here}; up to this in {len(cells)} runs: {problems} with {kernels}{numbers}"


def _names(all_names: Iterable[str]) -> str:
    names = list(dict.fromkeys(all_names))
    if len(names) <= _MOST_NAMES:
        return listing(names)
    return f"{', '.join(names[:_MOST_NAMES])} and {len(names) - _MOST_NAMES} more"


def _counter(change: Change) -> str:
    if change.counter == CELL:
        return "run" if change.section == RUNS else "cell"
    if change.section == READS:
        return f"reads of X by {change.counter}"
    word = _WORDS.get(change.counter, change.counter)
    if not change.at:
        return word
    return f"{word} in total" if change.at == END else f"{word} to {change.at}"


def _number(change: Change, value: Any) -> str:
    if change.counter == CELL:
        return "there" if value is not None else "not there"
    if value is None:
        return "missed" if change.at and change.at != END else "not there"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
