"""The process of one side: started in its own tree, asked for one thing at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.compare.comparison import Cell
from bench.compare.units import NotTimed
from bench.errors import InputError
from bench.git import without_hook

_WORKER = Path(__file__).with_name("worker.py")

# Setting a cell up may compile its kernel; a block lasts milliseconds, or as long as one call.
_TIMEOUT_S = 300.0

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)

# Loaded before the first request, so that both sides do it at the same time.
_LOADED_FIRST = (
    "torch._dynamo",  # which optimizers of torch load when they are first made
    "bench.measure.cell",
    "bench.optimizers",
    "bench.problems",
    "logreg_kernels.fused_cpu.kernel.binary",  # and with it Numba
)


class SideProcess:
    """A process that times cells of one tree; see `worker.py` for what it answers.

    Args:
        tree: a checkout; modules are imported from there, files of cells lie there.
        cpus: numbers of the processors that it is pinned to; empty where that can't be done.
        threads: of every library.
        suite: whether cells are those of our suites, so that what these need is loaded at once;
            the user's cells find their files from the root of their tree, as they would in CI.
    Raises:
        InputError: on Windows.
    """

    def __init__(
        self, tree: Path, cpus: tuple[int, ...], threads: int, *, suite: bool = True
    ) -> None:
        if os.name == "nt":  # neither a wait for a pipe with a time limit, nor process groups
            raise InputError("commits can't be compared on Windows: use WSL, Linux or macOS")
        environment = {
            **without_hook(os.environ),
            **dict.fromkeys(_THREADS, str(threads)),
            "BENCH_TREE": str(tree),
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(tree), str(tree / "src"), os.environ.get("PYTHONPATH")))
            ),
            "PYTHONHASHSEED": "0",
            # torch.compile's processes would start beside what is timed.
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
        }
        modules = _LOADED_FIRST if suite else ()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), ",".join(map(str, cpus)), str(threads), *modules],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=None if suite else tree,
            start_new_session=True,
        )
        self._forked, self._said = False, 0
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None  # it was asked for
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def fork(self) -> None:
        """Go on in a child that has what was loaded at the start, and nothing of earlier cells."""
        if self._forked and self._ask(ask="leave")["ended"]:
            self._kill()  # the child had ended before, and what was asked is still to be answered
            raise NotTimed("ended", "its process ended between two cells")
        self._forked = False
        self._ask(ask="fork")
        self._forked = True

    def environment(self) -> Mapping[str, Any]:
        """Where `bench` was imported from ("tree"), and the environment that it sees."""
        return self._ask(ask="environment")

    def names(self, file: str) -> list[str]:
        """The cells of a file of cells."""
        return list(self._ask(ask="names", file=file)["names"])

    def open(
        self, cell: Cell, work: Mapping[str, float] | None = None, slow_down: float = 0.0
    ) -> Mapping[str, float]:
        """Set a cell up and warm it; returns the work of a block, found here where not given.

        Args:
            slow_down: passes over X that take this fraction of its time are planted into it.
        Raises:
            NotTimed: it can't be timed here; as do all methods.
        """
        self._begin(cell, work, slow_down, pinned=True)
        return self.end_opening()

    def begin_opening(self, cell: Cell, work: Mapping[str, float], slow_down: float = 0.0) -> None:
        """Let a cell be set up on any processor, while others do the like; see `open`."""
        self._begin(cell, work, slow_down, pinned=False)

    def end_opening(self) -> Mapping[str, float]:
        """Wait for what was begun; from here on the process is pinned again."""
        return dict(self._answer()["work"])

    def block_s(self) -> float:
        """Seconds of one unit of the open cell's work: the mean over a block."""
        return float(self._ask(ask="block")["seconds"])

    def close(self) -> None:
        """End the process."""
        self._selector.close()
        self._kill()
        self._errors.close()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None  # both were asked for
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _begin(
        self, cell: Cell, work: Mapping[str, float] | None, slow_down: float, *, pinned: bool
    ) -> None:
        self._said = os.fstat(self._errors.fileno()).st_size
        spec = dataclasses.asdict(cell)
        self._send(ask="open", cell=spec, work=work, slow_down=slow_down, pinned=pinned)

    def _ask(self, **request: Any) -> Mapping[str, Any]:
        self._send(**request)
        return self._answer(leaving=request["ask"] == "leave")

    def _send(self, **request: Any) -> None:
        assert self._process.stdin is not None  # it was asked for
        with contextlib.suppress(BrokenPipeError):  # it has ended: there will be no answer
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def _answer(self, *, leaving: bool = False) -> Mapping[str, Any]:
        assert self._process.stdout is not None  # it was asked for
        if not self._selector.select(_TIMEOUT_S):
            self._kill()
            raise NotTimed("ended", f"no answer within {_TIMEOUT_S:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise NotTimed("ended", f"its process ended: {self._ending(self._process.wait())}")
        reply: dict[str, Any] = json.loads(line)
        if "ended" in reply and not leaving:
            self._kill()  # what it may have read of the next request is not to be answered
            raise NotTimed("ended", f"its process ended: {self._ending(reply['ended'])}")
        if "reason" in reply:
            raise NotTimed(reply["status"], reply["reason"])
        return reply

    def _kill(self) -> None:
        """End the process with all that its cells started, and wait until it is gone."""
        # PermissionError: of a group that has ended, on macOS.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _ending(self, code: int) -> str:
        self._errors.seek(self._said)
        said = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join([f"signal {-code}" if code < 0 else f"exit code {code}", *said])

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None


def pinned_cpus(threads: int) -> tuple[int, ...]:
    """The last processors of those that are usable, one a thread; none where pinning can't be.

    The last ones, since what else runs on a machine tends to be on the first.

    Raises:
        InputError: there are fewer processors than threads.
    """
    can_pin = hasattr(os, "sched_getaffinity")
    usable = sorted(os.sched_getaffinity(0)) if can_pin else range(os.cpu_count() or 1)
    if threads > len(usable):
        raise InputError(
            f"--threads {threads}: this process may use {len(usable)} processors; ask for as many "
            "or fewer"
        )
    return tuple(usable[-threads:]) if can_pin else ()
