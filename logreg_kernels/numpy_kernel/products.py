"""The products with X that NumPy and SciPy write differently: X is dense, or CSR.

`X @ w`, `X @ W.T`, `r @ X` and `X[rows]` are the same for both, and stand where they are used.
No product makes a sparse X dense. Each reads its entries once, unless its docstring says more.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from logreg_kernels.contract import FloatMatrix, Matrix


def logits_of_models(W: FloatMatrix, X: Matrix) -> FloatMatrix:
    """W X^T, shape (k, n): the logits of each model W_k in a row, side by side in memory."""
    if isinstance(X, csr_array):
        return np.ascontiguousarray((X @ W.T).T)
    return np.asarray(W @ X.T)


def combined_rows(R: FloatMatrix, X: Matrix) -> FloatMatrix:
    """R X, shape (k, d), row-contiguous: k sums of the rows of X, weighted by R (k, n)."""
    return np.ascontiguousarray(R @ X)


def weighted_gram(X: Matrix, weight: FloatMatrix) -> FloatMatrix:
    """X^T diag(weight) X, shape (d, d), dense.

    Traffic: of CSR, two copies as large as X are made, and the product as CSR, up to 1.5 times the
    d^2 itemsize bytes of the result.
    """
    if isinstance(X, csr_array):
        # (X.T * weight) is no broadcast in SciPy: for a matrix, * is the matrix product.
        return np.asarray((X.T @ X.multiply(weight[:, None]).tocsr()).toarray())
    return np.asarray((X.T * weight) @ X)
