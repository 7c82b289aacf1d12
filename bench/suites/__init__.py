"""The suites of `pytest --benchmark-only`, their fixtures, and the gate `--bench-gate`."""
