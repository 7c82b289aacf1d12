"""Reads records; writes tables, plots and a page. Never measures, never imports torch."""
