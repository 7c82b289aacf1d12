"""Records as data frames: what `bench.run` returns and what the report reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from bench.records import COLUMNS, CURVE_COLUMNS, Record

CELL = ["problem", "kernel", "optimizer", "device", "dtype", "seed", "repetition"]


@dataclass(frozen=True)
class Results:
    """Records, and data frames made of them."""

    records: tuple[Record, ...]

    def scores(self) -> pd.DataFrame:
        """One row a cell: `CELL`, `sampling`, `status`, `message`, and the numbers of `COLUMNS`.

        A number is missing where a target was missed, or where it does not apply.
        """
        texts = ("sampling", "status", "message")
        rows = [
            _cell(record)
            | {name: getattr(record, name) for name in texts}
            | {name: record.score.get(name) for name in COLUMNS}
            for record in self._of("convergence")
        ]
        return _numeric(pd.DataFrame(rows, columns=[*CELL, *texts, *COLUMNS]), COLUMNS)

    def curves(self) -> pd.DataFrame:
        """One row a snapshot: `CELL`, `sampling`, and the columns of `Curve`."""
        rows = [
            _cell(record)
            | {"sampling": record.sampling}
            | dict(zip(CURVE_COLUMNS, values, strict=True))
            for record in self._of("convergence")
            if record.samples
            for values in zip(*(record.samples[name] for name in CURVE_COLUMNS), strict=True)
        ]
        return _numeric(
            pd.DataFrame(rows, columns=[*CELL, "sampling", *CURVE_COLUMNS]), CURVE_COLUMNS
        )

    def kernel_times(self) -> pd.DataFrame:
        """One row a sample: seconds per call of a kernel's `value_and_grad`.

        `timed_beside` names the kernels that took turns with it.
        """
        names = ["problem", "kernel", "device", "dtype"]
        rows = [
            {name: getattr(record, name) for name in names}
            | {"timed_beside": record.score["timed_beside"], "sample": sample}
            | {"seconds_per_call": seconds}
            for record in self._of("kernel")
            for sample, seconds in enumerate(record.samples.get("seconds_per_call", []))
        ]
        return pd.DataFrame(rows, columns=[*names, "timed_beside", "sample", "seconds_per_call"])

    def problems(self) -> pd.DataFrame:
        """One row a problem: its size, and its optimum with the proof."""
        size = ("n_samples", "n_features", "n_classes", "l2")
        names = [*size, "f_star", "gap_bound", "exists", "reason"]
        facts = {record.problem: record.problem_facts for record in self.records}
        rows = [{"problem": name} | {k: fact.get(k) for k in names} for name, fact in facts.items()]
        frame = pd.DataFrame(rows, columns=["problem", *names])
        return frame.astype({"exists": object})  # True, False or None, never NumPy's own bool

    def _of(self, kind: str) -> Iterable[Record]:
        return (record for record in self.records if record.kind == kind)


def _numeric(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The columns as numbers, also where there are no rows or no numbers."""
    as_numbers = {name: pd.to_numeric(frame[name]).astype(float) for name in columns}
    as_integers = {name: frame[name].astype(int) for name in ("seed", "repetition")}
    return frame.assign(**as_integers, **as_numbers)


def _cell(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in CELL}
