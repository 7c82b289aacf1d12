"""Logistic NLL and its gradient, in several implementations behind one contract.

>>> from logreg_kernels import bind
>>> objective = bind("numpy", [[0.0, 1.0], [1.0, 0.0]], [0, 1], l2=0.1)
>>> value, grad = objective.value_and_grad([0.0, 0.0])
>>> round(float(value), 6)
0.693147
"""

from logreg_kernels.contract import Kernel, Objective
from logreg_kernels.registry import KERNELS, bind
from logreg_kernels.torch_kernels.operator import nll, prepare_labels

__all__ = ["KERNELS", "Kernel", "Objective", "bind", "nll", "prepare_labels"]
