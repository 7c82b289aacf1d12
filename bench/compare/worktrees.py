"""Two states of a repository side by side: each in a git worktree of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.compare.comparison import Side
from bench.errors import InputError
from bench.git import git

WORKING_TREE = "working tree"

# Names of the main branch, in order of preference; the first is set by `git clone`.
_MAIN = ("origin/HEAD", "origin/main", "origin/master", "main", "master")


def repository(folder: Path) -> Path:
    """The root of the repository that a folder is in.

    Raises:
        InputError: it is in none, or git refuses it.
    """
    try:
        return Path(git("rev-parse", "--show-toplevel", cwd=folder))
    except InputError as error:
        if "not a git repository" not in str(error):
            raise
        raise InputError(f"{folder} is in no git repository: run it inside one") from None


def side(root: Path, ref: str) -> Side:
    """A commit by any name that git knows, or the working tree as it is now.

    Raises:
        InputError: git knows no such commit.
    """
    if ref == WORKING_TREE:
        head, commit = side(root, "HEAD"), _commit_of_working_tree(root)
        if git("diff", "--name-only", head.commit, commit, cwd=root):
            return Side(ref, commit, f"changes on top of: {head.subject}")
        return Side(ref, head.commit, head.subject)
    try:
        commit = git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", cwd=root)
    except InputError:
        if Path(ref).is_dir():
            raise InputError(
                f"{ref} is a folder, and only commits can be compared: `python -m bench history` "
                "follows saved results over commits"
            ) from None
        raise InputError(
            f"git knows no commit {ref!r}: fetch it (CI: a checkout with its whole history), or "
            "name another"
        ) from None
    return Side(ref, commit, git("log", "-1", "--format=%s", commit, cwd=root))


def merge_base(root: Path, head: str) -> str:
    """The commit at which `head` left the main branch.

    Raises:
        InputError: no branch of the usual names is there.
    """
    start = "HEAD" if head == WORKING_TREE else head
    for main in _MAIN:
        try:
            return git("merge-base", main, start, cwd=root)
        except InputError:
            continue
    raise InputError(
        f"no main branch is here ({', '.join(_MAIN)}), or it shares no commit with {start} (CI: a "
        "checkout of one commit alone): fetch the whole history, or name a base with --base REF"
    )


@contextmanager
def checked_out(root: Path, base: Side, head: Side) -> Iterator[tuple[Path, Path]]:
    """A worktree of each side under one temporary folder, which is removed afterwards.

    Their paths have the same length. A process keeps its path in memory, and a longer one shifts
    addresses, and with them times.

    Source: Mytkowicz, Diwan, Hauswirth and Sweeney (2009), "Producing wrong data without doing
        anything obviously wrong!", ASPLOS.
    """
    with tempfile.TemporaryDirectory(prefix="bench-compare-") as folder:
        trees = (Path(folder) / "base", Path(folder) / "head")
        try:
            for tree, commit in zip(trees, (base.commit, head.commit), strict=True):
                git("worktree", "add", "--detach", "--quiet", str(tree), commit, cwd=root)
            yield trees
        finally:
            for tree in trees:
                # An earlier error is the one to tell.
                with suppress(InputError):
                    git("worktree", "remove", "--force", str(tree), cwd=root)


def _commit_of_working_tree(root: Path) -> str:
    """A commit of all files that are not ignored, on no branch; index and files do not change."""
    with tempfile.TemporaryDirectory(prefix="bench-index-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("read-tree", "HEAD", cwd=root, **index)
        git("add", "--all", cwd=root, **index)
        tree = git("write-tree", cwd=root, **index)
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "bench"), ("EMAIL", "bench@localhost"))
    }
    return git("commit-tree", tree, "-p", "HEAD", "-m", WORKING_TREE, cwd=root, **who)
