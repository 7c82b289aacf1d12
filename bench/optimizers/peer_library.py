"""What the solvers of other libraries share: whether they are installed, and what they warn of."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from sklearn.exceptions import ConvergenceWarning

# An option that older releases of scikit-learn, and glum 3.4, set for scipy's lbfgs.
OLD_OPTION = "scipy.optimize: The `disp` and `iprint` options"
_NOTHING = "(?!)"  # matches no message


def not_installed(module: str) -> str | None:
    """None if a library of the `peers` extra is installed, else what to do."""
    if find_spec(module) is not None:
        return None
    return f"{module} is not installed: pip install -e '.[peers]'"


@contextmanager
def noting_warnings(gave_up: str = _NOTHING, noise: str = _NOTHING) -> Iterator[Sequence[str]]:
    """Note a solver's warnings that it has not converged, and keep them off the screen.

    Yields what is, once the block is done, the list of those: scikit-learn's ConvergenceWarning,
    which glum uses, too, and messages that begin like `gave_up`. Other warnings are passed on.

    Args:
        gave_up: pattern of further messages that mean it.
        noise: pattern of messages to be dropped.
    """
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
