"""`numpy` for more than two classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from logreg_kernels.contract import Array, FloatMatrix, Labels
from logreg_kernels.numpy_kernel.data import NumpyData
from logreg_kernels.numpy_kernel.products import combined_rows, weighted_gram
from logreg_kernels.validation import check_models, check_rows


@dataclass(frozen=True, kw_only=True)
class NumpySoftmax(NumpyData):
    """f, its gradient and its Hessian, from the lags D_ik = Z_ik - Z_i[y_i] behind the label.

        nll_i = logsumexp_k(D_ik) = t_i + log1p(sum_{k != top} exp(D_ik - t_i)),  t_i = max_k D_ik
        dnll_i/dZ_ik = p_ik - [k = y_i],   p_i,y - 1 = -sum_{k != y} p_ik

    As t_i >= 0, nothing cancels. Where the label is certain, the nll is the small sum itself, and
    the residual is that sum too, not 1 - (1 - small).

    Source: Blanchard, Higham and Higham (2021), "Accurately computing the log-sum-exp and softmax
        functions", algorithm 3.1 with the largest term left out of the sum.
    Traffic: X is read twice, 2 n d itemsize bytes, or 2 (nnz (itemsize + 4) + 4 n) of CSR with
        int32 indices, and a few n x c matrices of logits.
    """

    def value_and_grad(self, w: Array, rows: Array | None = None) -> tuple[Any, FloatMatrix]:
        """f(W) and its gradient; see `Objective.value_and_grad`."""
        W = self.checked(w)
        X, y = self.X, self.labels
        if rows is not None:
            rows = np.asarray(rows)
            check_rows(rows)
            X, y = X[rows], y[rows]
        nll, P = _nll_and_probabilities(X @ W.T, y)
        label = np.arange(len(y)), y
        P[label] = 0
        P[label] = -P.sum(axis=1)
        value = nll.mean() + self.penalty(W[None])[0]
        return value, combined_rows(P.T, X) / X.shape[0] + self.l2 * W

    def nll(self, w: Array) -> FloatMatrix:
        """nll_i of each row, shape (n,), without the penalty."""
        return _nll_and_probabilities(self.X @ self.checked(w).T, self.labels)[0]

    def value_batch(self, W: Array) -> FloatMatrix:
        """f at each of k models W (k, c, d): shape (k,). Sums are pairwise."""
        W = np.asarray(W, dtype=self.dtype)
        check_models(W, self.coefficient_shape)
        blocks = self.row_blocks(self.coefficient_shape[0])
        sums = np.empty((len(W), len(blocks)), dtype=self.dtype)
        for block, rows in enumerate(blocks):
            y = self.labels[rows]
            for k, model in enumerate(W):
                sums[k, block] = _nll_and_probabilities(self.X[rows] @ model.T, y)[0].sum()
        values: FloatMatrix = sums.sum(axis=1) / self.n_samples
        return values + self.penalty(W)

    def hvp(self, w: Array, v: Array) -> FloatMatrix:
        """H(W) V = 1/n S^T X + l2 V,  S_i = p_i * (u_i - p_i.u_i),  u_i = V x_i; shape (c, d).

        u is taken relative to the likeliest class. Where that one is certain, p.u is a sum of small
        terms, and u - p.u does not cancel.
        """
        W, V = self.checked(w), self.checked(v, "v")
        P = self._probabilities(W)
        U = self.X @ V.T
        U -= U[np.arange(len(P)), P.argmax(axis=1)][:, None]
        S = P * (U - np.einsum("nk,nk->n", P, U)[:, None])
        return combined_rows(S.T, self.X) / self.n_samples + self.l2 * V

    def hessian(self, w: Array) -> FloatMatrix:
        """H, shape (c d, c d), with the d x d blocks 1/n X^T diag(p_k ([k = l] - p_l)) X.

        The diagonal's p_k (1 - p_k) is p_k times the sum of the others: 1 - p_k may round to 0.
        """
        P = self._probabilities(self.checked(w))
        c, d = self.coefficient_shape
        H = np.empty((c, d, c, d), dtype=self.dtype)
        for k in range(c):
            others = np.delete(P, k, axis=1).sum(axis=1)
            H[k, :, k] = weighted_gram(self.X, P[:, k] * others) / self.n_samples
            for j in range(k):
                H[k, :, j] = weighted_gram(self.X, -P[:, k] * P[:, j]) / self.n_samples
                H[j, :, k] = H[k, :, j].T
        flat: FloatMatrix = H.reshape(c * d, c * d)
        flat[np.diag_indices_from(flat)] += self.l2
        return flat

    def _probabilities(self, W: FloatMatrix) -> FloatMatrix:
        return _nll_and_probabilities(self.X @ W.T, self.labels)[1]


def _nll_and_probabilities(Z: FloatMatrix, y: Labels) -> tuple[FloatMatrix, FloatMatrix]:
    """nll (n,) and softmax (n, c) of logits Z (n, c), which are overwritten."""
    row = np.arange(len(y))
    Z -= Z[row, y][:, None]
    top = Z.argmax(axis=1)
    lag = Z[row, top]
    E = np.exp(Z - lag[:, None])
    E[row, top] = 0
    rest = E.sum(axis=1)
    nll = lag + np.log1p(rest)
    E[row, top] = 1
    E /= (1 + rest)[:, None]
    return nll, E
