"""Pages are right: their links, their commands, their Python, and the rooms that they name."""

from __future__ import annotations

import re
import shlex
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from bench.__main__ import bench as bench_group
from bench.report.command import report

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = [ROOT / "README.md", ROOT / "docs" / "kernels.md", ROOT / "docs" / "extend.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PROGRAM = re.compile(r"^(?:python3? (?:-\w )*-m )?(bench\.report|bench)(?: |$)")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", read(page))


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name)
def test_relative_links_and_images_exist(page: Path) -> None:
    missing = []
    for target in LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, fragment = target.partition("#")
        linked = (page.parent / path) if path else page
        if not linked.exists() or (fragment and fragment not in anchors(linked)):
            missing.append(target)
    assert missing == []


def test_the_readme_is_short() -> None:
    assert len(read(ROOT / "README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", RUN, ids=name)
def test_the_python_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [text for language, text in FENCE.findall(read(page)) if language == "python"]
    assert blocks
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType(f"python_of_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look there
    for block in blocks:
        exec(compile(block, name(page), "exec"), vars(module))


def commands(page: Path) -> Iterator[str]:
    """The command lines of ours on a page, in code blocks and within lines."""
    text = read(page)
    lines = [
        line
        for language, block in FENCE.findall(text)
        if language in ("sh", "", "yaml")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += re.findall(r"^ {4}(\S.*)$", prose(page), re.MULTILINE)
    lines += [" ".join(inline.split()) for inline in re.findall(r"`([^`]+)`", prose(page))]
    for line in lines:
        without_comment = re.sub(r"(^|\s)#.*$", "", line)
        for part in re.split(r"&&|\|\||[;|]", without_comment):
            command = re.sub(r"^\s*(?:- )?(?:if )?", "", part).strip()
            if PROGRAM.match(command):
                yield command


ALL_COMMANDS = sorted({(name(page), line) for page in PAGES for line in commands(page)})


@pytest.mark.parametrize(("page", "line"), ALL_COMMANDS, ids=lambda value: value)
def test_command_lines_parse(page: str, line: str) -> None:
    assert wrong_with(line) == ""


def wrong_with(line: str) -> str:
    """Why a command line of ours can't be parsed; empty where it can."""
    program = PROGRAM.match(line)
    assert program is not None
    words = shlex.split(line[program.end() :])
    command: click.Command = report if program[1] == "bench.report" else bench_group
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        context = click.Context(command)
        below = command.get_command(context, words[0])
        if below is None:
            return f"no command {words[0]!r}"
        command, words = below, words[1:]
    context = click.Context(command, help_option_names=["-h", "--help"])
    try:
        given, left, order = command.make_parser(context).parse_args(words)
        for parameter in order:
            if isinstance(parameter.type, click.Choice):
                parameter.type_cast_value(context, given[parameter.name or ""])
    except click.UsageError as error:
        return error.format_message()
    return f"left over: {left}" if left else ""


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("bench report -p iris --seeds 2", ""),
        ("python -m bench.report --suite peers", ""),
        ("python -P -m bench selfcheck timing --clock bare", ""),
        ("bench reprot", "no command 'reprot'"),
        ("bench report --sedes 2", "No such option"),
        ("python -m bench.report -p", "requires an argument"),
        ("bench selfcheck timing --clock fast", "is not one of"),
        ("bench run iris", "left over"),
    ],
)
def test_a_wrong_command_line_is_found(line: str, wrong: str) -> None:
    assert wrong in wrong_with(line)
    assert bool(wrong) == bool(wrong_with(line))


def test_commands_are_found_on_the_pages() -> None:
    pages = {page for page, _ in ALL_COMMANDS}
    assert {"README.md", "CONTRIBUTING.md", "docs/method.md", "docs/extend.md"} <= pages


def glossary_rows() -> list[list[str]]:
    lines = read(ROOT / "docs" / "glossary.md").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| word |")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_the_glossary_names_rooms_that_exist() -> None:
    rows = glossary_rows()
    assert [row for row in rows if len(row) != 3] == []
    rooms = {word: room.strip("`") for word, _, room in rows}
    assert len(rooms) == len(rows), "a word stands there twice"
    assert [f"{word}: {room}" for word, room in rooms.items() if not (ROOT / room).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:bench|logreg_kernels|tests|docs)/[\w./]*)`", prose(page))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_hooks_run_what_ci_runs() -> None:
    loaded = yaml.safe_load(read(ROOT / ".pre-commit-config.yaml"))
    (local,) = loaded["repos"]
    entries = [hook["entry"] for hook in local["hooks"]]
    ran = [f"{line} " for line in read(ROOT / ".ci" / "run").splitlines()]
    assert [e for e in entries if not any(line.startswith(f"{e} ") for line in ran)] == []
    assert all(hook["language"] == "system" for hook in local["hooks"])
    assert not any(hook["pass_filenames"] for hook in local["hooks"])


def test_the_citation_names_this_version_and_license() -> None:
    citation = yaml.safe_load(read(ROOT / "CITATION.cff"))
    project = read(ROOT / "pyproject.toml")
    assert f'version = "{citation["version"]}"' in project
    assert f'license = "{citation["license"]}"' in project
    assert read(ROOT / "LICENSE").startswith(f"{citation['license']} License")
