"""Reads of X: what each way to read it counts, and that it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from bench.counters.reads_numpy import Reads, counted_array, counted_csr, counting_sparse
from bench.counters.reads_of_x import COUNTED, count_reads, counting_reads, reads_of_call
from bench.counters.reads_torch import TorchReads
from logreg_kernels import bind
from logreg_kernels.torch_kernels.csr import place_csr

N, D = 12, 5
X = np.random.default_rng(0).normal(size=(N, D))
CSR = csr_array(random_array((N, D), density=0.4, format="csr", rng=np.random.default_rng(1)))
ROWS = np.array([0, 3, 3, 11])
w, r = np.arange(D) + 1.0, np.arange(N) - 5.0

# What is computed, and how often it reads X's entries.
NUMPY: dict[str, tuple[Callable[[Any], Any], float]] = {
    "X w": (lambda X: X @ w, 1),
    "r X": (lambda X: r @ X, 1),
    "X^T r": (lambda X: X.T @ r, 1),
    "dot method": (lambda X: X.dot(w), 1),
    "dot function": (lambda X: np.dot(X, w), 1),
    "einsum": (lambda X: np.einsum("nd,d->n", X, w), 1),
    "einsum with itself": (lambda X: np.einsum("nd,nd->n", X, X), 2),
    "gram": (lambda X: X.T @ X, 2),
    "weighted": (lambda X: (X.T * r) @ X, 2),
    "sum": (lambda X: X.sum(), 1),
    "mean": (lambda X: X.mean(axis=0), 1),
    "max function": (lambda X: np.max(X, axis=1), 1),
    "concatenate": (lambda X: np.concatenate([X, X]), 2),
    "into": (lambda X: np.matmul(X, w, out=np.empty(N)), 1),
    "half": (lambda X: X[::2] @ w, 0.5),
    "a column": (lambda X: X[:, 1] * 2, 1 / D),
    "an entry": (lambda X: X[1, 2] * 2, 1 / (N * D)),
    "rows": (lambda X: X[ROWS] @ w, 2 * len(ROWS) / N),
    "rows by take": (lambda X: X.take(ROWS, axis=0) @ w, 2 * len(ROWS) / N),
    "a copy": (lambda X: X.copy() @ w, 2),
    "a conversion": (lambda X: X.astype(np.float32) @ w.astype(np.float32), 2),
    "nothing": (lambda X: (X.shape, X.nbytes, np.zeros_like(X), X.T.shape), 0),
}


def same(one: Any, other: Any) -> None:
    if isinstance(one, tuple):
        for a, b in zip(one, other, strict=True):
            same(a, b)
    else:
        one, other = (x.toarray() if isinstance(x, csr_array) else x for x in (one, other))
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("name", NUMPY)
def test_numpy_reads_are_counted(name: str) -> None:
    compute, expected = NUMPY[name]
    reads = Reads()
    same(compute(counted_array(X, reads)), compute(X))
    assert reads.entries == pytest.approx(expected * X.size)


@given(
    n=st.integers(1, 9),
    d=st.integers(1, 9),
    k=st.integers(1, 4),
    start=st.integers(0, 8),
    seed=st.integers(0, 99),
)
def test_products_of_parts_add_up(n: int, d: int, k: int, start: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data, W = rng.normal(size=(n, d)), rng.normal(size=(k, d))
    reads = Reads()
    counted = counted_array(data, reads)
    for part in (slice(start), slice(start, None)):
        np.testing.assert_array_equal(counted[part] @ W.T, data[part] @ W.T)
    assert reads.entries == data.size


SPARSE: dict[str, tuple[Callable[[Any], Any], float]] = {
    "X w": (lambda X: X @ w, 1),
    "X W^T": (lambda X: X @ np.ones((D, 3)), 1),
    "r X": (lambda X: r @ X, 1),
    "R X": (lambda X: np.ones((2, N)) @ X, 1),
    "X^T r": (lambda X: X.T @ r, 1),
    "values": (lambda X: X.data.sum(), 1),
    "as CSC": (lambda X: X.tocsc() @ w, 2),
    "nothing": (lambda X: (X.shape, X.nnz, X.indptr.sum()), 0),
}


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_reads_are_counted(name: str) -> None:
    compute, expected = SPARSE[name]
    reads = Reads()
    with counting_sparse(reads):
        found = compute(counted_csr(CSR, reads))
        counted = reads.entries
    same(found, compute(CSR))
    assert counted == expected * CSR.nnz


def test_sparse_rows_are_read_and_then_their_copy() -> None:
    reads = Reads()
    with counting_sparse(reads):
        found = counted_csr(CSR, reads)[ROWS] @ w
    np.testing.assert_array_equal(found, CSR[ROWS] @ w)
    assert reads.entries == 2 * CSR[ROWS].nnz


def test_scipy_is_left_as_it_was() -> None:
    from scipy.sparse import _compressed, _sparsetools

    before = _sparsetools.csr_matvec, _compressed.get_csr_submatrix
    with counting_sparse(Reads()):
        assert before[0] is not _sparsetools.csr_matvec
    assert (_sparsetools.csr_matvec, _compressed.get_csr_submatrix) == before
    other = csr_array(np.eye(3))
    reads = Reads()
    with counting_sparse(reads):
        counted_csr(CSR, reads)
        other @ np.ones(3)
    assert reads.entries == 0


wt, rt = torch.from_numpy(w), torch.from_numpy(r)
TORCH: dict[str, tuple[Callable[[Any], Any], float]] = {
    "X w": (lambda X: X @ wt, 1),
    "X^T r": (lambda X: X.T @ rt, 1),
    "linear": (lambda X: torch.nn.functional.linear(X, torch.ones(3, D).double()), 1),
    "einsum": (lambda X: torch.einsum("nd,d->n", X, wt), 1),
    "gram": (lambda X: X.T @ X, 2),
    "sum": (lambda X: X.sum(), 1),
    "half": (lambda X: X[::2].sum(), 0.5),
    "rows": (lambda X: X[torch.from_numpy(ROWS)] @ wt, 2 * len(ROWS) / N),
    "a copy": (lambda X: X.clone() @ wt, 2),
    "nothing": (lambda X: (X.shape, X.T, X.detach(), torch.zeros_like(X)), 0),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch_reads_are_counted(name: str) -> None:
    compute, expected = TORCH[name]
    data = torch.from_numpy(X)
    with TorchReads(data) as mode:
        compute(data)
    assert mode.entries == expected * X.size


def test_torch_counts_backward_too() -> None:
    data, leaf = torch.from_numpy(X), wt.clone().requires_grad_(True)
    with TorchReads(data) as mode:
        loss = (data @ leaf).exp().sum()
        assert mode.entries == X.size
        loss.backward()
    assert mode.entries == 2 * X.size


def test_torch_counts_csr_and_its_transpose() -> None:
    data, leaf = place_csr(CSR, "cpu"), wt.clone().requires_grad_(True)
    with TorchReads(data) as mode:
        (data @ leaf).sum().backward()
    assert mode.entries == 2 * CSR.nnz


@pytest.mark.parametrize("kernel", COUNTED)
@pytest.mark.parametrize("data", [X, CSR], ids=["dense", "csr"])
def test_a_counted_objective_computes_the_same(kernel: str, data: Any) -> None:
    objective = bind(kernel, data, np.arange(N) % 2, l2=0.1)
    calls = (
        lambda o: o.value_and_grad(o.as_coefficients(w)),
        lambda o: o.value_and_grad(o.as_coefficients(w), o.as_rows(ROWS)),
        lambda o: o.value_and_grad_batch(np.ones((2, D))),
        lambda o: o.hessian(o.as_coefficients(w)),
    )
    for call in calls:
        expected = call(objective)
        with counting_reads(objective) as (watched, reads):
            same(call(watched), expected)
        assert reads.entries > 0
        assert reads_of_call(objective, call) == reads.entries


def test_reads_are_those_of_the_formulas() -> None:
    """As the kernels' docstrings put it: NumPy and torch read X twice, fused-cpu once."""
    for cell, calls in count_reads().items():
        once = 1.0 if cell.startswith("fused-cpu") else 2.0
        assert calls["value_and_grad"] == once
        if cell == "fused-cpu | two classes, dense":
            assert set(calls.values()) == {1.0}
