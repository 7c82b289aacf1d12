"""Specs: what users type, and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st

from bench.errors import InputError
from bench.optimizers import OPTIMIZERS, make_optimizer
from bench.problems import PROBLEMS
from bench.specs import parameters, parse, signature_text, spell, unknown


@dataclass(frozen=True)
class Every:
    """One parameter of each kind that a spec can carry."""

    needed: int
    whole: int = 3
    real: float = 0.1
    text: str = "a"
    flag: bool = False
    choice: Literal["red", "blue"] = "red"
    maybe: int | None = None
    maybe_choice: Literal["soft"] | None = None


REGISTRY = {"every": Every, "other": Every}


def parsed(tail: str) -> Any:
    """The value of the one optional parameter that `tail` gives."""
    name, given_ = parse(f"every:needed=1,{tail}", REGISTRY, "thing")
    assert name == "every"
    assert given_.pop("needed") == 1
    ((_, value),) = given_.items()
    return value


@pytest.mark.parametrize(
    ("tail", "value"),
    [
        ("whole=7", 7),
        ("whole=-7", -7),
        ("whole=1e6", 1_000_000),
        ("whole=2.5e3", 2_500),
        ("whole=3.0", 3),
        ("whole=9007199254740993", 9007199254740993),  # 2**53 + 1, which no float is
        ("real=1", 1.0),
        ("real=1e-3", 1e-3),
        ("real=-.5", -0.5),
        ("real=5e-324", 5e-324),
        ("text=b", "b"),
        ("text=a=b", "a=b"),
        ("text=C:\\data\\x.csv", "C:\\data\\x.csv"),
        ("text=none", "none"),
        ("flag=true", True),
        ("flag=Yes", True),
        ("flag=1", True),
        ("flag=FALSE", False),
        ("flag=no", False),
        ("flag=0", False),
        ("choice=blue", "blue"),
        ("maybe=none", None),
        ("maybe=None", None),
        ("maybe=1e3", 1_000),
        ("maybe_choice=none", None),
        ("maybe_choice=soft", "soft"),
    ],
)
def test_value_has_the_annotated_type(tail: str, value: Any) -> None:
    found = parsed(tail)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "spec",
    [
        "every:needed=1,real=2",
        "  every:needed=1,real=2\n",
        "every: needed = 1 ,\treal= 2 ",
        "every:needed=1,,real=2,",
    ],
)
def test_space_and_empty_items_do_not_matter(spec: str) -> None:
    assert parse(spec, REGISTRY, "thing") == ("every", {"needed": 1, "real": 2.0})


@pytest.mark.parametrize("spec", ["lbfgs", "lbfgs:", " lbfgs "])
def test_a_name_alone_means_the_defaults(spec: str) -> None:
    assert parse(spec, OPTIMIZERS, "optimizer") == ("lbfgs", {})


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        ("whole=1.5", ["whole", "an integer", "'1.5'"]),
        ("whole=x", ["whole", "an integer", "'x'"]),
        ("whole=true", ["whole", "an integer", "'true'"]),
        ("whole=none", ["whole", "an integer", "'none'"]),
        ("whole=nan", ["whole", "an integer", "'nan'"]),
        ("whole=inf", ["whole", "an integer", "'inf'"]),
        ("whole=1e400", ["whole", "an integer", "'1e400'"]),
        ("real=nan", ["real", "a finite number", "'nan'"]),
        ("real=inf", ["real", "a finite number", "'inf'"]),
        ("real=-Infinity", ["real", "a finite number", "'-Infinity'"]),
        ("real=1e400", ["real", "a finite number", "'1e400'"]),
        ("real=fast", ["real", "a finite number", "'fast'"]),
        ("real=0,5", ["'5'", "key=value"]),
        ("flag=2", ["flag", "true or false", "'2'"]),
        ("flag=none", ["flag", "true or false", "'none'"]),
        ("choice=green", ["choice", "red, blue", "'green'"]),
        ("choice=none", ["choice", "red, blue", "'none'"]),
        ("maybe=x", ["maybe", "an integer", "'x'"]),
        ("maybe_choice=hard", ["maybe_choice", "soft", "'hard'"]),
        ("real", ["'real'", "key=value"]),
        ("real=", ["'real='", "key=value"]),
        ("=1", ["''", "there are: needed, whole"]),
        ("real=1,real=1", ["real", "twice"]),
        ("needed=2", ["needed", "twice"]),
        ("Real=1", ["no parameter 'Real'", "did you mean 'real'"]),
        ("wole=1", ["no parameter 'wole'", "did you mean 'whole'", "there are: needed, whole"]),
        ("zzz=1", ["no parameter 'zzz'", "there are: needed, whole, real"]),
    ],
)
def test_bad_parameter_gets_one_line(tail: str, says: list[str]) -> None:
    with pytest.raises(InputError) as refused:
        parse(f"every:needed=1,{tail}", REGISTRY, "thing")
    message = str(refused.value)
    assert "\n" not in message
    for part in ["thing", "every", *says]:
        assert part in message


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("adm", "no optimizer 'adm'; did you mean 'adam'? there are: lbfgs, sgd, momentum, adam"),
        ("xyz", "no optimizer 'xyz'; there are: lbfgs, sgd, momentum, adam"),
        ("", "no optimizer ''; there are: lbfgs, sgd, momentum, adam"),
        (":lr=1", "no optimizer ''; there are: lbfgs, sgd, momentum, adam"),
    ],
)
def test_unknown_name_is_told_the_nearest_and_all(name: str, says: str) -> None:
    assert list(OPTIMIZERS)[:4] == ["lbfgs", "sgd", "momentum", "adam"]
    with pytest.raises(InputError) as refused:
        make_optimizer(name)
    assert str(refused.value).startswith(says)


def test_unknown_in_an_empty_registry() -> None:
    assert unknown("thing", "x", {}) == "no thing 'x'; there are: none"


def test_missing_parameters_are_named() -> None:
    with pytest.raises(InputError, match=r"thing 'every' needs needed=\.\.\."):
        parse("every:real=1", REGISTRY, "thing")


# Hyper-parameters as the dataclasses declare them; ranges that make sense to run are not asked for.
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_POSITIVE = _FLOATS.map(abs)
_WHOLE = st.integers(min_value=1, max_value=2**70)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a parameter's type."""
    choices = get_args(annotation)
    if get_origin(annotation) is Literal:
        return st.sampled_from(choices)
    if choices:
        return st.one_of(*map(values_of, choices))
    fractions = st.floats(0, 1, exclude_min=True, exclude_max=True)
    return {
        bool: st.booleans(),
        int: _WHOLE,
        float: fractions | _POSITIVE,
        type(None): st.none(),
    }[annotation]


