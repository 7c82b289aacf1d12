"""What the solvers of other libraries share."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from sklearn.exceptions import ConvergenceWarning

from bench.optimizers.contract import RefitSolver

_NOTHING = "(?!)"  # matches no message


class Peer(RefitSolver):
    """A solver of another library, with a tolerance."""

    takes_csr = True
    tol: float

    def __post_init__(self) -> None:
        if self.tol < 0:
            raise ValueError(f"tol must not be negative; got {self.tol:g}")


def not_installed(module: str) -> str | None:
    """None if a library of the `peers` extra is installed, else what to do."""
    if find_spec(module) is not None:
        return None
    return f"{module} is not installed: pip install -e '.[peers]'"


@contextmanager
def noting_warnings(gave_up: str = _NOTHING, noise: str = _NOTHING) -> Iterator[Sequence[str]]:
    """Note the warnings that a solver has not converged, and keep them off the screen.

    These are scikit-learn's ConvergenceWarning, which glum also uses, and the messages that begin
    with `gave_up`. Other warnings are passed on. The list that is yielded is filled at the end of
    the block.

    Args:
        gave_up: pattern of messages that also mean it.
        noise: pattern of messages to be dropped.
    """
    # Older releases of scikit-learn, and glum 3.4, set such an option for scipy's lbfgs.
    noise = f"{noise}|scipy.optimize: The `disp` and `iprint` options"
    noted: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        warnings.filterwarnings("always", message=gave_up)
        warnings.filterwarnings("ignore", message=noise)
        yield noted
    for warning in caught:
        text = str(warning.message)
        if issubclass(warning.category, ConvergenceWarning) or re.match(gave_up, text):
            noted.append(text)
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
