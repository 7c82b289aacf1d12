"""Problems by name: each a function from a few parameters to a `Problem`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from bench import specs
from bench.errors import InputError
from bench.problems.file import file
from bench.problems.problem import Problem
from bench.problems.sklearn_datasets import breast_cancer, digits, digits10, iris, iris3, wine
from bench.problems.sparse import sparse
from bench.problems.synthetic import synthetic

__all__ = ["PROBLEMS", "Problem", "load_problem"]

# A new problem is one function and one entry here.
PROBLEMS: Mapping[str, Callable[..., Problem]] = {
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