@st.composite
def optimizers(draw: st.DrawFn) -> tuple[str, Any]:
    """A registered optimizer with any hyper-parameters that it takes."""
    name = draw(st.sampled_from(sorted(OPTIMIZERS)))
    declared = parameters(OPTIMIZERS[name])
    drawn = {k: draw(values_of(p.annotation)) for k, p in declared.items() if draw(st.booleans())}
    try:
        return name, OPTIMIZERS[name](**drawn)
    except ValueError:  # out of its range: tests of the command line see to that
        reject()


@given(optimizers())
@example(("sgd", OPTIMIZERS["sgd"](batch_size=2**53 + 1)))  # not a float
@example(("adagrad", OPTIMIZERS["adagrad"](initial_accumulator_value=1e300)))  # beyond float32
def test_spelled_optimizer_parses_back(named: tuple[str, Any]) -> None:
    name, optimizer = named
    spec = spell(name, asdict(optimizer), type(optimizer))
    assert make_optimizer(spec) == optimizer


@given(
    st.builds(
        Every,
        needed=st.integers(),
        whole=st.integers(),
        real=_FLOATS,
        text=st.text("abc./_-", min_size=1),
        flag=st.booleans(),
        choice=st.sampled_from(["red", "blue"]),
        maybe=st.none() | st.integers(),
        maybe_choice=st.sampled_from([None, "soft"]),
    )
)
@example(Every(needed=2**53 + 1, real=-0.0))
def test_every_kind_of_parameter_parses_back(thing: Every) -> None:
    name, found = parse(spell("every", asdict(thing), Every), REGISTRY, "thing")
    back = REGISTRY[name](**found)
    assert back == thing


@pytest.mark.parametrize(
    ("given_", "spec"),
    [
        ({}, "adam"),
        ({"lr": 0.1, "beta1": 0.9}, "adam"),
        ({"lr": 0.01}, "adam:lr=0.01"),
        ({"lr": 1.0}, "adam:lr=1"),
        ({"lr": 1e-8}, "adam:lr=1e-08"),
        ({"lr": 0.12345678901234566}, "adam:lr=0.12345678901234566"),
        ({"batch_size": 256, "lr": 0.01}, "adam:lr=0.01,batch_size=256"),
        ({"batch_size": None}, "adam"),
        ({"not_a_parameter": 1}, "adam"),
    ],
)
def test_spell_writes_what_differs_in_order(given_: dict[str, Any], spec: str) -> None:
    assert spell("adam", given_, OPTIMIZERS["adam"]) == spec


def test_spell_writes_truth_and_none_as_they_are_read() -> None:
    def thing(flag: bool = False, maybe: int | None = 3) -> None: ...

    assert spell("t", {"flag": True, "maybe": None}, thing) == "t:flag=true,maybe=none"


def test_signature_text_shows_every_parameter() -> None:
    assert signature_text("every", Every) == (
        "every:needed=...,whole=3,real=0.1,text=a,flag=false,choice=red,maybe=none,maybe_choice=none"
    )
    assert signature_text("bare", lambda: None) == "bare"


@pytest.mark.parametrize(
    ("name", "factory"),
    [*OPTIMIZERS.items(), *((n, f) for n, f in PROBLEMS.items() if n != "file")],
)
def test_signature_text_is_a_spec_of_the_defaults(name: str, factory: Any) -> None:
    text = signature_text(name, factory)
    _, found = parse(text, {name: factory}, "thing")
    assert spell(name, found, factory) == name
    assert len(found) == text.count("=")
