"""The process of one side: it runs in its own worktree, and answers one request at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
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
        tree: a worktree. Modules and files of own cells are taken from there.
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
        assert self._process.stdin is not None  # both were asked for
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout
        self._forked, self._errors_begin = False, 0

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def ask(self, what: str, **fields: Any) -> Mapping[str, Any]:
        """The reply to one of the requests in `worker.py`.

        Raises:
            NotTimed: it can't be done here. The other methods raise this, too.
        """
        self._send(what, **fields)
        return self._reply(leaving=what == "leave")

    def fork(self) -> None:
        """Go on in a child that has what was loaded at the start, and nothing of earlier cells."""
        if self._forked and self.ask("leave")["ended"]:
            self._kill()  # the child had ended before: the parent would still answer the request
            raise NotTimed("ended", "its process ended between two cells")
        self._forked = False
        self.ask("fork")
        self._forked = True

    def begin_preparing(
        self, cell: Cell, work: Mapping[str, float], slow_down: float = 0.0, *, pinned: bool = True
    ) -> None:
        """Start to set a cell up and to warm it; `wait_prepared` ends this.

        Args:
            work: of a block, as another process found it; what it lacks is found here.
            slow_down: reads of X that take this fraction of its time are injected into it.
            pinned: False to prepare on any processor, beside the other side.
        """
        self._errors_begin = os.fstat(self._errors.fileno()).st_size
        fields = dataclasses.asdict(cell)
        self._send("prepare", cell=fields, work=work, slow_down=slow_down, pinned=pinned)

    def wait_prepared(self) -> Mapping[str, float]:
        """Wait for `begin_preparing`; returns the work of a block."""
        return dict(self._reply()["work"])

    def block_s(self) -> float:
        """Mean seconds of one call of the prepared cell, over a block."""
        return float(self.ask("block")["seconds"])

    def close(self) -> None:
        """End the process."""
        self._kill()
        for file in (self._errors, self._replies, self._requests):
            with contextlib.suppress(BrokenPipeError):
                file.close()

    def _send(self, what: str, **fields: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended: `_reply` will tell
            self._requests.write(json.dumps({"ask": what, **fields}).encode() + b"\n")
            self._requests.flush()

    def _reply(self, *, leaving: bool = False) -> Mapping[str, Any]:
        if not select.select([self._replies], [], [], _TIMEOUT_S)[0]:
            self._kill()
            raise NotTimed("ended", f"no answer within {_TIMEOUT_S:g} s")
        line = self._replies.readline()
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


def last_cpu() -> int | None:
    """The last processor that this process may use; None where a process can't be pinned."""
    # Other processes of a machine tend to be on the first.
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
