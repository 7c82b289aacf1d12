"""The rooms of the house, and who may import whom: only downwards. Read from the source."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bench", "logreg_kernels")

# From the ground up. A module imports from its own floor and from those below; rooms that share a
# floor and are named by STRANGERS know nothing of each other. What stands on no floor is a door
# above all of them: the command line, and the suites of pytest.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("logreg_kernels",),
    ("bench.errors", "bench.specs", "bench.git", "bench.files", "bench.command"),
    ("bench.statistics",),
    ("bench.optimizers", "bench.problems", "bench.records"),
    ("bench.optima",),
    ("bench.measure",),
    ("bench.score",),
    ("bench.cells",),
    ("bench.roofline", "bench.selfcheck", "bench.notebook"),
    ("bench.report", "bench.compare", "bench.counters", "bench.history"),
)
DOORS = len(FLOORS)
STRANGERS = (
    ("bench.optimizers", "bench.problems", "bench.records"),
    ("bench.roofline", "bench.selfcheck", "bench.notebook"),
    ("bench.report", "bench.compare", "bench.counters", "bench.history"),
)
# What the report must never load: it reads records, and starts fast.
HEAVY = ("torch", "triton", "logreg_kernels")


@dataclass(frozen=True)
class Import:
    """One imported module; `when` is "at import", "in a function" or "for type checkers"."""

    importer: str
    imported: str
    line: int
    when: str

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported} ({self.when})"


@cache
def modules() -> dict[str, Path]:
    """Every module of the project, by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> tuple[Import, ...]:
    """Every import of every module."""
    return tuple(
        found
        for name, path in modules().items()
        for found in imports_of(name, path.read_text(encoding="utf-8"), path.stem == "__init__")
    )


def imports_of(module: str, source: str, is_package: bool) -> Iterator[Import]:
    """The imports in one module's source."""
    package = module if is_package else module.rpartition(".")[0]

    def visit(node: ast.AST, when: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                for imported in names(child, package):
                    yield Import(module, imported, child.lineno, when)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield from visit(child, "in a function")
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for statement in child.body:
                    yield from visit(ast.Module([statement], []), "for type checkers")
                for statement in child.orelse:
                    yield from visit(ast.Module([statement], []), when)
            else:
                yield from visit(child, when)

    yield from visit(ast.parse(source), "at import")


def names(node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """The modules that an import statement names; `from p import m` names p.m where m is one."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        parents = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*parents, *filter(None, [node.module])])
    inner = (f"{base}.{alias.name}" for alias in node.names)
    return [name if name in modules() else base for name in inner]


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def floor(module: str) -> int:
    for level, rooms in enumerate(FLOORS):
        if any(within(module, room) for room in rooms):
            return level
    return DOORS


def own(module: str) -> bool:
    return any(within(module, package) for package in PACKAGES)


def loaded_by(module: str) -> dict[str, tuple[str, ...]]:
    """What importing `module` loads, each with the way there; parents of packages included."""
    ways: dict[str, tuple[str, ...]] = {}
    waiting = [(module, (module,))]
    while waiting:
        name, way = waiting.pop()
        if name in ways:
            continue
        ways[name] = way
        parent = name.rpartition(".")[0]
        onward = [i.imported for i in imports() if i.importer == name and i.when == "at import"]
        waiting += [(target, (*way, target)) for target in [*filter(None, [parent]), *onward]]
    return ways


def test_the_reader_sees_every_kind_of_import() -> None:
    source = """
import torch
import bench.records, numpy as np
from bench import specs, run
from . import tables
from ..records import Record
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from bench.optima import optimum
else:
    import json
try:
    import tomllib
except ImportError:
    import tomli
class C:
    import math
    def f(self):
        from logreg_kernels import bind
"""
    found = [(i.imported, i.when) for i in imports_of("bench.report.answer", source, False)]
    assert found == [
        ("torch", "at import"),
        ("bench.records", "at import"),
        ("numpy", "at import"),
        ("bench.specs", "at import"),
        ("bench", "at import"),
        ("bench.report.tables", "at import"),
        ("bench.records", "at import"),
        ("typing", "at import"),
        ("bench.optima.optimum", "for type checkers"),
        ("json", "at import"),
        ("tomllib", "at import"),
        ("tomli", "at import"),
        ("math", "at import"),
        ("logreg_kernels", "in a function"),
    ]
    in_a_package = imports_of("bench.report", "from .tables import shorten", True)
    assert [i.imported for i in in_a_package] == ["bench.report.tables"]


def test_every_room_is_there() -> None:
    rooms = {room for rooms in FLOORS + STRANGERS for room in rooms}
    assert rooms <= set(modules())


def test_own_imports_exist() -> None:
    missing = [str(i) for i in imports() if own(i.imported) and i.imported not in modules()]
    assert missing == []


def test_imports_go_downwards() -> None:
    upwards = [
        str(i) for i in imports() if own(i.imported) and floor(i.imported) > floor(i.importer)
    ]
    assert upwards == []


def test_kernels_know_nothing_of_bench() -> None:
    found = [
        str(i)
        for i in imports()
        if within(i.importer, "logreg_kernels") and within(i.imported, "bench")
    ]
    assert found == []


@pytest.mark.parametrize("room", [room for rooms in STRANGERS for room in rooms])
def test_strangers_do_not_know_each_other(room: str) -> None:
    (rooms,) = (rooms for rooms in STRANGERS if room in rooms)
    others = [other for other in rooms if other != room]
    found = [
        str(i)
        for i in imports()
        if within(i.importer, room) and any(within(i.imported, other) for other in others)
    ]
    assert found == []


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for i in imports():
        if i.when != "for type checkers" and i.imported in graph:
            graph[i.importer].add(i.imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("imports in a cycle: " + " <- ".join(error.args[1]))


REPORT = [name for name in modules() if within(name, "bench.report")]


def test_the_report_names_no_heavy_module_anywhere() -> None:
    found = [
        str(i)
        for i in imports()
        if i.importer in REPORT and any(within(i.imported, heavy) for heavy in HEAVY)
    ]
    assert found == []


@pytest.mark.parametrize("module", REPORT)
def test_the_report_loads_no_heavy_module(module: str) -> None:
    ways = loaded_by(module)
    heavy = [name for name in ways if any(within(name, root) for root in HEAVY)]
    assert [" -> ".join(ways[name]) for name in heavy] == []


def test_importing_the_report_leaves_torch_out() -> None:
    # In a process of its own: also what other packages load is seen here.
    code = (
        "import importlib, json, sys\n"
        f"for name in {REPORT!r}:\n"
        "    importlib.import_module(name)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
