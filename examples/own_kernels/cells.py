"""What `python -m bench compare --cells examples/own_kernels/cells.py` times: our own kernel.

Each side of a comparison imports this file, and what it imports, from its own commit. A file whose
code must be compiled first also says how: BUILD = "python setup.py build_ext --inplace".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray


def softplus(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(1 + exp(z)), finite at any finite z: max(z, 0) + log1p(exp(-|z|))."""
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def cells() -> Mapping[str, Callable[[], Callable[[], object]]]:
    """For each name, a function that sets up what to time, and returns the call."""

    def setup() -> Callable[[], object]:
        # This is off the clock: data, transfer, compilation, and a check of the answer.
        z = np.random.default_rng(0).normal(scale=10, size=100_000)
        if not np.allclose(softplus(z), np.logaddexp(0, z)):
            raise ValueError("softplus is wrong")
        return lambda: softplus(z)

    return {"softplus of 100,000": setup}
