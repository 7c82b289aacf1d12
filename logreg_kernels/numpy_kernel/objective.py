"""The reference objectives, in plain NumPy, and the products with X that they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from logreg_kernels.contract import Array, FloatMatrix, Labels, Matrix, Objective
from logreg_kernels.validation import check_coefficients, check_models, check_rows

# Rows of X times models of W in one block of a batched evaluation: 2 MiB of float64 logits,
# which stay in a typical L2 cache between the two products.
_BLOCK_LOGITS = 1 << 18


@dataclass(frozen=True, kw_only=True)
class NumpyData(Objective):
    """X in memory, and how coefficients get to it.

    Args:
        labels: 2 y - 1 for two classes, y for more; shape (n,).
    """

    X: Matrix
    labels: NDArray[Any]
    kernel: str = "numpy"

    @property
    def traffic_bytes(self) -> int:
        """X twice, and the labels."""
        return 2 * self.x_bytes + int(self.labels.nbytes)

    @property
    def x_bytes(self) -> int:
        """Bytes of X: its entries and, of CSR, their columns and the rows' starts."""
        if isinstance(self.X, csr_array):
            return sum(int(part.nbytes) for part in (self.X.data, self.X.indices, self.X.indptr))
        return int(self.X.nbytes)

    def as_coefficients(self, w: Array) -> FloatMatrix:
        """A copy of `w` in this objective's dtype."""
        return np.asarray(w, dtype=self.dtype).copy()

    def checked(self, w: Array, name: str = "w") -> FloatMatrix:
        """`w` in this objective's dtype, refused if it has another shape."""
        coefficients: FloatMatrix = np.asarray(w, dtype=self.dtype)
        check_coefficients(coefficients, self.coefficient_shape, name)
        return coefficients

    def taken(self, rows: Array | None) -> tuple[Matrix, NDArray[Any]]:
        """These rows of X and their labels; all of them for None."""
        if rows is None:
            return self.X, self.labels
        rows = np.asarray(rows)
        check_rows(rows)
        return self.X[rows], self.labels[rows]

    def penalty(self, W: FloatMatrix) -> FloatMatrix:
        """l2/2 ||w||^2 of each model W (k, ...), shape (k,); 0 without one, however large W is."""
        if self.l2 == 0.0:
            return np.zeros(len(W), dtype=self.dtype)
        flat = W.reshape(len(W), -1)
        return np.asarray(0.5 * self.l2 * np.einsum("kp,kp->k", flat, flat))

    def row_blocks(self, logits_per_row: int) -> list[slice]:
        """Slices over the rows whose logits stay in cache."""
        size = max(1, _BLOCK_LOGITS // logits_per_row)
        return [slice(start, start + size) for start in range(0, self.n_samples, size)]


@dataclass(frozen=True, kw_only=True)
class NumpyBinary(NumpyData):
    """f, its gradient and its Hessian, from the margins m_i = s_i x_i.w with s_i = 2 y_i - 1.

        nll_i = softplus(-m_i) = max(-m_i, 0) + log1p(exp(-|m_i|))
        dnll_i/dz_i = sigmoid(z_i) - y_i = -s_i sigmoid(-m_i)

    Both equal the textbook forms softplus(z) - y z and sigmoid(z) - y, but they do not cancel:
    at m = 37.5 these give 5.2e-17, where the textbook forms give 0 or 7e-15.

    Source: Maechler (2012), "Accurately computing log(1 - exp(-|a|))", for log1p(exp(.)).
    Traffic: X is read twice, 2 n d itemsize bytes, or 2 (nnz (itemsize + 4) + 4 n) of CSR with
        int32 indices; NumPy has no fused product.
    """

    def value_and_grad(self, w: Array, rows: Array | None = None) -> tuple[Any, FloatMatrix]:
        """f(w) and its gradient; see `Objective.value_and_grad`."""
        w = self.checked(w)
        X, sign = self.taken(rows)
        margins = sign * (X @ w)
        nll, residual = _nll_and_residual(margins, sign)
        value = nll.mean() + self.penalty(w[None])[0]
        return value, residual @ X / X.shape[0] + self.l2 * w

    def nll(self, w: Array) -> FloatMatrix:
        """nll_i of each row, shape (n,), without the penalty."""
        return _nll(self.labels * (self.X @ self.checked(w)))

    def value_batch(self, W: Array) -> FloatMatrix:
        """f at each row of W (k, d): shape (k,). No gradients are computed.

        Each sum runs along contiguous memory, where NumPy adds pairwise: rounding errors grow with
        log n, not with n.
        """
        W = np.asarray(W, dtype=self.dtype)
        check_models(W, self.coefficient_shape)
        sums = [
            _nll(logits_of_models(W, self.X[rows]) * self.labels[rows]).sum(axis=1)
            for rows in self.row_blocks(W.shape[0])
        ]
        values: FloatMatrix = np.stack(sums, axis=1).sum(axis=1) / self.n_samples
        return values + self.penalty(W)

    def value_and_grad_batch(self, W: Array) -> tuple[FloatMatrix, FloatMatrix]:
        """f (k,) and gradients (k, d) of k models, X read twice for all of them together."""
        W = np.asarray(W, dtype=self.dtype)
        check_models(W, self.coefficient_shape)
        values = np.zeros(W.shape[0], dtype=self.dtype)
        grads = np.zeros_like(W)
        for rows in self.row_blocks(W.shape[0]):
            X, sign = self.X[rows], self.labels[rows]
            nll, residual = _nll_and_residual(logits_of_models(W, X) * sign, sign)
            values += nll.sum(axis=1)
            grads += combined_rows(residual, X)
        values = values / self.n_samples + self.penalty(W)
        return values, grads / self.n_samples + self.l2 * W

    def hvp(self, w: Array, v: Array) -> FloatMatrix:
        """H(w) v = 1/n X^T (p (1 - p) X v) + l2 v, shape (d,)."""
        w, v = self.checked(w), self.checked(v, "v")
        curved = self._curvature(w) * (self.X @ v)
        return np.asarray(curved @ self.X / self.n_samples + self.l2 * v)

    def hessian(self, w: Array) -> FloatMatrix:
        """H = 1/n X^T diag(p_i (1 - p_i)) X + l2 I, shape (d, d)."""
        H = weighted_gram(self.X, self._curvature(self.checked(w))) / self.n_samples
        H[np.diag_indices_from(H)] += self.l2
        return H

    def _curvature(self, w: FloatMatrix) -> FloatMatrix:
        tail = np.exp(-np.abs(self.X @ w))
        return np.asarray(tail / (1 + tail) ** 2)  # p (1 - p), without 1 - p rounding to 0


def _nll(margins: FloatMatrix) -> FloatMatrix:
    """softplus(-m)."""
    return np.asarray(np.maximum(-margins, 0) + np.log1p(np.exp(-np.abs(margins))))


def _nll_and_residual(margins: FloatMatrix, sign: FloatMatrix) -> tuple[FloatMatrix, FloatMatrix]:
    """softplus(-m) and -s sigmoid(-m), with sigmoid(-m) = e/(1+e) for m >= 0 and 1/(1+e) below."""
    tail = np.exp(-np.abs(margins))
    residual = -sign * (np.where(margins >= 0, tail, 1) / (1 + tail))
    return np.maximum(-margins, 0) + np.log1p(tail), residual


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
        X, y = self.taken(rows)
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


# NumPy and SciPy write these products with X differently. `X @ w`, `r @ X` and `X[rows]` are the
# same for both. No product makes a sparse X dense.


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
