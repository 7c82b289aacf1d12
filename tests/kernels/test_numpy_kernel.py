"""What the reference can do beyond the contract."""

from __future__ import annotations

import numpy as np
import pytest
from exact import exact_value_and_grad, one_rounding
from variants import Case, random_case

from logreg_kernels.numpy_kernel import objective as numpy_objective
from logreg_kernels.numpy_kernel.kernel import NumpyKernel
from logreg_kernels.numpy_kernel.objective import NumpyBinary, NumpySoftmax
from logreg_kernels.validation import DTYPES, DType

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def bind_numpy(X: np.ndarray, y: np.ndarray, dtype: DType, l2: float = 0.1) -> NumpyBinary:
    objective = NumpyKernel().bind(X.astype(dtype), y, l2=l2, device="cpu", dtype=dtype)
    assert isinstance(objective, NumpyBinary)
    return objective


@each_dtype
@pytest.mark.parametrize("block_logits", [1, 7, 64, 1 << 18])
def test_batches_in_blocks_of_rows(
    dtype: DType, block_logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_objective, "_BLOCK_LOGITS", block_logits)
    case = random_case(33, 7, dtype)
    objective = bind_numpy(case.X, case.y, dtype)
    W = np.random.default_rng(1).standard_normal((5, 7)).astype(dtype)
    values, grads = objective.value_and_grad_batch(W)
    singles = [objective.value_and_grad(w) for w in W]
    close = {"rtol": 0, "atol": 16 * np.finfo(dtype).eps}
    np.testing.assert_allclose(values, [value for value, _ in singles], **close)
    np.testing.assert_allclose(grads, [grad for _, grad in singles], **close)
    np.testing.assert_allclose(objective.value_batch(W), values, **close)


@each_dtype
def test_values_of_a_batch_alone(dtype: DType) -> None:
    case = random_case(1025, 7, dtype)
    objective = bind_numpy(case.X, case.y, dtype)
    W = np.random.default_rng(1).standard_normal((400, 7)).astype(dtype)  # two blocks of rows
    assert W.shape[0] * objective.n_samples > numpy_objective._BLOCK_LOGITS
    values = objective.value_batch(W)
    assert values.shape == (400,)
    assert values.dtype == dtype
    # Both sum pairwise, so that the number of rows is not seen in their difference.
    singles = [objective.value_and_grad(w)[0] for w in W]
    np.testing.assert_allclose(values, singles, rtol=4 * np.finfo(dtype).eps)
    with pytest.raises(ValueError, match="W must have shape"):
        objective.value_batch(W[0])


@each_dtype
@pytest.mark.parametrize("block_logits", [1, 7, 64, 1 << 18])
def test_values_of_a_batch_of_more_classes(
    dtype: DType, block_logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_objective, "_BLOCK_LOGITS", block_logits)
    case = random_case(33, 5, dtype, c=4)
    objective = NumpyKernel().bind(case.X, case.y, l2=0.1, device="cpu", dtype=dtype)
    assert isinstance(objective, NumpySoftmax)
    W = np.random.default_rng(1).standard_normal((3, 4, 5)).astype(dtype)
    values = objective.value_batch(W)
    assert (values.shape, values.dtype) == ((3,), dtype)
    singles = [objective.value_and_grad(w)[0] for w in W]
    np.testing.assert_allclose(values, singles, rtol=8 * np.finfo(dtype).eps)


@each_dtype
@pytest.mark.parametrize("c", [2, 4])
def test_the_loss_of_each_row(dtype: DType, c: int) -> None:
    case = random_case(33, 5, dtype, c=c)
    objective = NumpyKernel().bind(case.X, case.y, l2=0.1, device="cpu", dtype=dtype)
    nll = objective.nll(case.w)
    assert (nll.shape, nll.dtype) == ((33,), dtype)
    for row in (0, 17, 32):
        part = Case(case.X[[row]], case.y[[row]], case.w)
        error = abs(float(nll[row]) - float(exact_value_and_grad(part, l2=0.0)[0]))
        assert error <= 4 * np.finfo(dtype).eps * one_rounding(part, l2=0.0)[0]
    with pytest.raises(ValueError, match="w must have shape"):
        objective.nll(case.w[:1])
