"""Which sources a kernel's or an optimizer's results depend on, found from their imports.

The digest covers the module of a class and every module that it imports, directly or not, also
inside a function. The import statements are read, not executed:

    import a.b             the module a.b
    from a import b        the module a.b where there is one; else the module a, which defines b
    from . import b        likewise, in the package of the importing module

A package's `__init__` may import a name only to pass it on (`from a.c import b`). Then the module
that the name comes from stands for the package. An import executes the `__init__` of all parents,
but these count only where they are imported by name. Otherwise every kernel would depend on all
kernels through `logreg_kernels/__init__.py`, and an edit of one would void the records of all.

The standard library and installed packages are left out, except for the package of the class
itself. So is what only type checkers import.

`importlib.import_module` is followed where its argument begins with a constant. A string names a
module. An f-string such as `f"a.{name}"` names all modules that it may stand for.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from pkgutil import iter_modules

from bench.records import digest

_STANDARD_LIBRARY = tuple(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")
)
_INSTALLED = {"site-packages", "dist-packages"}  # those of other environments, too


@dataclass(frozen=True)
class Module:
    """A module's dotted name, and its file."""

    name: str
    file: Path

    @property
    def package(self) -> str:
        """What its relative imports start from."""
        return self.name if self.file.name == "__init__.py" else self.name.rpartition(".")[0]


@lru_cache(maxsize=64)
def source_digest(owner: type) -> str:
    """Digest of all sources that a class depends on, so that an edit is measured anew.

    It is computed once per process, as a process loads one version of the code only.

    Returns:
        "no source" for a class without a file, such as one typed at a prompt.
    """
    try:
        file = Path(inspect.getfile(owner))
        spec = getattr(sys.modules.get(owner.__module__), "__spec__", None)
        modules = imported_modules(Module(spec.name if spec else owner.__module__, file))
        return digest(*((m.name, m.file.read_bytes().hex()) for m in modules))
    except (OSError, TypeError):
        return "no source"


def imported_modules(start: Module) -> list[Module]:
    """A module and all that it imports, directly or not, by name; each once, cycles included."""
    finder = _Finder(start)
    found: dict[str, Module] = {}
    pending = [start]
    while pending:
        module = pending.pop()
        if module.name not in found:
            found[module.name] = module
            names = finder.imported_names(_parsed(module.file), module)
            pending += filter(None, map(finder.find, names))
    return [found[name] for name in sorted(found)]


class _Finder:
    """Finds modules as an import would, without executing anything, around one module."""

    def __init__(self, start: Module) -> None:
        self._beside = str(start.file.parent)
        self._followed = {"bench", "logreg_kernels", start.name.partition(".")[0]}
        self._specs: dict[str, ModuleSpec | None] = {}

    def imported_names(self, node: ast.AST, importer: Module) -> Iterator[str]:
        """The dotted names of all modules that are imported below a node."""
        children = ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, importer)
            yield from (self._origin(base, alias.name) for alias in node.names if base)
        elif isinstance(node, ast.Call) and len(node.args) == 1:
            if ast.unparse(node.func) in ("import_module", "importlib.import_module"):
                yield from self._named_by(node.args[0])
        elif isinstance(node, ast.If) and _for_type_checkers(node.test):
            children = iter(node.orelse)
        for child in children:
            yield from self.imported_names(child, importer)

    def find(self, name: str) -> Module | None:
        """The module of a dotted name.

        None for what is missing, built in, installed, or a package without a file.
        """
        spec = self._spec(name)
        if spec is None or spec.origin is None or not spec.has_location:
            return None
        return Module(name, Path(spec.origin))

    def _origin(self, base: str, name: str) -> str:
        """The module that `from base import name` gets `name` from."""
        asked: set[tuple[str, str]] = set()
        while (base, name) not in asked:
            asked.add((base, name))
            if self.find(f"{base}.{name}"):
                return f"{base}.{name}"
            package = self.find(base)
            passed_on = _passed_on(package, name) if package else None
            if passed_on is None:
                break
            base, name = passed_on
        return base

    def _named_by(self, argument: ast.expr) -> list[str]:
        """The modules that the argument of `import_module` may name."""
        first = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
        if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
            return []
        if first is argument:
            return [first.value]
        package, _, beginning = first.value.rpartition(".")
        inside = [module.name for module in iter_modules(self._folders(package))]
        return [f"{package}.{name}" for name in inside if name.startswith(beginning)]

    def _folders(self, package: str) -> list[str]:
        """Where a package's modules lie; empty for what is no package."""
        spec = self._spec(package) if package else None
        return list(spec.submodule_search_locations or ()) if spec else []

    def _spec(self, name: str) -> ModuleSpec | None:
        if name not in self._specs:
            package, _, last = name.rpartition(".")
            # Asked for the last part alone, PathFinder does not look for the parent in sys.modules.
            inside = PathFinder.find_spec(last, self._folders(package)) if package else None
            self._specs[name] = inside if package else self._top_level(name)
        return self._specs[name]

    def _top_level(self, name: str) -> ModuleSpec | None:
        spec = None
        with suppress(ValueError, ImportError):  # a loaded module without a spec, or no name
            spec = importlib.util.find_spec(name)
        if spec is None:
            return PathFinder.find_spec(name, [self._beside])
        if spec.origin is None or name in self._followed:
            return spec
        return spec if spec.has_location and not _is_installed(Path(spec.origin)) else None


def _parsed(file: Path) -> ast.Module:
    """The source as a tree: empty for what is no Python source, or has a syntax error."""
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _for_type_checkers(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _base(statement: ast.ImportFrom, importer: Module) -> str:
    """The `a` of `from a import b`, made absolute; "" where it leads out of all packages."""
    relative = "." * statement.level + (statement.module or "")
    with suppress(ImportError):
        return importlib.util.resolve_name(relative, importer.package)
    return ""


def _passed_on(package: Module, name: str) -> tuple[str, str] | None:
    """Where a package's `__init__` imports a name from; None if it may define it itself."""
    if package.file.name != "__init__.py":
        return None
    tree = _parsed(package.file)
    imports = [
        (_base(statement, package), alias.name)
        for statement in tree.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
        if _bound_by(alias) == name
    ]
    bindings = sum(_bound_by(node) == name for node in ast.walk(tree))
    return imports[0] if bindings == len(imports) == 1 else None


def _bound_by(node: ast.AST) -> str | None:
    """The name that a node may give a value."""
    if isinstance(node, ast.Name):
        return None if isinstance(node.ctx, ast.Load) else node.id
    return getattr(node, "asname", None) or getattr(node, "name", None)


def _is_installed(file: Path) -> bool:
    resolved = file.resolve()
    return not _INSTALLED.isdisjoint(resolved.parts) or any(
        resolved.is_relative_to(folder) for folder in _STANDARD_LIBRARY
    )
