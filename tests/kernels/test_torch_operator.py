"""`nll` for torch: what it computes, by device code and by formulas, and how torch sees it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from exact import BY_HAND, BY_HAND_SOFTMAX, check_against_exact
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import DEVICES, Variant, random_case

from logreg_kernels import KERNELS, bind, nll, prepare_labels
from logreg_kernels.torch_kernels import operator as torch_operator

DEVICE = DEVICES[-1]
DTYPES = ("float32", "float64")
INTERPRETED_OR_ON_A_GPU = KERNELS["fused-cuda"].unavailable(DEVICE) is None


@pytest.fixture(params=["fused", "plain"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By the device code, where it runs here; and by the formulas in torch."""
    if request.param == "plain":
        monkeypatch.setattr(torch_operator, "_runs_fused", lambda device: False)
    elif not INTERPRETED_OR_ON_A_GPU:
        pytest.skip(str(KERNELS["fused-cuda"].unavailable(DEVICE)))
    return str(request.param)


def place(array: Any, requires_grad: bool = False) -> torch.Tensor:
    return torch.tensor(np.array(array), device=DEVICE, requires_grad=requires_grad)


def leaves(case: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return place(case.w, requires_grad=True), place(case.X), place(case.y)


# --- what it computes ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("c", [2, 3])
@pytest.mark.parametrize("w_scale", [0.0, 1.0, 100.0])
def test_error_is_rounding(path: str, dtype: str, c: int, w_scale: float) -> None:
    case = random_case(33, 7, dtype, c=c, w_scale=w_scale)
    w, X, y = leaves(case)
    value = nll(w, X, y, l2=0.1)
    value.backward()
    variant = Variant("fused-cuda", DEVICE, dtype)
    check_against_exact(variant, value.detach(), w.grad, case, l2=0.1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("prepared", [False, True])
def test_rows_by_hand(path: str, dtype: str, prepared: bool) -> None:
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    rows: list[Any] = [*BY_HAND, *((y, z, v, g) for z, y, v, g in BY_HAND_SOFTMAX)]
    for label, logits, value, grad in rows:
        w = place(np.reshape(logits, (-1, 1)[: np.ndim(logits) + 1]).astype(dtype), True)
        X, y = place(np.ones((1, 1), dtype)), place(np.array([label]))
        y = prepare_labels(y, max(2, w.shape[0])) if prepared else y
        got = nll(w, X, y, prepared=prepared)
        got.backward()
        assert w.grad is not None
        assert got.item() == pytest.approx(value, rel=4 * eps, abs=tiny)
        assert w.grad.flatten().tolist() == pytest.approx(
            np.ravel(grad).tolist(), rel=4 * eps, abs=tiny
        )


@settings(max_examples=15)
@given(
    n=st.integers(0, 60),
    c=st.integers(2, 5),
    d=st.integers(1, 20),
    l2=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_matches_the_reference(n: int, c: int, d: int, l2: float, seed: int) -> None:
    case = random_case(c + n, d, "float64", seed, c=c)
    w, X, y = leaves(case)
    v = place(np.random.default_rng(seed).standard_normal(case.w.shape))
    reference: Any = bind("numpy", case.X, case.y, l2)
    true_value, true_grad = reference.value_and_grad(case.w)
    with pytest.MonkeyPatch.context() as patch:
        for fused in (True, False):
            if not fused:
                patch.setattr(torch_operator, "_runs_fused", lambda device: False)
            value = nll(w, X, y, l2)
            (grad,) = torch.autograd.grad(value, w, create_graph=True)
            (product,) = torch.autograd.grad(grad, w, v)
            assert value.item() == pytest.approx(true_value, rel=1e-12)
            got = [t.detach().cpu().numpy() for t in (grad, product)]
            expected = [true_grad, reference.hvp(case.w, v.cpu().numpy())]
            for a, b in zip(got, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize("c", [2, 3])
def test_derivatives_are_the_slopes(path: str, c: int) -> None:
    w, X, y = leaves(random_case(17, 3, "float64", c=c))
    assert torch.autograd.gradcheck(lambda w: 3 * nll(w, X, y, 0.1), (w,))
    assert torch.autograd.gradgradcheck(lambda w: 3 * nll(w, X, y, 0.1), (w,))


@pytest.mark.parametrize("c", [2, 3])
def test_backward_multiplies_and_computes_nothing(
    path: str, c: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    w, X, y = leaves(random_case(17, 3, "float64", c=c))
    value = nll(w, X, y, 0.1)
    for name in ("_hvp", "plain_value_and_grad", "objective_of"):
        monkeypatch.setattr(torch_operator, name, None)
    (once,) = torch.autograd.grad(value, w, retain_graph=True)
    (thrice,) = torch.autograd.grad(3 * value, w)
    assert torch.equal(thrice, 3 * once)


def test_a_third_derivative_is_refused(path: str) -> None:
    w, X, y = leaves(random_case(17, 3, "float64"))
    (grad,) = torch.autograd.grad(nll(w, X, y), w, create_graph=True)
    (product,) = torch.autograd.grad(grad.sum(), w, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        product.sum().backward()


# --- labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [2, 3])
def test_labels_of_any_type(path: str, c: int) -> None:
    w, X, y = leaves(random_case(17, 3, "float64", c=c))
    expected = nll(w, X, y).item()
    types = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.float16, torch.float64]
    for dtype in types + [torch.bool] * (c == 2):
        assert nll(w, X, y.to(dtype)).item() == expected
        labels = prepare_labels(y.to(dtype), c)
        assert nll(w, X, labels, prepared=True).item() == expected


@pytest.mark.parametrize("bad", [-1.0, 0.5, 3.0, 2.0**40, float("nan")])
@pytest.mark.parametrize("c", [2, 3])
def test_another_label_poisons_the_result(path: str, c: int, bad: float) -> None:
    w, X, y = leaves(random_case(17, 3, "float64", c=c))
    y = y.to(torch.float64)
    y[5] = bad
    value = nll(w, X, y)
    value.backward()
    assert w.grad is not None
    assert value.isnan()
    assert w.grad.isnan().all()
    with pytest.raises(ValueError, match=r"^y|^labels must be"):
        prepare_labels(y, c)


# --- what torch does with it -----------------------------------------------------------------


@pytest.mark.parametrize("c", [2, 3])
def test_the_operators_pass_torchs_own_checks(path: str, c: int) -> None:
    w, X, y = leaves(random_case(9, 3, "float64", c=c))
    labels = prepare_labels(y, c)
    torch.library.opcheck(torch_operator._value_and_grad, (w, X, labels, 0.1))
    v = w.detach()
    torch.library.opcheck(torch_operator._hvp, (v, v, X, labels, 0.1))


@pytest.mark.parametrize("c", [2, 3])
def test_it_compiles_as_one_graph(path: str, c: int) -> None:
    w, X, y = leaves(random_case(17, 3, "float64", c=c))
    torch._dynamo.reset()
    compiled = torch.compile(nll, fullgraph=True, backend="aot_eager")
    for l2 in (0.1, 0.2):  # the second makes l2 a dynamic number
        value, expected = compiled(w, X, y, l2), nll(w, X, y, l2)
        assert torch.equal(value, expected)
        got, true = (torch.autograd.grad(f, w)[0] for f in (value, expected))
        assert torch.equal(got, true)


def test_it_trains() -> None:
    case = random_case(40, 3, "float64")
    w, X, y = leaves(case)
    optimizer = torch.optim.LBFGS([w], max_iter=100, tolerance_change=0.0, tolerance_grad=1e-9)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nll(w, X, y, 0.1)
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    _, grad = bind("numpy", case.X, case.y, 0.1).value_and_grad(w.detach().cpu())
    assert np.abs(grad).max() < 1e-8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device")
@pytest.mark.parametrize("c", [2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_cuda_graph_replays_it(c: int, dtype: str) -> None:
    case = random_case(1025, 7, dtype, c=c)
    w, X, y = leaves(case)

    def evaluate() -> tuple[torch.Tensor, torch.Tensor]:
        value = nll(w, X, y, 0.1)
        return value, torch.autograd.grad(value, w)[0]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        evaluate()  # compiles
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value, grad = evaluate()
    for scale in (1.0, -0.5):
        with torch.no_grad():
            w.copy_(scale * place(case.w))
        graph.replay()
        expected = evaluate()
        assert torch.equal(value, expected[0])
        assert torch.equal(grad, expected[1])


# --- what it refuses -------------------------------------------------------------------------


def test_bad_arguments_are_refused_in_one_line() -> None:
    w, X, y = leaves(random_case(17, 3, "float64"))
    bad: list[tuple[tuple[Any, ...], str]] = [
        ((w.tolist(), X, y), "w must be a torch tensor; got list"),
        ((w, X, y.tolist()), "y must be a torch tensor; got list"),
        ((w, X.clone().requires_grad_(), y), r"X requires a gradient: pass X.detach\(\)"),
        ((w, X, y.double().requires_grad_()), r"y requires a gradient: pass y.detach\(\)"),
        ((w.float(), X, y), "got torch.float32 and torch.float64: convert one"),
        ((w.half(), X.half(), y), "must both be float32 or float64"),
        ((w, X[0], y), r"X must have shape \(n, d\)"),
        ((w, X[:0], y[:0]), r"X must have shape \(n, d\)"),
        ((w, X.T.contiguous().T, y), r"call X.contiguous\(\) once"),
        ((w[:2], X, y), r"w must have shape \(3,\) for two classes"),
        ((w.expand(2, 3), X, y), r"\(c, 3\) for c > 2; got \(2, 3\)"),
        ((w, X, y[:-1]), r"one label per row of X, shape \(17,\); got \(16,\)"),
        ((w, X, y, -1.0), "l2 must be finite and >= 0; got -1.0"),
        ((w, X, y, float("nan")), "l2 must be finite"),
        ((w, X.to("meta"), y), "X is on meta"),
    ]
    for arguments, message in bad:
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            nll(*arguments)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ValueError, match=r"prepared labels must be torch.int8; got torch.int64"):
        nll(w, X, y, prepared=True)
    with pytest.raises(TypeError, match="y must be a torch tensor"):
        prepare_labels([0, 1])  # type: ignore[arg-type]
