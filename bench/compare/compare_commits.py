"""Compare two commits: check them out, sample them in turns, say what was found."""

from __future__ import annotations

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
from bench.compare.units import NotTimed
from bench.compare.worktrees import WORKING_TREE, checked_out, merge_base, repository, side
from bench.errors import InputError
from bench.git import git, without_hook
from bench.measure.environment import environment as environment_here

# Both sides run with what is installed here; where one of these differs, that may not be theirs.
_REQUIREMENTS = ("pyproject.toml", "constraints.txt", "requirements.txt", "setup.py", "setup.cfg")


@dataclass(frozen=True)
class Commits:
    """What to compare, and where.

    Args:
        base, head: any names that git knows; base None is where head left the main branch.
        folder: somewhere in the repository.
        file: a file of cells of the user's own, in the repository: relative to its root, or else
            to `folder`; None for a suite.
        build: a shell command to run in each worktree before anything is timed.
    """

    base: str | None = None
    head: str = WORKING_TREE
    folder: Path = Path()
    file: str | None = None
    build: str | None = None


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
        cells: such as `suite_cells` makes; where `commits` names a file, its cells are taken.
        on_session: given all that is known after each session.
    Raises:
        InputError: no repository, no such commit, no change, no cells, or a build that failed.
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
        if commits.build:
            for tree in trees:
                _build(commits.build, tree)
        if file:
            environment = {**environment_here(), "torch_threads": plan.threads}
        else:
            environment = _environment(trees, plan.threads)
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
                paired=True,
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


def _environment(trees: tuple[Path, Path], threads: int) -> dict[str, Any]:
    """What a side's process sees, after a check that its modules are those of its tree."""
    for tree in trees:
        process = SideProcess(tree, (), threads)
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


def _build(command: str, tree: Path) -> None:
    """Run it; what it prints, to either output, is seen on standard error."""
    done = subprocess.run(command, shell=True, cwd=tree, env=without_hook(os.environ), stdout=2)
    if done.returncode:
        raise InputError(
            f"--build failed in {tree.name} with exit code {done.returncode}; what it printed is "
            "above"
        )


def _relative(file: str, root: Path, folder: Path, sides: Sequence[Side]) -> str:
    """The file as commits have it, relative to the root: of the root's and the folder's the first
    that one of the sides has.

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
