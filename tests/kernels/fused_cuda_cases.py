"""What the tests of `fused-cuda` share: its variants, and how near it must be to the reference.

Without a CUDA device it runs through Triton's interpreter, and is compiled ahead of time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from variants import VARIANTS, Variant, each, to_numpy

FUSED = [v for v in VARIANTS if v.kernel == "fused-cuda"]
each_fused = each(FUSED)
each_fused_float64 = each([v for v in FUSED if v.dtype == "float64"])


def with_programs(variant: Variant, case: Any, max_programs: int) -> Any:
    """An objective of as many partial sums at most, with l2 = 0.1."""
    objective: Any = variant.bind(case.X, case.y, l2=0.1)
    return replace(objective, max_programs=max_programs)


def assert_near(got: Any, expected: Any, rtol: float) -> None:
    """To rtol of the largest entry."""
    expected = to_numpy(expected)
    atol = rtol * float(np.abs(expected).max())
    np.testing.assert_allclose(to_numpy(got), expected, rtol=0, atol=atol)


def assert_close(got: Any, expected: Any, rtol: float) -> None:
    """Values, one or one a model, to rtol each; gradients to rtol of their largest entry."""
    (values, grad), (expected_values, expected_grad) = got, expected
    np.testing.assert_allclose(to_numpy(values), to_numpy(expected_values), rtol=rtol)
    assert_near(grad, expected_grad, rtol)


@contextlib.contextmanager
def new_memory_is_nan() -> Iterator[None]:
    """What is read before it is written shows: torch fills new memory."""
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(False)
