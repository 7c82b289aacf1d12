"""What a record's key covers: the sources of a class, and of all that it imports."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cells.source_digest import Module, imported_modules, source_digest
from bench.optimizers import OPTIMIZERS
from logreg_kernels import KERNELS

MAIN = """
class Mine:
    def run(self, objective, w0, rng, on_step):
        {late}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """A folder on the path; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield Write(tmp_path)
    for name in set(sys.modules) - before:
        del sys.modules[name]


class Write:
    """Writes modules by dotted name, and tells their digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, **modules: str) -> None:
        for name, source in modules.items():
            file = self.folder.joinpath(*name.split("__")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)

    def package(self, name: str, source: str = "") -> None:
        file = self.folder.joinpath(*name.split("."), "__init__.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)

    def names(self, name: str) -> list[str]:
        importlib.invalidate_caches()
        file = self.folder.joinpath(*name.split(".")).with_suffix(".py")
        return [module.name for module in imported_modules(Module(name, file))]

    def digest(self, name: str) -> str:
        importlib.invalidate_caches()
        source_digest.cache_clear()
        return source_digest(importlib.import_module(name).Mine)


# How `own.main` may import `own.near`, which imports `own.far`.
FORMS = {
    "import": "import own.near",
    "import as": "import own.near as near",
    "from import": "from own.near import value",
    "from import star": "from own.near import *",
    "from package": "from own import near",
    "relative": "from .near import value",
    "relative module": "from . import near",
    "in a condition": "if True:\n    from . import near",
    "not for type checkers": "import typing\nif typing.TYPE_CHECKING:\n    import own.no\n"
    "else:\n    import own.near",
    "by name": "import importlib\nimportlib.import_module('own.near')",
    "by a name with a constant beginning": "from importlib import import_module\nx = 'ar'\n"
    "import_module(f'own.ne{x}')",
}


@pytest.mark.parametrize("form", FORMS)
def test_an_edit_two_imports_away_is_an_edit(write: Write, form: str) -> None:
    write.package("own")
    write(own__main=FORMS[form] + MAIN.format(late="pass"))
    write(own__near="from .far import value\n", own__far="value = 1\n", own__other="value = 1\n")
    before = write.digest("own.main")
    assert write.names("own.main") == ["own.far", "own.main", "own.near"]
    write(own__other="value = 2\n")
    assert write.digest("own.main") == before
    write(own__far="value = 2\n")
    assert write.digest("own.main") != before


@pytest.mark.parametrize("late", ["import own.near", "from . import near", "from own import near"])
def test_an_import_inside_a_function_counts(write: Write, late: str) -> None:
    write.package("own")
    write(own__main=MAIN.format(late=late))
    write(own__near="import own.far", own__far="")
    assert write.names("own.main") == ["own.far", "own.main", "own.near"]


def test_a_package_counts_where_it_is_imported_by_name_and_not_as_a_parent(write: Write) -> None:
    write.package("own")
    write.package("own.part", "import own.far\nSCALE = 2.0\n")
    write(own__far="", own__part__inner="")
    write(own__main="import own.part.inner")
    assert write.names("own.main") == ["own.main", "own.part.inner"]
    for whole in ("import own.part", "from own.part import SCALE", "from . import part"):
        write(own__main=whole)
        assert write.names("own.main") == ["own.far", "own.main", "own.part"]


def test_a_package_that_passes_a_name_on_stands_for_where_it_comes_from(write: Write) -> None:
    write.package("own", "from own.near import value as a\nfrom .far import b\n")
    write.package("more", "from own import a\n")
    write(own__near="", own__far="", own__main="from own import a")
    assert write.names("own.main") == ["own.main", "own.near"]
    write(own__main="from more import a")
    assert write.names("own.main") == ["own.main", "own.near"]
    # The name is bound again, so the package itself decides what it is.
    write.package("own", "from own.near import value as a\nfrom .far import b\na = a + 1\n")
    assert write.names("own.main") == ["own", "own.far", "own.main", "own.near"]


def test_cycles_end(write: Write) -> None:
    write.package("own", "from more import name\n")
    write.package("more", "from own import name\n")
    write(own__main="import own.near, own.main", own__near="from . import main\nimport own.near")
    assert write.names("own.main") == ["own.main", "own.near"]
    write(own__main="from own import name")
    assert set(write.names("own.main")) == {"own", "own.main", "more"}


def test_a_folder_without_init_is_a_package(write: Write) -> None:
    write(space__main="from space.inner.deep import value\nfrom . import near")
    write(space__near="", space__inner__deep="from ... import nothing\nfrom . import next")
    write(space__inner__next="")
    names = ["space.inner.deep", "space.inner.next", "space.main", "space.near"]
    assert write.names("space.main") == names


def test_what_is_missing_or_can_not_be_parsed_is_no_error(write: Write) -> None:
    write(main="import no_such_module, near.inner, sys.flags\nfrom near import a\nimport near")
    write(near="this is no Python")
    assert write.names("main") == ["main", "near"]
    write(near="\0")
    assert write.names("main") == ["main", "near"]


def test_a_module_beside_it_counts_also_off_the_path(tmp_path: Path) -> None:
    (tmp_path / "main_off_path.py").write_text("import near_off_path")
    (tmp_path / "near_off_path.py").write_text("")
    found = imported_modules(Module("main_off_path", tmp_path / "main_off_path.py"))
    assert [module.name for module in found] == ["main_off_path", "near_off_path"]


def test_the_standard_library_and_installed_packages_do_not_count(write: Write) -> None:
    write(main="import json, numpy.linalg\nfrom scipy.optimize import minimize\nimport torch")
    assert write.names("main") == ["main"]


def test_what_only_type_checkers_see_does_not_count(write: Write) -> None:
    write(near="", far="")
    write(main="import typing\nif typing.TYPE_CHECKING:\n    import near\nelse:\n    import far")
    assert write.names("main") == ["far", "main"]


def test_a_class_without_a_file_has_no_source() -> None:
    space: dict[str, type] = {}
    exec("class Typed: pass", {"__name__": "typed_at_a_prompt"}, space)
    assert source_digest(space["Typed"]) == "no source"


def names_of(owner: type) -> set[str]:
    module = sys.modules[owner.__module__]
    assert module.__file__ is not None
    return {
        found.name for found in imported_modules(Module(module.__name__, Path(module.__file__)))
    }


def test_our_own_optimizers_and_kernels_depend_on_their_own_modules_alone() -> None:
    adam = names_of(type(OPTIMIZERS["adam"]()))
    assert adam >= {"bench.optimizers.torch_first_order", "bench.optimizers.contract"}
    assert not adam & {"bench.optimizers.scipy_minimize", "bench.optimizers", "logreg_kernels"}
    assert "bench.optimizers.peer_library" in names_of(type(OPTIMIZERS["glum"]()))
    autograd = names_of(type(KERNELS["torch-autograd"]))
    assert autograd >= {"logreg_kernels.torch_kernels.devices", "logreg_kernels.contract"}
    assert not any(name.startswith("logreg_kernels.fused") for name in autograd)
    # Triton is optional: the modules that need it are imported late.
    assert "logreg_kernels.fused_cuda.device.binary" in names_of(type(KERNELS["fused-cuda"]))
