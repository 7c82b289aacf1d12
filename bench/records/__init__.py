"""Records: one immutable row a cell, kept as JSON lines, and their views as data frames."""

from bench.records.record import SCHEMA_VERSION, Record, RecordStore, digest, latest
from bench.records.score import COLUMNS, CURVE_COLUMNS, TARGETS, Score

__all__ = [
    "COLUMNS",
    "CURVE_COLUMNS",
    "SCHEMA_VERSION",
    "TARGETS",
    "Record",
    "RecordStore",
    "Score",
    "digest",
    "latest",
]
