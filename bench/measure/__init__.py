"""Run one cell: clock, recorder, environment, and the check of a kernel before it is timed."""
