"""Device code of `fused-cuda`: the Triton kernels, and nothing that runs on the host.

Each `*_partials` leaves one partial sum per program, and `reduce_partials` adds them up. Every sum
has a fixed order, and there are no atomics: two runs on the same device agree to the last bit.
"""

import triton

from logreg_kernels.fused_cuda.device.binary import batch_partials, nll_and_grad_partials
from logreg_kernels.fused_cuda.device.hessian import (
    curvatures,
    gram_partials,
    hvp_partials,
    softmax_hvp_partials,
)
from logreg_kernels.fused_cuda.device.reduction import reduce_partials
from logreg_kernels.fused_cuda.device.softmax import softmax_partials

INTERPRETED: bool = bool(triton.knobs.runtime.interpret)
"""Whether these are interpreted functions: TRITON_INTERPRET at import time."""

__all__ = [
    "INTERPRETED",
    "batch_partials",
    "curvatures",
    "gram_partials",
    "hvp_partials",
    "nll_and_grad_partials",
    "reduce_partials",
    "softmax_hvp_partials",
    "softmax_partials",
]
