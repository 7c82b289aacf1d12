"""Every number that the notebook prints comes out again, and its identities hold."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.measure.cell import run_optimizer
from bench.measure.recorder import Budget
from bench.measure.verify import KernelMismatch
from bench.notebook import models
from bench.notebook.experiments import (
    KERNEL,
    MODULE_LOSS,
    NOTEBOOK_LOSS,
    run_notebook,
)
from bench.notebook.multiclass import LOSSES, run_multiclass
from bench.notebook.objective import bind_sigmoid_bce, model_of
from bench.notebook.report import write_notebook
from bench.notebook.result import NotebookResult, Reproduction, floats, printed_figures
from bench.optimizers import LBFGS, SGD, make_optimizer
from bench.problems import load_problem
from logreg_kernels import bind

WHOLE_RUN = Budget(passes=math.inf, seconds=math.inf)
D = 4

AT_SKLEARN = "at scikit-learn's coef"
ROWS = [
    ("scikit-learn, loss by hand", "numpy", "coef", 4),
    ("scikit-learn, loss by hand", "numpy", "test_loss", 1),
    ("scikit-learn, loss by hand", "numpy", "test_grad", 4),
    ("scikit-learn, loss by hand", "numpy", "test_probabilities", 50),
    (f"autograd {AT_SKLEARN}", KERNEL, "test_loss", 1),
    (f"autograd {AT_SKLEARN}", KERNEL, "test_grad", 4),
    (f"nn.Sequential {AT_SKLEARN}", "", "test_probabilities", 50),
    (f"nn.Sequential, named layers {AT_SKLEARN}", "", "test_probabilities", 50),
    (f"nn.Module subclass {AT_SKLEARN}", "", "test_probabilities", 50),
    ("LBFGS", KERNEL, "losses", 10),
    ("LBFGS", KERNEL, "coef", 4),
    ("LBFGS", KERNEL, "test_probabilities", 50),
    ("LBFGS", NOTEBOOK_LOSS, "losses", 10),
    ("LBFGS", NOTEBOOK_LOSS, "coef", 4),
    ("LBFGS", NOTEBOOK_LOSS, "test_probabilities", 50),
    ("SGD by hand", KERNEL, "coef", 4),
    ("SGD by hand", KERNEL, "test_probabilities", 50),
    ("SGD by hand", KERNEL, "label_agreement_with_sklearn", 1),
    ("SGD", KERNEL, "coef", 4),
    ("SGD", KERNEL, "test_probabilities", 50),
    ("SGD", KERNEL, "label_agreement_with_sklearn", 1),
    ("momentum", NOTEBOOK_LOSS, "coef", 4),
    ("momentum", NOTEBOOK_LOSS, "test_probabilities", 50),
    ("momentum", NOTEBOOK_LOSS, "label_agreement_with_sklearn", 1),
    ("Adam on a module", MODULE_LOSS, "test_probabilities", 50),
    ("LBFGS on a module", MODULE_LOSS, "test_probabilities", 50),
]
# Typed from the notebook's page, so that a slip in the JSON is caught.
PRINTED = {
    ("scikit-learn, loss by hand", "coef"): "-4.414 -9.111 6.539 12.686",
    ("scikit-learn, loss by hand", "test_loss"): "0.11824007",
    ("scikit-learn, loss by hand", "test_grad"): "-0.235 -0.122 -0.198 -0.064",
    (f"autograd {AT_SKLEARN}", "test_loss"): "0.1182",
    (f"autograd {AT_SKLEARN}", "test_grad"): "-0.2353 -0.1223 -0.1976 -0.0638",
    ("LBFGS", "losses"): ("1.994707465171814 0.06939578056335449" + 8 * " 0.06907700002193451"),
    ("LBFGS", "coef"): "-4.4146 -9.1144 6.5401 12.6912",
    ("SGD by hand", "coef"): "-0.8046 -2.3841 1.3471 2.9677",
    ("SGD by hand", "label_agreement_with_sklearn"): "0.96",
    ("SGD", "coef"): "-0.8046 -2.3841 1.3471 2.9677",
    ("SGD", "label_agreement_with_sklearn"): "0.96",
    ("momentum", "coef"): "-7.1823 -10.0136 11.5410 10.1771",
    ("momentum", "label_agreement_with_sklearn"): "0.98",
}
SKLEARN_PROBABILITIES = (
    "0.002 0.000 1.000 0.012 0.002 0.000 0.000 0.979 0.740 0.000 0.706 0.000 0.000 0.000 0.000 "
    "0.001 1.000 0.000 0.009 1.000 0.000 0.650 0.000 1.000 0.094 0.998 1.000 1.000 0.000 0.000 "
    "0.000 0.000 0.000 0.000 0.000 0.998 0.000 0.000 0.000 0.000 0.999 0.000 0.000 0.000 0.000 "
    "0.000 0.281 0.909 0.000 0.999"
)


@pytest.fixture(scope="module")
def run() -> tuple[NotebookResult, torch.Tensor, torch.Tensor]:
    """The suite's result, and the state of torch's global generator before and after it."""
    before = torch.get_rng_state()
    return run_notebook(), before, torch.get_rng_state()


@pytest.fixture(scope="module")
def result(run) -> NotebookResult:
    return run[0]


@pytest.fixture(scope="module")
def iris():
    return load_problem("iris")


def row_of(result: NotebookResult, experiment: str, loss: str, quantity: str) -> Reproduction:
    (row,) = (
        row
        for row in result.reproductions
        if (row.experiment, row.loss, row.quantity) == (experiment, loss, quantity)
    )
    return row


def run_of(result: NotebookResult, experiment: str, loss: str):
    (run,) = (run for run in result.runs if (run.experiment, run.loss) == (experiment, loss))
    return run


# The printed numbers.


@pytest.mark.parametrize(("experiment", "loss", "quantity", "entries"), ROWS)
def test_printed_digits_come_out(result, experiment, loss, quantity, entries):
    row = row_of(result, experiment, loss, quantity)
    assert len(row.notebook) == entries
    assert row.agrees, f"notebook {row.notebook}, ours {row.ours}"
    if quantity == "test_probabilities":
        assert row.largest_difference <= 5e-4


def test_no_row_beyond_these_and_no_printed_number_left_out(result):
    rows = [(r.experiment, r.loss, r.quantity, len(r.notebook)) for r in result.reproductions]
    assert rows == ROWS
    assert result.agrees
    compared = {(row.quantity, row.notebook) for row in result.reproductions}
    figures = printed_figures()
    printed = {
        (quantity, floats(values))
        for name, section in figures.items()
        if isinstance(section, dict) and name != "minibatch_protocol"
        for quantity, values in section.items()
        if np.asarray(values).dtype.kind in "fi"
    }
    assert printed == compared
    assert {name for name in figures if name not in ("source", "data", "multiclass")} == {
        "sklearn_lbfgs",
        "torch_autograd_at_sklearn_coef",
        "torch_lbfgs",
        "minibatch_protocol",
        "sgd",
        "momentum",
        "adam_module",
        "lbfgs_module",
    }


@pytest.mark.parametrize(("experiment", "quantity"), PRINTED)
def test_literal_figures(result, experiment, quantity):
    rows = [
        row
        for row in result.reproductions
        if (row.experiment, row.quantity) == (experiment, quantity)
    ]
    assert rows
    for row in rows:
        assert row.notebook == tuple(map(float, PRINTED[experiment, quantity].split()))


def test_literal_probabilities_of_scikit_learn(result):
    ours = row_of(result, "scikit-learn, loss by hand", "numpy", "test_probabilities").ours
    assert " ".join(format(p, ".3f") for p in ours) == SKLEARN_PROBABILITIES


def test_literal_labels_and_float32_loss(result):
    labels = {
        "scikit-learn, loss by hand": "00100001101000001001010101110000000100001000000101",
        "SGD": "00100001100000001001000101110000000100001000000101",
    }
    for experiment, printed in labels.items():
        loss = "numpy" if "hand" in experiment else KERNEL
        ours = row_of(result, experiment, loss, "test_probabilities").ours
        assert "".join(str(int(p > 0.5)) for p in ours) == printed
    ours = row_of(result, f"autograd {AT_SKLEARN}", KERNEL, "test_loss").ours[0]
    assert ours == pytest.approx(0.11824005842208862, rel=1e-6)


def test_only_the_coefficients_of_lbfgs_have_an_open_digit(result):
    inexact = {(row.experiment, row.quantity) for row in result.reproductions if row.open_units}
    assert inexact == {("LBFGS", "coef")}
    for row in result.reproductions:
        assert row.rule.endswith("the last ± 1") == bool(row.open_units)


@pytest.mark.parametrize(
    ("ours", "agrees"),
    [
        ((0.1234, -0.00004), True),
        ((0.12349, 0.00049), True),
        ((0.1236, 0.0), False),
        ((0.123,), False),
        ((0.123, math.nan), False),
        ((0.123, math.inf), False),
    ],
)
def test_rule_is_equality_after_rounding(ours, agrees):
    row = Reproduction("e", "l", "q", notebook=(0.123, 0.0), ours=ours, printed_as=".3f")
    assert row.agrees is agrees
    assert row.rule == "3 decimals"


def test_rule_of_significant_digits_and_of_an_open_digit():
    row = Reproduction("e", "l", "q", (0.06939578056,), (0.06939578801,), "#.6g")
    assert row.agrees
    assert row.rule == "6 significant digits"
    assert not dataclasses.replace(row, ours=(0.0693957,)).agrees
    open_digit = Reproduction("e", "l", "q", (-4.4146,), (-4.41465378,), ".4f", open_units=1)
    assert open_digit.agrees
    assert not dataclasses.replace(open_digit, open_units=0).agrees
    assert not dataclasses.replace(open_digit, ours=(-4.41476,)).agrees


def test_float32_leaves_the_fourth_decimal_of_lbfgs_open(iris):
    first = set()
    printed = np.array([-4.4146, -9.1144, 6.5401, 12.6912])
    for seed in range(25):
        order = np.random.default_rng(seed).permutation(iris.n_samples)
        shuffled = dataclasses.replace(iris, X=iris.X[order], y=iris.y[order])
        w0, rng = models.parameter_start(D)
        objective = bind_sigmoid_bce(shuffled)
        w = run_optimizer(objective, models.LBFGSCalls(), rng, WHOLE_RUN, w0).w[-1]
        assert (np.abs(np.round(w, 4) - printed) < 1.5e-4).all()
        first.add(format(w[0], ".4f"))
    assert first == {"-4.4146", "-4.4147"}


# The start, the order of the rows, and what else the notebook shows of them.


def test_starts_are_what_seeding_torch_gives():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        assert torch.equal(models.parameter_start(D)[0], torch.randn((D, 1))[:, 0])
        torch.default_generator.manual_seed(0)
        layer = torch.nn.Linear(D, 1, bias=False)
        for _ in range(2):
            torch.empty((), dtype=torch.int64).random_()
        w0, rng = models.module_start(D)
        assert torch.equal(w0, layer.weight[0])
        assert rng.permutation(100).tolist() == torch.randperm(100).tolist()


def test_mini_batches_are_those_that_the_notebook_shows(iris):
    _, order = models.parameter_start(D)
    sizes = [len(rows) for rows in torch.as_tensor(order.permutation(100)).split(33)]
    assert sizes == [33, 33, 33, 1]
    second_epoch = iris.y[order.permutation(100)]
    assert "".join(map(str, second_epoch[:99])) == (
        "010000101100010010100000111101100"  # the three lines of labels that it prints
        "100001000100100000001000110011000"
        "000110110001010100010001000000101"
    )


def test_layers_drawn_after_the_momentum_run_have_the_printed_weights():
    generator = torch.Generator().manual_seed(0)
    torch.randn((D, 1), generator=generator)
    order = models.DataLoaderOrder(generator)
    for _ in range(100):
        order.permutation(100)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        weights = [
            next(make(D).parameters()).tolist()[0]
            for make in (models.sequential, models.named_sequential)
        ]
    assert np.round(weights, 4).tolist() == [
        [0.4141, 0.1839, -0.4931, 0.1987],
        [0.4850, -0.2075, 0.3661, 0.4047],
    ]


def test_global_generator_is_left_alone(run):
    _, before, after = run
    assert torch.equal(before, after)
    before = torch.get_rng_state()
    models.module_start(D)
    assert torch.equal(torch.get_rng_state(), before)


# The two numbers to see.


@pytest.mark.parametrize("experiment", ["SGD by hand", "SGD"])
def test_sgd_is_far_from_the_optimum_although_its_labels_agree(result, experiment):
    run = run_of(result, experiment, KERNEL)
    assert (run.score.steps, run.score.passes) == (400, 100.0)
    assert run.score.quality.label_agreement == run.label_agreement_with_sklearn == 0.96
    assert run.score.gap > 0.1  # nats, where f* = 0.069
    assert run.score.relative_gap > 0.05
    assert run.score.hits["1e-6"] is None


@pytest.mark.parametrize(
    ("experiment", "loss"),
    [("LBFGS", KERNEL), ("LBFGS", NOTEBOOK_LOSS), ("LBFGS on a module", MODULE_LOSS)],
)
def test_lbfgs_is_at_the_optimum_after_two_steps(result, experiment, loss):
    run = run_of(result, experiment, loss)
    relative = np.array(run.score.curve.gap) / run.score.curve.gap[0]
    assert run.score.curve.step == tuple(range(11))
    assert relative[1] > 1e-5
    assert (relative[2:] < 1e-6).all()
    assert run.score.quality.label_agreement == run.label_agreement_with_sklearn == 1.0
    assert run.score.hits["1e-6"] is not None


def test_no_run_failed(result):
    assert {run.score.status for run in result.runs} == {"converged", "budget"}
    assert not any(run.score.message for run in result.runs)


def test_scikit_learn_is_at_the_optimum(result):
    assert run_of(result, "scikit-learn", "scikit-learn's").score.relative_gap < 1e-7


# Identities.


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_gradient_by_hand_is_autograds(iris, seed):
    w = np.random.default_rng(seed).normal(size=D)
    # Logits of at most 10: far from those at which the notebook's loss loses digits in float64.
    w *= min(1.0, 10 / np.abs(np.concatenate([iris.X, iris.X_test]) @ w).max())
    z = iris.X_test @ w
    nll = iris.y_test * np.logaddexp(0, -z) + (1 - iris.y_test) * np.logaddexp(0, z)
    value = nll.mean()
    grad = (0.5 * (np.tanh(z / 2) + 1) - iris.y_test) @ iris.X_test / len(z)
    for kernel in ("numpy", KERNEL):
        f, g = bind(kernel, iris.X_test, iris.y_test).value_and_grad(w)
        assert float(f) == pytest.approx(value, rel=1e-10)
        np.testing.assert_allclose(np.asarray(g), grad, rtol=1e-9, atol=1e-12)
    on_train = bind("numpy", iris.X, iris.y).value_and_grad(w)
    f, g = bind_sigmoid_bce(iris, dtype="float64").value_and_grad(w)
    assert float(f) == pytest.approx(on_train[0], rel=1e-10)
    np.testing.assert_allclose(g.numpy(), on_train[1], rtol=1e-9, atol=1e-12)


@given(
    seed=st.integers(0, 2**32 - 1),
    lr=st.floats(1e-3, 0.3),
    batch_size=st.integers(1, 99),
)
@settings(max_examples=15)
def test_sgd_written_by_hand_is_torchs(iris, seed, lr, batch_size):
    objective = bind(KERNEL, iris.X, iris.y)
    by_hand, torchs = (
        run_optimizer(
            objective, make(lr=lr, batch_size=batch_size, epochs=2), _rng(seed), WHOLE_RUN
        )
        for make in (models.HandWrittenSGD, SGD)
    )
    assert by_hand.step[-1] == torchs.step[-1]
    np.testing.assert_allclose(by_hand.w, torchs.w, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", models.MODULES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_every_form_of_the_model_gives_the_same_probabilities(iris, kind, seed):
    w = torch.tensor(np.random.default_rng(seed).normal(size=D), dtype=torch.float32)
    X = torch.tensor(iris.X_test, dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        module = models.MODULES[kind](D)
    expected = models.bare_parameter(w, X)
    torch.testing.assert_close(model_of(module)(w, X), expected)
    (weight,) = module.parameters()
    weight.data = w[None, :]
    torch.testing.assert_close(module(X).detach().reshape(-1), expected)


@pytest.mark.parametrize("kind", models.MODULES)
@pytest.mark.parametrize(
    "spec",
    [
        "lbfgs",
        "lbfgs:line_search=strong_wolfe",
        "sgd:lr=0.01,batch_size=33",
        "momentum:lr=0.01,batch_size=33",
        "adam:lr=0.1,batch_size=33",
    ],
)
def test_every_optimizer_trains_every_form_of_the_model(iris, kind, spec):
    with torch.random.fork_rng(devices=[]):
        module = models.MODULES[kind](D)
    optimizer, budget = make_optimizer(spec), Budget(passes=20, seconds=math.inf)
    bare, of_module = (
        run_optimizer(bind_sigmoid_bce(iris, model, "float64"), optimizer, _rng(0), budget)
        for model in (models.bare_parameter, model_of(module))
    )
    np.testing.assert_allclose(of_module.w, bare.w, rtol=1e-6, atol=1e-8)
    reference = bind("numpy", iris.X, iris.y)
    assert reference.value_and_grad(bare.w[-1])[0] < reference.value_and_grad(bare.w[0])[0]


def test_adam_on_a_modules_own_parameters_is_the_pipelines(iris, result):
    module, order = _module()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    objective = bind_sigmoid_bce(iris)
    for _ in range(100):
        for rows in torch.as_tensor(order.permutation(100)).split(33):
            optimizer.zero_grad()
            loss = torch.nn.BCELoss()(module(objective.X[rows]), objective.y[rows])
            loss.backward()
            optimizer.step()
    ours = run_of(result, "Adam on a module", MODULE_LOSS).w
    np.testing.assert_allclose(module.linear.weight.tolist()[0], ours, atol=2e-5)


def test_lbfgs_on_a_modules_own_parameters_lands_on_scikit_learns(iris, result):
    module, _ = _module()
    optimizer = torch.optim.LBFGS(module.parameters(), history_size=10)
    objective = bind_sigmoid_bce(iris)

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.BCELoss()(module(objective.X), objective.y)
        loss.backward()
        return loss

    for _ in range(10):
        optimizer.step(closure)
    w = module.linear.weight.tolist()[0]
    np.testing.assert_allclose(w, run_of(result, "LBFGS on a module", MODULE_LOSS).w, atol=5e-4)
    np.testing.assert_allclose(w, run_of(result, "scikit-learn", "scikit-learn's").w, atol=1e-2)
    X_test = torch.tensor(iris.X_test, dtype=torch.float32)
    probabilities = module(X_test).detach().tolist()
    assert " ".join(format(p, ".3f") for p in probabilities) == SKLEARN_PROBABILITIES


@pytest.mark.parametrize("loss", [KERNEL, NOTEBOOK_LOSS])
def test_the_projects_lbfgs_with_torchs_tolerances_ends_where_the_notebooks_does(
    iris, result, loss
):
    objective = (
        bind(KERNEL, iris.X, iris.y, dtype="float32") if loss == KERNEL else bind_sigmoid_bce(iris)
    )
    w0, rng = models.parameter_start(D)
    optimizer = LBFGS(tolerance_grad=1e-7, tolerance_change=1e-9)
    trace = run_optimizer(objective, optimizer, rng, WHOLE_RUN, w0)
    assert trace.stop == "converged"
    np.testing.assert_allclose(trace.w[-1], run_of(result, "LBFGS", loss).w, atol=1e-4)


# Where the notebook's loss is not the kernels'.


def test_the_notebooks_loss_drops_the_gradient_of_rows_that_are_very_wrong(iris):
    w = 30 / iris.X[iris.y == 0].mean(axis=0) / D  # z = 30 or so on rows of either class
    wrong = np.flatnonzero((iris.y == 0) & (iris.X @ w > 17.5))
    assert len(wrong) > 50
    _, lost = bind_sigmoid_bce(iris).value_and_grad(w, torch.as_tensor(wrong))
    _, exact = bind(KERNEL, iris.X, iris.y, dtype="float32").value_and_grad(w, wrong)
    assert torch.equal(lost, torch.zeros(D))
    np.testing.assert_allclose(exact.numpy(), iris.X[wrong].mean(axis=0), rtol=1e-4)


def test_momentum_takes_another_path_on_the_exact_gradient(result):
    notebooks = run_of(result, "momentum", NOTEBOOK_LOSS)
    exact = run_of(result, "momentum", KERNEL)
    assert np.abs(np.subtract(notebooks.w, exact.w)).max() > 1
    assert exact.score.gap < notebooks.score.gap / 2
    np.testing.assert_allclose(exact.w, [-5.1927, -7.6710, 8.1233, 8.3895], atol=2e-3)


def test_the_notebooks_loss_refuses_a_penalty():
    with pytest.raises(ValueError, match="set l2=0"):
        bind_sigmoid_bce(load_problem("iris:l2=0.1"))


def test_the_notebooks_loss_refuses_coefficients_of_another_shape(iris):
    with pytest.raises(ValueError, match="must have shape"):
        bind_sigmoid_bce(iris).value_and_grad(np.zeros(D + 1))


# Tables.


def test_tables_have_a_row_for_everything_that_was_found(result, tmp_path):
    written = write_notebook(result, tmp_path)
    tables = {path.stem: pd.read_csv(path) for path in written if path.suffix == ".csv"}
    rows = {name.removeprefix("notebook_"): len(table) for name, table in tables.items()}
    assert rows == {"numbers": len(ROWS), "runs": 9, "multiclass": 3, "lbfgs_steps": 33}
    by_hand = tables["notebook_numbers"].iloc[0]
    assert by_hand["notebook"] == by_hand["ours"] == "-4.414 -9.111 6.539 12.686"
    steps = tables["notebook_lbfgs_steps"]
    assert steps.loc[steps["step"] == 0, "relative_gap"].tolist() == [1.0] * 3
    runs = tables["notebook_runs"]
    assert runs["w"][1] == " ".join(f"{x:.4f}" for x in result.runs[1].w)
    assert runs["passes_to_1e-6"].isna().tolist() == [
        (hit := run.score.hits["1e-6"]) is None or hit.passes is None for run in result.runs
    ]


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _module() -> tuple[models.LinearSigmoid, models.DataLoaderOrder]:
    """The notebook's module as it finds it after set_seed(0)."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = models.LinearSigmoid(D)
    return module, models.module_start(D)[1]


# The section that the notebook left to its reader.


def test_both_losses_of_three_classes_end_where_scikit_learn_does(result) -> None:
    by_sklearn, nll, cross_entropy = result.multiclass
    assert by_sklearn.from_optimum <= 1e-12
    for row in (nll, cross_entropy):
        assert row.agrees
        assert row.from_sklearn <= 2e-6
        assert row.f == pytest.approx(by_sklearn.f, rel=1e-13)
        assert (row.test_accuracy, row.label_agreement) == (by_sklearn.test_accuracy, 1.0)
    assert nll.f == pytest.approx(cross_entropy.f, rel=1e-15)


def test_a_loss_that_is_another_one_is_found_out(monkeypatch) -> None:
    smoothed = {"smoothed": (LOSSES["logits + CrossEntropyLoss"][0], _Smoothed())}
    monkeypatch.setattr("bench.notebook.multiclass.LOSSES", smoothed)
    with pytest.raises(KernelMismatch):
        run_multiclass()


class _Smoothed(torch.nn.CrossEntropyLoss):
    def __init__(self) -> None:
        super().__init__(label_smoothing=0.01)
