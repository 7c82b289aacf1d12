"""The process of one side: it runs in its own worktree, and answers one request at a time."""

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
from bench.compare.workloads import NotTimed
from bench.errors import InputError
from bench.git import without_hook

_WORKER = Path(__file__).with_name("worker.py")

# Preparing a cell may compile its kernel. A block lasts milliseconds, or as long as one call.
_TIMEOUT_S = 300.0

# With one thread no library waits for a processor that something else has taken.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)

# Loaded before the first request, so that both sides do it at the same time. A side passes over the
# names that its commit lacks.
_PRELOADED = (
    "torch._dynamo",  # torch loads it when an optimizer is first made
    "bench.measure.cell",
    "bench.optimizers",
    "bench.problems",
    # Both load Numba; the second one is the name in older commits.
    "logreg_kernels.fused_cpu.objective",
    "logreg_kernels.fused_cpu_binary",
)


class SideProcess:
    """A process that times cells of one worktree; see `worker.py` for what it answers.

    Args:
        tree: a worktree. Modules are imported from there, and files of own cells lie there.
        cpu: number of the processor that it is pinned to; None where that can't be done.
        suite: whether cells are those of our suites, whose modules are then loaded at once. Cells
            of the user's own run at the root of their worktree, as they would in CI.
    Raises:
        InputError: on Windows.
    """

    def __init__(self, tree: Path, cpu: int | None, *, suite: bool = True) -> None:
        if os.name == "nt":  # neither a wait for a pipe with a time limit, nor process groups
            raise InputError("commits can't be compared on Windows: use WSL, Linux or macOS")
        environment = {
            **without_hook(os.environ),
            **dict.fromkeys(_THREAD_VARIABLES, "1"),
            "BENCH_TREE": str(tree),
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(tree), str(tree / "src"), os.environ.get("PYTHONPATH")))
            ),
            "PYTHONHASHSEED": "0",
            # The compiling processes of torch would run beside what is timed.
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
        }
        pinned_to = "" if cpu is None else str(cpu)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), pinned_to, *(_PRELOADED if suite else ())],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=None if suite else tree,
            start_new_session=True,
        )
        self._forked, self._errors_begin = False, 0
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None  # it was asked for
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def fork(self) -> None:
        """Go on in a child that has what was loaded at the start, and nothing of earlier cells."""
        if self._forked and self._ask(ask="leave")["ended"]:
            self._kill()  # the child had ended before: the parent would still answer the request
            raise NotTimed("ended", "its process ended between two cells")
        self._forked = False
        self._ask(ask="fork")
        self._forked = True

    def environment(self) -> Mapping[str, Any]:
        """Where `bench` was imported from ("tree"), and what machine and versions it sees."""
        return self._ask(ask="environment")

    def names(self, file: str) -> list[str]:
        """The names of the cells in a file."""
        return list(self._ask(ask="names", file=file)["names"])

    def prepare(
        self, cell: Cell, work: Mapping[str, float] | None = None, slow_down: float = 0.0
    ) -> Mapping[str, float]:
        """Set a cell up and warm it; returns the work of a block, found here where not given.

        Args:
            slow_down: reads of X that take this fraction of its time are injected into it.
        Raises:
            NotTimed: it can't be timed here. All methods raise this.
        """
        self._begin(cell, work, slow_down, pinned=True)
        return self.wait_prepared()

    def begin_preparing(
        self, cell: Cell, work: Mapping[str, float], slow_down: float = 0.0
    ) -> None:
        """Start to prepare a cell on any processor, beside the other side; see `prepare`."""
        self._begin(cell, work, slow_down, pinned=False)

    def wait_prepared(self) -> Mapping[str, float]:
        """Wait for `begin_preparing`. The process is pinned again afterwards."""
        return dict(self._answer()["work"])

    def block_s(self) -> float:
        """Mean seconds of one call of the prepared cell, over a block."""
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
        self._errors_begin = os.fstat(self._errors.fileno()).st_size
        fields = dataclasses.asdict(cell)
        self._send(ask="prepare", cell=fields, work=work, slow_down=slow_down, pinned=pinned)

    def _ask(self, **request: Any) -> Mapping[str, Any]:
        self._send(**request)
        return self._answer(leaving=request["ask"] == "leave")

    def _send(self, **request: Any) -> None:
        assert self._process.stdin is not None  # it was asked for
        with contextlib.suppress(BrokenPipeError):  # it has ended: `_answer` will tell
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
            self._kill()  # the child may have read part of a later request
            raise NotTimed("ended", f"its process ended: {self._ending(reply['ended'])}")
        if "reason" in reply:
            raise NotTimed(reply["status"], reply["reason"])
        return reply

    def _kill(self) -> None:
        """End the process with all that its cells started, and wait until it is gone."""
        # PermissionError: what macOS says of a group that has ended.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _ending(self, code: int) -> str:
        self._errors.seek(self._errors_begin)
        last_words = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join([f"signal {-code}" if code < 0 else f"exit code {code}", *last_words])

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None


def last_cpu() -> int | None:
    """The last processor that this process may use; None where a process can't be pinned.

    The last one, since other processes of a machine tend to be on the first.
    """
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
