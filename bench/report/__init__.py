"""Reads records; writes tables, plots and a page. Never measures, never imports torch."""

from bench.report.write import Report, write_report

__all__ = ["Report", "write_report"]
