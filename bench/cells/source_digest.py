"""Which sources a kernel's or an optimizer's results depend on, found from their imports.

The digest covers the module of a class and every module that it imports, directly or not, also
late, inside a function. It follows the import statements without executing them:

    import a.b             the module a.b
    from a import b        the module a.b where there is one; else the module a, which defines b
    from . import b        likewise, in the package of the importing module

Where a package's `__init__` only passes a name on (`from a.c import b`), the module that it comes
from stands for the package. The `__init__` of parents, executed on the way to a module, do not
count unless they are imported by name. Otherwise every kernel would depend on all kernels by way
of `logreg_kernels/__init__.py`, and an edit of one would void the records of all.

Left out are what is imported for type checkers alone, the standard library and installed packages,
except for those that the class itself is part of.

`importlib.import_module` is followed, too: with a string to that module, with an f-string such as
`f"a.{name}"` to all modules that it may name. With anything else it is not.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import all_suffixes
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

    Found once a process, which has loaded one version of the code.

    Returns:
        "no source" for a class without a file, as one typed at a prompt.
    """
    try:
        modules = imported_modules(_module_of(owner))
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
        if module.name in found:
            continue
        found[module.name] = module
        tree = _parsed(module.file)
        names = [
            finder.origin(*asked)
            for statement in _imports(tree)
            for asked in _asked_for(statement, module)
        ]
        names += [name for start_of in _dynamic(tree) for name in finder.starting_with(*start_of)]
        pending += [m for m in map(finder.find, names) if m is not None]
    return [found[name] for name in sorted(found)]


def _module_of(owner: type) -> Module:
    file = Path(inspect.getfile(owner))
    spec = getattr(sys.modules.get(owner.__module__), "__spec__", None)
    return Module(spec.name if spec else owner.__module__, file)


def _parsed(file: Path) -> ast.Module:
    """The source as a tree: empty for what is no Python source, or has a syntax error."""
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import statement below a node, but for those that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and _for_type_checkers(child.test):
            yield from _imports(ast.Module(child.orelse, []))
        else:
            yield from _imports(child)


def _for_type_checkers(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _asked_for(
    statement: ast.Import | ast.ImportFrom, importer: Module
) -> Iterator[tuple[str, str]]:
    """(module, "") for `import module`, and (module, name) for `from module import name`."""
    if isinstance(statement, ast.Import):
        yield from ((alias.name, "") for alias in statement.names)
        return
    base = statement.module or ""
    if statement.level:
        parents = importer.package.split(".")
        parents = parents[: len(parents) - statement.level + 1]
        base = ".".join([*parents, *filter(None, [statement.module])])
    yield from ((base, alias.name) for alias in statement.names)


def _dynamic(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """What calls of `import_module` name: (name, True), or (its constant beginning, False)."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and len(node.args) == 1):
            continue
        if ast.unparse(node.func) not in ("import_module", "importlib.import_module"):
            continue
        (argument,) = node.args
        whole = isinstance(argument, ast.Constant)
        first = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value, whole


class _Finder:
    """Finds modules as an import would, without executing anything, around one module."""

    def __init__(self, start: Module) -> None:
        self._beside = start.file.parent
        self._followed = {"bench", "logreg_kernels", start.name.partition(".")[0]}
        self._top_level: dict[str, _Place] = {}

    def find(self, name: str) -> Module | None:
        """The module of a dotted name.

        None for what is missing, built in, installed, or a package without a file.
        """
        file = self._place(name).file
        return Module(name, file) if file else None

    def origin(self, base: str, name: str) -> str:
        """The module that `from base import name` gets `name` from."""
        asked: set[tuple[str, str]] = set()
        while name and (base, name) not in asked:
            asked.add((base, name))
            if self.find(f"{base}.{name}"):
                return f"{base}.{name}"
            package = self.find(base)
            passed_on = _passed_on(package, name) if package else None
            if passed_on is None:
                break
            base, name = passed_on
        return base

    def starting_with(self, name: str, whole: bool) -> list[str]:
        """The name, or all modules of its package whose names begin like it."""
        if whole:
            return [name]
        package, _, beginning = name.rpartition(".")
        folders = self._place(package).folders if package else ()
        inside = [module.name for module in iter_modules([str(folder) for folder in folders])]
        return [f"{package}.{inner}" for inner in inside if inner.startswith(beginning)]

    def _place(self, name: str) -> _Place:
        top, *inner = name.split(".")
        if top not in self._top_level:
            self._top_level[top] = self._find_top_level(top)
        place = self._top_level[top]
        for part in inner:
            place = _inside(place.folders, part)
        return place

    def _find_top_level(self, name: str) -> _Place:
        try:
            spec = importlib.util.find_spec(name)
        except (ValueError, ImportError):  # a loaded module without a spec, or no module's name
            spec = None
        if spec is None:
            return _inside((self._beside,), name)
        file = Path(spec.origin) if spec.has_location and spec.origin else None
        if file and name not in self._followed and _is_installed(file):
            return _Place(None, ())
        return _Place(file, tuple(map(Path, spec.submodule_search_locations or ())))


@dataclass(frozen=True)
class _Place:
    """Where a module lies: its file, and the folders of its submodules if it is a package."""

    file: Path | None
    folders: tuple[Path, ...]


def _inside(folders: tuple[Path, ...], name: str) -> _Place:
    """A submodule in the folders of a package; a folder without `__init__.py` is one, too."""
    for folder in folders:
        if (package := folder / name / "__init__.py").is_file():
            return _Place(package, (package.parent,))
        for suffix in all_suffixes():
            if (module := folder / f"{name}{suffix}").is_file():
                return _Place(module, ())
    return _Place(None, tuple(folder / name for folder in folders if (folder / name).is_dir()))


def _passed_on(package: Module, name: str) -> tuple[str, str] | None:
    """Where a package's `__init__` imports a name from; None if it may define it itself."""
    if package.file.name != "__init__.py":
        return None
    imports: list[tuple[str, str]] = []
    for statement in _parsed(package.file).body:
        if isinstance(statement, ast.ImportFrom):
            bound = [alias.asname or alias.name for alias in statement.names]
            asked = zip(_asked_for(statement, package), bound, strict=True)
            imports += [one for one, as_name in asked if as_name == name]
        elif _binds(statement, name):
            return None
    return imports[0] if len(imports) == 1 else None


def _binds(statement: ast.stmt, name: str) -> bool:
    """Whether a statement may give a name a value."""
    return any(
        (isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load))
        or name in (getattr(node, "name", None), getattr(node, "asname", None))
        for node in ast.walk(statement)
    )


def _is_installed(file: Path) -> bool:
    resolved = file.resolve()
    return not _INSTALLED.isdisjoint(resolved.parts) or any(
        resolved.is_relative_to(folder) for folder in _STANDARD_LIBRARY
    )
