"""Optimum, targets, quality: what a trace is worth, computed off the clock."""
