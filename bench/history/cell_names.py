"""What a cell is called where several stand in one table or plot."""

from __future__ import annotations

from collections.abc import Iterable

from bench.history.entries import Entry


def plain_cell(entry: Entry) -> str:
    """ "iris · lbfgs · numpy cpu float64"; without the optimizer for a kernel's own time."""
    way = f"{entry.kernel} {entry.device} {entry.dtype}"
    return " · ".join(filter(None, [entry.problem, entry.optimizer, way]))


def cell_names(entries: Iterable[Entry], *, always_how: bool = False) -> dict[tuple[str, ...], str]:
    """A name for each series of the entries; two of one machine and measure never share one.

    Args:
        always_how: say how a kernel was timed also where there is one of the name alone, so that
            the name stays what it is when another comes; else only what tells two apart.
    """
    alike: dict[tuple[str, ...], dict[tuple[str, ...], Entry]] = {}
    for entry in entries:
        place = (entry.machine, entry.measure, plain_cell(entry))
        alike.setdefault(place, {})[entry.series] = entry
    names = {}
    for (_, _, name), group in alike.items():
        notes = {series: _notes(entry) for series, entry in group.items()}
        columns = list(zip(*notes.values(), strict=True))
        told = {k for k, column in enumerate(columns) if len(set(column)) > 1}
        for series, note in notes.items():
            always = {0, 1} if always_how and not group[series].optimizer else set()
            more = ", ".join(note[k] for k in sorted(told | always))
            names[series] = f"{name} ({more})" if more else name
    return names


def _notes(entry: Entry) -> tuple[str, ...]:
    """What two entries of one name can differ in."""
    alone = entry.timed_beside == entry.kernel
    return (
        "alone" if alone else f"beside {entry.timed_beside}",
        f"by {entry.timed_by}",
        f"{entry.configuration.get('threads')} threads",
        f"data {entry.data}",
        f"at most {entry.budget}",
    )
