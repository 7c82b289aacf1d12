"""Problems by name: each a function from a few parameters to a `Problem`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

from bench import specs
from bench.errors import InputError
from bench.problems.breast_cancer import breast_cancer
from bench.problems.digits import digits, digits10
from bench.problems.file import file
from bench.problems.iris import iris, iris3
from bench.problems.problem import Problem
from bench.problems.sparse import sparse
from bench.problems.synthetic import synthetic
from bench.problems.wine import wine

__all__ = ["PROBLEMS", "Problem", "load_problem"]

# A new problem is one file and one entry here.
PROBLEMS: Mapping[str, Callable[..., Problem]] = MappingProxyType(
    {
        "iris": iris,
        "iris3": iris3,
        "wine": wine,
        "breast_cancer": breast_cancer,
        "digits": digits,
        "digits10": digits10,
        "synthetic": synthetic,
        "sparse": sparse,
        "file": file,
    }
)


def load_problem(spec: str) -> Problem:
    """The problem that a spec names, e.g. `synthetic:n=1000,d=20,cond=1e4`.

    Raises:
        InputError: unknown name or parameter, or data that can't be fitted.
    """
    name, given = specs.parse(spec, PROBLEMS, "problem")
    try:
        problem = PROBLEMS[name](**given)
    except MemoryError:
        raise InputError(f"problem {spec!r}: needs more memory than there is") from None
    except (ValueError, TypeError, OSError) as error:
        raise InputError(f"problem {spec!r}: {' '.join(str(error).split())}") from error
    return dataclasses.replace(problem, name=spec.strip())
