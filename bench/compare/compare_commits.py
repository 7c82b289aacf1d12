"""Compare two commits: check them out, build them, and sample them in turns."""

from __future__ import annotations

import ast
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.command.progress import OnProgress
from bench.compare.cells import file_cells
from bench.compare.comparison import Cell, CellResult, Comparison, Side
from bench.compare.processes import SideProcess
from bench.compare.sampling import Plan, sample
from bench.compare.workloads import NotTimed
from bench.compare.worktrees import WORKING_TREE, checked_out, merge_base, repository, side
from bench.errors import InputError
from bench.git import git, without_hook
from bench.measure.environment import environment as environment_here

# Both sides run with the packages installed here. Where one of these files differs between the
# commits, they may ask for other packages.
_REQUIREMENTS = ("pyproject.toml", "constraints.txt", "requirements.txt", "setup.py", "setup.cfg")


@dataclass(frozen=True)
class Commits:
    """The two commits to compare.

    Args:
        base, head: any names that git knows. None stands for the commit at which head left the
            main branch.
        folder: any folder in the repository.
        file: a file with cells of the user's own, relative to the repository's root or to
            `folder`; None for cells of a suite.
    """

    base: str | None = None
    head: str = WORKING_TREE
    folder: Path = Path()
    file: str | None = None


def compare_commits(
    commits: Commits,
    cells: Sequence[Cell],
    plan: Plan,
    *,
    on_progress: OnProgress | None = None,
    on_session: Callable[[Comparison], None] | None = None,
) -> Comparison:
    """Time cells on both sides in turns.

    Args:
        cells: such as `suite_cells` makes; left aside where `commits` names a file of cells.
        on_session: called with the comparison so far after each session.
    Raises:
        InputError: no repository, no such commit, no change, no cells, or a build failed.
    """
    start = time.monotonic()
    root = repository(commits.folder.resolve())
    head = side(root, commits.head)
    base = side(root, commits.base or merge_base(root, commits.head))
    file = None
    if commits.file:
        file = _relative(commits.file, root, commits.folder.resolve(), (head, base))
    if commits.base is None and _same_files(root, base, head):
        raise InputError(
            f"nothing to compare: {head.name} has the files of {base.commit[:9]}, where it left "
            "the main branch; change something, or name another base, such as --base HEAD~1"
        )
    with checked_out(root, base, head) as trees:
        if file:
            for tree in trees:
                _build(tree, file)
            environment = {**environment_here(), "torch_threads": 1}
        else:
            environment = _environment(trees)
        chosen = file_cells(file, trees) if file else list(cells)
        if not chosen:
            raise InputError("there is nothing to compare: no cell that is named can run here")
        notes = _notes(root, base, head)

        def comparison(results: list[CellResult], sessions: int) -> Comparison:
            return Comparison(
                base=base,
                head=head,
                cells=tuple(results),
                threshold=plan.threshold,
                confidence=plan.confidence,
                sessions=sessions,
                seconds=time.monotonic() - start,
                environment=environment,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                notes=notes,
            )

        results, sessions = sample(
            trees,
            chosen,
            plan,
            on_progress=on_progress,
            on_session=lambda *found: on_session(comparison(*found)) if on_session else None,
        )
    return comparison(results, sessions)


def _environment(trees: tuple[Path, Path]) -> dict[str, Any]:
    """Machine and versions as head sees them, after a check that each side imports its own tree."""
    for tree in trees:
        process = SideProcess(tree, None)
        try:
            found = process.environment()
        except NotTimed as error:
            raise InputError(f"{tree.name} can't be imported: {error}") from None
        finally:
            process.close()
        if not Path(found["tree"]).is_relative_to(tree):
            raise InputError(
                f"{tree.name} has no package bench of its own: compare cells of your own with "
                "--cells FILE"
            )
    return dict(found["environment"])


def _build(tree: Path, file: str) -> None:
    """Run the build command of a worktree, if any; all its output goes to standard error."""
    command = _build_command(tree / file)
    if not command:
        return
    done = subprocess.run(command, shell=True, cwd=tree, env=without_hook(os.environ), stdout=2)
    if done.returncode:
        raise InputError(
            f"BUILD of {file} failed in {tree.name} with exit code {done.returncode}; its output "
            "is above"
        )


def _build_command(path: Path) -> str:
    """The value of `BUILD = "..."` in a file of cells, or nothing.

    The file is only parsed, since to run it may need what is yet to be built.
    """
    try:
        statements = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return ""  # whoever imports it says what is wrong
    for statement in statements:
        match statement:
            case ast.Assign([ast.Name("BUILD")], ast.Constant(str(command))):
                return command
    return ""


def _relative(file: str, root: Path, folder: Path, sides: Sequence[Side]) -> str:
    """The path of a file relative to the repository's root.

    It may have been given relative to the root or to `folder`. The first path that one of the
    commits has is taken.

    Raises:
        InputError: it is outside the repository.
    """
    paths = [path.resolve() for path in (root / file, folder / file)]
    inside = [
        path.relative_to(root.resolve()).as_posix()
        for path in paths
        if path.is_relative_to(root.resolve())
    ]
    if not inside:
        raise InputError(
            f"--cells {file} is not in the repository {root}: both commits are to have it"
        )
    for one in sides:
        for path in inside:
            if git("ls-tree", "--name-only", one.commit, "--", path, cwd=root):
                return path
    return inside[0]


def _same_files(root: Path, base: Side, head: Side) -> bool:
    trees = [git("rev-parse", f"{one.commit}^{{tree}}", cwd=root) for one in (base, head)]
    return trees[0] == trees[1]


def _notes(root: Path, base: Side, head: Side) -> tuple[str, ...]:
    changed = git("diff", "--name-only", base.commit, head.commit, cwd=root).splitlines()
    requirements = [name for name in changed if Path(name).name in _REQUIREMENTS]
    if not requirements:
        return ()
    return (
        f"{', '.join(requirements)} differs: both sides ran with the packages installed here, so "
        "what other versions of these would change was not measured",
    )
