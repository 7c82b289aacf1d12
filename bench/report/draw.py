"""Draw the plots of a report, half of them in a second process where there are many."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from bench.command.figures import plot_style, save_figure
from bench.report.plots import Plot

Draw: TypeAlias = Callable[[Sequence[Plot], Path], None]
"""Writes the files of plots into a folder."""


def draw(plots: Sequence[Plot], folder: Path) -> None:
    """Draw the plots in this process."""
    with plot_style():
        for plot in plots:
            save_figure(plot.draw(), folder / plot.name)


@contextmanager
def second_process() -> Iterator[Draw]:
    """What draws every other plot in a second process, which imports its libraries meanwhile.

    Should that process fail, this one draws its plots, too. It is not forked from this one, whose
    libraries may have started threads.
    """
    command = [sys.executable, "-P", "-m", "bench.report.draw"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:

        def draw_beside(plots: Sequence[Plot], folder: Path) -> None:
            assert process.stdin is not None
            try:
                with process.stdin as stdin:
                    pickle.dump((plots[::2], folder), stdin)
            except OSError:  # it has ended
                process.kill()
            draw(plots[1::2], folder)
            if process.wait() != 0:
                draw(plots[::2], folder)

        try:
            yield draw_beside
        finally:
            process.kill()


if __name__ == "__main__":
    draw(*pickle.load(sys.stdin.buffer))
