"""What a cell is called where several stand in one table or plot."""

from __future__ import annotations

from collections.abc import Iterable

from bench.history.store import Measurement


def plain_cell(one: Measurement) -> str:
    """ "iris · lbfgs · numpy cpu float64"; without the optimizer for a kernel's own time."""
    objective = f"{one.kernel} {one.device} {one.dtype}"
    return " · ".join(filter(None, [one.problem, one.optimizer, objective]))


def cell_names(
    measurements: Iterable[Measurement], *, always_timing: bool = False
) -> dict[tuple[str, ...], str]:
    """A name for each series of the measurements; two of one machine and measure never share one.

    Args:
        always_timing: whether the name of a kernel always says how it was timed, so that it stays
            the same when another series comes. Otherwise it says only what tells it from others.
    """
    alike: dict[tuple[str, ...], dict[tuple[str, ...], Measurement]] = {}
    for one in measurements:
        alike.setdefault((one.machine, one.measure, plain_cell(one)), {})[one.series_key] = one
    names = {}
    for (_, _, name), group in alike.items():
        notes = {key: _notes(one) for key, one in group.items()}
        columns = list(zip(*notes.values(), strict=True))
        told = {k for k, column in enumerate(columns) if len(set(column)) > 1}
        for key, note in notes.items():
            always = {0, 1} if always_timing and not group[key].optimizer else set()
            more = ", ".join(note[k] for k in sorted(told | always))
            names[key] = f"{name} ({more})" if more else name
    return names


def _notes(one: Measurement) -> tuple[str, ...]:
    """What two series of one name can differ in."""
    alone = one.timed_beside == one.kernel
    return (
        "alone" if alone else f"beside {one.timed_beside}",
        f"by {one.timed_by}",
        f"{one.configuration.get('threads')} threads",
        f"data {one.data}",
        f"at most {one.budget}",
    )
