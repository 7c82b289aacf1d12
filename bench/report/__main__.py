"""`python -m bench.report`, the same as `python -m bench report`."""

from bench.command.line import main
from bench.report.command import report

if __name__ == "__main__":
    main(report, "python -m bench.report")
