"""Compare two commits: check them out, build them, and sample them in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.command.progress import OnProgress
from bench.compare.cells import own_cells, path_in_repository
from bench.compare.comparison import Cell, CellResult, Comparison
from bench.compare.processes import SideProcess
from bench.compare.sampling import Plan, sample
from bench.compare.workloads import NotTimed
from bench.compare.worktrees import WORKING_TREE, checked_out, merge_base, repository, side
from bench.errors import InputError
from bench.git import git
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
        file: of the user's own cells, relative to the repository's root or to `folder`; None for
            cells of a suite.
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
        cells: of a suite; not used where `commits` names a file of cells.
        on_session: called with the comparison so far after each session.
    Raises:
        InputError: no repository, no such commit, no change, no cells, or a build failed.
    """
    start = time.monotonic()
    folder = commits.folder.resolve()
    root = repository(folder)
    head = side(root, commits.head)
    base = side(root, commits.base or merge_base(root, commits.head))
    file = commits.file and path_in_repository(commits.file, root, folder, (head, base))
    changed = git("diff", "--name-only", base.commit, head.commit, cwd=root).splitlines()
    if commits.base is None and not changed:
        raise InputError(
            f"nothing to compare: {head.name} has the files of {base.commit[:9]}, where it left "
            "the main branch; change something, or name another base, such as --base HEAD~1"
        )
    with checked_out(root, base, head) as trees:
        if file:
            cells, environment = own_cells(file, trees), {**environment_here(), "torch_threads": 1}
        else:
            environment = _environment(trees)
        if not cells:
            raise InputError("there is nothing to compare: no cell that is named can run here")

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
                notes=_notes(changed),
            )

        results, sessions = sample(
            trees,
            cells,
            plan,
            on_progress=on_progress,
            on_session=lambda *found: on_session(comparison(*found)) if on_session else None,
        )
    return comparison(results, sessions)


def _environment(trees: tuple[Path, Path]) -> dict[str, Any]:
    """Machine and versions as head sees them, after a check that each side imports its own tree."""
    for tree in trees:
        with closing(SideProcess(tree, None)) as process:
            try:
                found = process.ask("environment")
            except NotTimed as error:
                raise InputError(f"{tree.name} can't be imported: {error}") from None
        if not Path(found["tree"]).is_relative_to(tree):
            raise InputError(
                f"{tree.name} has no package bench of its own: compare cells of your own with "
                "--cells FILE"
            )
    return dict(found["environment"])


def _notes(changed: Sequence[str]) -> tuple[str, ...]:
    """A note on changed files that name the packages to install."""
    requirements = [name for name in changed if Path(name).name in _REQUIREMENTS]
    if not requirements:
        return ()
    return (
        f"{', '.join(requirements)} differs: both sides ran with the packages installed here, so "
        "what other versions of these would change was not measured",
    )
