"""Sparse X for torch: products with CSR tensors, whose gradients are such products, too."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch

from logreg_kernels.contract import CSRMatrix
from logreg_kernels.torch_kernels.devices import place


@dataclass(frozen=True, eq=False)
class TorchCSR:
    """X and its transpose, each as a CSR tensor: `X @ W`, `X[rows]` and `X.gram` as if dense.

    torch differentiates a product with one CSR tensor by a transpose that it converts at every
    call. That takes 40 times as long as the two products (torch 2.13, CPU, 9.4 million entries).
    Here the transpose is made once.

    Memory: twice nnz (itemsize + index bytes), plus n and d row pointers.

    Args:
        by_row: X, shape (n, d), CSR.
        by_column: X^T, shape (d, n), CSR.
    """

    by_row: torch.Tensor
    by_column: torch.Tensor

    @property
    def shape(self) -> torch.Size:
        """(n, d)."""
        return self.by_row.shape

    @property
    def nbytes(self) -> int:
        """Bytes of X and of its transpose."""
        return sum(
            part.nbytes
            for X in (self.by_row, self.by_column)
            for part in (X.values(), X.col_indices(), X.crow_indices())
        )

    def __matmul__(self, W: torch.Tensor) -> torch.Tensor:
        """X W for dense W, (d,) or (d, k). Differentiable in W any number of times."""
        return _product(W, self.by_row, self.by_column)

    def __getitem__(self, rows: torch.Tensor) -> TorchCSR:
        """These rows and their transpose, in O(their entries + d). Indices (m,) may repeat."""
        pointers, columns = self.by_row.crow_indices(), self.by_row.col_indices()
        # Indexed like any tensor: -1 is the last row, and n is an error.
        start, count = pointers[:-1][rows].long(), pointers.diff()[rows].long()
        row = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
        before = count.cumsum(0) - count
        at = torch.arange(len(row), device=count.device) + (start - before)[row]
        column, values = columns[at], self.by_row.values()[at]
        by_column = torch.argsort(column, stable=True)
        shape = (len(count), self.shape[1])
        per_column = torch.bincount(column, minlength=shape[1])
        return TorchCSR(
            by_row=_csr(count, column, values, shape),
            by_column=_csr(
                per_column, row[by_column].to(column.dtype), values[by_column], shape[::-1]
            ),
        )

    def gram(self, weight: torch.Tensor) -> torch.Tensor:
        """X^T diag(weight) X, shape (d, d), dense, by a product of sparse matrices."""
        pointers = self.by_row.crow_indices()
        scaled = self.by_row.values() * torch.repeat_interleave(weight, pointers.diff())
        weighted = _tensor(pointers, self.by_row.col_indices(), scaled, self.shape)
        return (self.by_column @ weighted).to_dense()


def place_csr(X: CSRMatrix, device: str) -> TorchCSR:
    """X and its transpose on a device. On a CPU, X shares its memory."""
    tensors = []
    for matrix in (X, X.T.tocsr()):
        parts = (matrix.indptr, matrix.indices, matrix.data)
        pointers, columns, values = (place(part, device) for part in parts)
        tensors.append(_tensor(pointers, columns, values, matrix.shape))
    return TorchCSR(*tensors)


class _Product(torch.autograd.Function):
    """A B for sparse A and dense B. The gradient of B is A^T G, again such a product."""

    @staticmethod
    def forward(ctx: Any, B: torch.Tensor, A: torch.Tensor, A_T: torch.Tensor) -> torch.Tensor:
        ctx.A, ctx.A_T = A, A_T
        return A @ B

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, None, None]:
        return _product(grads[0], ctx.A_T, ctx.A), None, None


def _product(B: torch.Tensor, A: torch.Tensor, A_T: torch.Tensor) -> torch.Tensor:
    product: torch.Tensor = _Product.apply(B, A, A_T)  # type: ignore[no-untyped-call]
    return product


def _csr(
    count: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: Any
) -> torch.Tensor:
    """A CSR tensor from the number of entries in each row."""
    pointers = torch.nn.functional.pad(count.cumsum(0), (1, 0)).to(columns.dtype)
    return _tensor(pointers, columns, values, shape)


def _tensor(
    pointers: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: Any
) -> torch.Tensor:
    with warnings.catch_warnings():
        # torch warns once a process, at the first CSR tensor. What is used here is tested.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            pointers, columns, values, size=tuple(shape), check_invariants=False
        )
