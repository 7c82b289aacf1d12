"""Tracking in CI: paired comparison of commits, counters, and history."""
