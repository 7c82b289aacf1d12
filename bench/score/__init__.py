"""From a trace and an optimum to a score, computed off the clock."""
