"""Every command that a page, a workflow or .ci/run names exists, with its options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from ci_files import ACTION, PAGES, ROOT, WORKFLOWS, all_steps, blocks

import bench.__main__
import bench.report.__main__
from bench.command.doors import commands_of, name_variables

# `bench` is the console script where it begins a line; a path, a key or prose may hold the word.
NAMED = re.compile(r"(?:python3? (?:-P )?-m |^\s*)(bench(?:\.report)?)(?= |$)(?! =)([^`]*)")
VARIABLE = re.compile(r"\bBENCH_[A-Z]+_[A-Z_]+\b")
ENDS = {"&&", "||", "|", ";", "fi", "then", ">", ">>", "<", "2>&1"}
PROGRAMS: dict[str, click.Command] = {
    "bench": bench.__main__.bench,
    "bench.report": bench.report.__main__.report,
}


def shell_texts() -> list[tuple[str, str]]:
    """Where a command may be named, with its text: scripts, code blocks, and `code` in pages."""
    texts = [(str(step), step.run) for step in all_steps()]
    texts += [(str(block), block.text) for block in blocks("sh", "yaml")]
    texts.append((".ci/run", (ROOT / ".ci" / "run").read_text(encoding="utf-8")))
    for page in PAGES:
        in_line = re.findall(r"`((?:python -m )?bench[ .][^`]+)`", page.read_text(encoding="utf-8"))
        texts += [(page.name, code) for code in in_line]
    return texts


def named_commands() -> list[tuple[str, str, tuple[str, ...]]]:
    """Where, which program, and its arguments, of each command that is named."""
    found = {}
    for where, text in shell_texts():
        lines = re.sub(r"\\\n|\n(?=\s+--)", " ", text).splitlines()
        for program, rest in (match for line in lines for match in NAMED.findall(line)):
            words = shlex.split(rest, comments=True)
            ended = [i for i, word in enumerate(words) if word in ENDS]
            arguments = tuple(words[: ended[0]] if ended else words)
            found[program, arguments] = where
    return [(where, program, arguments) for (program, arguments), where in found.items()]


@pytest.mark.parametrize(
    ("where", "program", "arguments"),
    named_commands(),
    ids=[" ".join((program, *arguments)) for _, program, arguments in named_commands()],
)
def test_a_named_command_exists(where: str, program: str, arguments: tuple[str, ...]) -> None:
    check(PROGRAMS[program], program, list(arguments))


def check(command: click.Command, name: str, arguments: list[str]) -> None:
    """Parse the arguments as the command line does; raises click's UsageError for what is not
    there. Nothing is run."""
    while isinstance(command, click.Group) and arguments:
        with click.Context(command, info_name=name) as context:
            found = command.get_command(context, arguments[0])
        assert found is not None, f"{name} has no command {arguments[0]}"
        name, command, arguments = f"{name} {arguments[0]}", found, arguments[1:]
    if isinstance(command, click.Group):
        return  # named without a command of it
    context = click.Context(command, info_name=name)
    _, left, _ = command.make_parser(context).parse_args(arguments)
    assert left == []


def test_the_check_sees_what_is_missing() -> None:
    group = PROGRAMS["bench"]
    with pytest.raises(AssertionError, match="no command comparison"):
        check(group, "bench", ["comparison"])
    with pytest.raises(click.NoSuchOption):
        check(group, "bench", ["run", "--fast"])
    check(group, "bench", ["run", "-p", "iris", "--seeds", "1"])


def test_many_commands_are_seen() -> None:
    seen = {(program, arguments[:1]) for _, program, arguments in named_commands()}
    wanted = {("bench", (name,)) for name in ("compare", "counters", "history", "run", "list")}
    assert wanted | {("bench.report", ())} <= seen


def variables(command: click.Command) -> set[str]:
    """What sets an option of a command, or of a command below it."""
    found = {str(p.envvar) for p in command.params if isinstance(p, click.Option)}
    return found.union(*map(variables, commands_of(command).values()))


@pytest.mark.parametrize(
    "path",
    [*WORKFLOWS, ACTION, *PAGES, ROOT / "tests" / "ci" / "test_workflow_commands.py"],
    ids=lambda path: path.name,
)
def test_variables_set_options_that_exist(path: Path) -> None:
    known = set()
    for program, prefix in (("bench", "BENCH"), ("bench.report", "BENCH_REPORT")):
        name_variables(PROGRAMS[program], prefix)
        known |= variables(PROGRAMS[program])
    assert {"BENCH_COMPARE_CELLS", "BENCH_RUN_PROBLEM"} <= known
    assert set(VARIABLE.findall(path.read_text(encoding="utf-8"))) <= known
