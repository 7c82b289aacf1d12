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

from bench.comparisons import Cell, CellResult, Comparison, Side
from bench.errors import InputError
from bench.measure.environment import environment as environment_here
from bench.suites.run import OnProgress
from bench.track.cells import file_cells
from bench.track.processes import NotTimed, SideProcess
from bench.track.sampling import Plan, sample
from bench.track.worktrees import (
    WORKING_TREE,
    checked_out,
    git,
    merge_base,
    repository,
    side,
    without_hook,
)

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
    file = _relative(commits.file, root, commits.folder.resolve()) if commits.file else None
    head = side(root, commits.head)
    base = side(root, commits.base or merge_base(root, commits.head))
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
    done = subprocess.run(
        command,
        shell=True,
        cwd=tree,
        env=without_hook(os.environ),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it printed nothing"]
        raise InputError(
            f"--build failed in {tree.name} with exit code {done.returncode}: {lines[-1]}"
        )


def _relative(file: str, root: Path, folder: Path) -> str:
    """The file as both trees have it: relative to the root."""
    for path in (root / file, folder / file):
        if path.is_file() or Path(file).is_absolute():
            if not path.resolve().is_relative_to(root.resolve()):
                raise InputError(
                    f"--cells {file} is not in the repository {root}: both commits are to have it"
                )
            return str(path.resolve().relative_to(root.resolve()))
    return file


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
