"""Suites: what is run, how it is planned and resumed, and the pytest-benchmark files."""
