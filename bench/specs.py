"""Names with parameters, as users type them: `adam:lr=0.01,batch_size=256`.

A spec names a callable, such as a problem's function or an optimizer's dataclass. Its signature
gives the parameters, their types and their defaults. Tables show a spec as the user typed it.
"""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bench.errors import InputError

Factory = Callable[..., Any]

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse(spec: str, registry: Mapping[str, Factory], kind: str) -> tuple[str, dict[str, Any]]:
    """Split a spec into a registered name and its typed parameters.

    Args:
        spec: "name" or "name:key=value,key=value".
        registry: the callables, by name.
        kind: what they are called in an error message: "problem", "optimizer".
    Raises:
        InputError: unknown name or parameter, a value of the wrong type, a repeated key.
    """
    name, _, tail = spec.strip().partition(":")
    if name not in registry:
        raise InputError(unknown(kind, name, registry))
    signature = parameters(registry[name])
    given: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in tail.split(","))):
        key, equals, text = (part.strip() for part in item.partition("="))
        if not equals or not text:
            raise InputError(f"{kind} {spec!r}: {item!r} is not of the form key=value")
        if key not in signature:
            raise InputError(f"{kind} {name!r}: " + unknown("parameter", key, signature))
        if key in given:
            raise InputError(f"{kind} {spec!r}: {key} is given twice")
        given[key] = _convert(text, signature[key].annotation, f"{kind} {name!r}: {key}")
    missing = [k for k, p in signature.items() if p.default is p.empty and k not in given]
    if missing:
        raise InputError(f"{kind} {name!r} needs {', '.join(f'{k}=...' for k in missing)}")
    return name, given


def spell(name: str, given: Mapping[str, Any], factory: Factory) -> str:
    """The spec of an object that was made in Python, with the parameters that are not defaults."""
    items = [
        f"{key}={_text(given[key])}"
        for key, parameter in parameters(factory).items()
        if key in given and given[key] != parameter.default
    ]
    return name + (":" + ",".join(items) if items else "")


def parameters(factory: Factory) -> dict[str, inspect.Parameter]:
    """The parameters of a callable, with annotations as types rather than strings."""
    signature = inspect.signature(factory)
    owner = factory.__init__ if inspect.isclass(factory) else factory
    hints = typing.get_type_hints(owner)
    return {
        key: parameter.replace(annotation=hints.get(key, str))
        for key, parameter in signature.parameters.items()
    }


def signature_text(name: str, factory: Factory) -> str:
    """A spec with every default written out, for `list`: `adam:lr=0.1,batch_size=none`."""
    items = [
        f"{key}={'...' if parameter.default is parameter.empty else _text(parameter.default)}"
        for key, parameter in parameters(factory).items()
    ]
    return name + (":" + ",".join(items) if items else "")


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """An error message for an unknown name: the nearest known name, and all known names."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    there = ", ".join(names) if names else "none"
    return f"no {kind} {name!r}; {hint}there are: {there}"


def _convert(text: str, annotation: Any, where: str) -> Any:
    """`text` as the annotated type: str, bool, int, float or a Literal, or one of them or None."""
    choices = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        if text not in choices:
            raise InputError(f"{where} must be one of {', '.join(choices)}; got {text!r}")
        return text
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        if text.lower() == "none":
            return None
        (inner,) = (choice for choice in choices if choice is not type(None))
        return _convert(text, inner, where)
    try:
        if annotation is bool:
            return _TRUTH[text.lower()]
        if annotation is int:
            return _integer(text)
        if annotation is float:
            number = float(text)
            if not math.isfinite(number):
                raise ValueError
            return number
    except (ValueError, KeyError, OverflowError):
        wanted = {bool: "true or false", int: "an integer", float: "a finite number"}[annotation]
        raise InputError(f"{where} must be {wanted}; got {text!r}") from None
    return text


def _integer(text: str) -> int:
    """An integer, which may be typed as 1e6; ValueError for any other text."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if number != int(number):
            raise ValueError from None
        return int(number)


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
