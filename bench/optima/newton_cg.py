"""Newton's steps by products with the Hessian alone, where it is too large to be formed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating[Any]]

_MOST_PRODUCTS = 10_000


def newton_cg_step(product: Callable[[Vector], Vector], grad: Vector) -> tuple[Vector, float]:
    """s with H s = g, about, by conjugate gradients; and nu^2 = g . s.

    They end where the residual is below min(0.1, sqrt(||g||)) ||g||, so that the outer steps
    converge faster than linearly, or after 10,000 products. Any number of them gives a
    direction in which f falls, as long as H is positive definite: here it is at least l2 I.

    Args:
        product: v -> H v.  grad: g, of any shape.
    Source: Nocedal and Wright (2006), Numerical Optimization, algorithm 7.1.
    """
    step = np.zeros_like(grad)
    residual = grad.copy()
    direction = residual.copy()
    squared = float(np.vdot(residual, residual))
    norm = math.sqrt(squared)
    enough = (min(0.1, math.sqrt(norm)) * norm) ** 2
    for _ in range(_MOST_PRODUCTS):
        if squared <= enough:
            break
        Hd = product(direction)
        curvature = float(np.vdot(direction, Hd))
        if not curvature > 0:  # rounding, or a w that is not finite
            break
        length = squared / curvature
        step += length * direction
        residual -= length * Hd
        before, squared = squared, float(np.vdot(residual, residual))
        direction = residual + squared / before * direction
    return step, float(np.vdot(grad, step))
