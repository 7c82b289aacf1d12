"""Settings of every test session."""

from __future__ import annotations

import os

import pytest
from hypothesis import Phase, settings
from threadpoolctl import threadpool_limits

# No deadline: the first call of a kernel compiles, and Triton's interpreter is slow. In CI the
# same examples every time, so that a failure there belongs to the change under test.
# No phase "explain": it traces every line, and an interpreted kernel then takes minutes to fail.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
settings.register_profile("exploring", deadline=None, phases=PHASES)
settings.register_profile("deterministic", deadline=None, phases=PHASES, derandomize=True)
settings.load_profile("deterministic" if os.environ.get("CI") else "exploring")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Nothing here is a benchmark, and to collect it takes ten seconds."""
    return True if config.getoption("benchmark_only", default=False) else None


def pytest_configure(config: pytest.Config) -> None:
    """One thread, and without a CUDA device the CUDA kernels in Triton's interpreter."""
    if config.getoption("benchmark_only", default=False):
        return  # an interpreted kernel must never be timed
    import torch

    # Tests run tiny problems, on which a second thread gains nothing, and costs a hundredfold
    # where another process has the core that it waits for.
    torch.set_num_threads(1)
    threadpool_limits(1)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"  # for the processes that tests start
    if not torch.cuda.is_available():
        # Triton reads this where a kernel is decorated, so before logreg_kernels is imported:
        # by the test modules, which pytest collects later.
        os.environ.setdefault("TRITON_INTERPRET", "1")
