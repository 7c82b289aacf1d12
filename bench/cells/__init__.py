"""Cells: which ones a suite has, running them, and keeping their records."""
