"""Replace functions in loaded modules, for as long as their calls are counted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replacing(package: str, replacement: Callable[[str, Any], Any]) -> Iterator[None]:
    """Replace names in every loaded module of a package, and put them back at the end.

    Args:
        package: the beginning of the modules' names.
        replacement: called with a name and its value; returns what to put there, or None.
    """
    replaced = []
    for module in [m for name, m in sys.modules.items() if name.startswith(package)]:
        for name, value in list(vars(module).items()):
            other = replacement(name, value)
            if other is not None:
                replaced.append((module, name, value))
                setattr(module, name, other)
    try:
        yield
    finally:
        for module, name, value in replaced:
            setattr(module, name, value)
