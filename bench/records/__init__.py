"""Records: one immutable row a cell, kept as JSON lines, and their views as data frames."""

from bench.records.record import (
    CURVE_COLUMNS,
    SCHEMA_VERSION,
    TARGETS,
    Record,
    RecordStore,
    digest,
    latest,
)

__all__ = [
    "CURVE_COLUMNS",
    "SCHEMA_VERSION",
    "TARGETS",
    "Record",
    "RecordStore",
    "digest",
    "latest",
]
