"""`python -m bench compare` on repositories with a fake clock: verdicts, failures, exit codes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest
from repositories import cells_source, commit, git

from bench.compare.compare_commits import Commits, compare_commits
from bench.compare.comparison import Comparison, Side
from bench.compare.processes import last_cpu
from bench.compare.report import headline, markdown, write_comparison
from bench.compare.sampling import Plan
from bench.compare.worktrees import WORKING_TREE, merge_base, repository, side
from bench.errors import InputError
from bench.statistics.verdicts import LOOKS

pytestmark = pytest.mark.usefixtures("few_sessions")


def compare(
    folder: Path, base: str = "HEAD", head: str = WORKING_TREE, **plan: float
) -> Comparison:
    return compare_commits(
        Commits(base, head, folder, file="cells.py"), (), Plan(**{"minutes": 2.0, **plan})
    )


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {result.cell.problem: result.verdict for result in comparison.cells}


@pytest.mark.slow
def test_each_verdict_on_a_clock_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.compare.sampling.LOOKS", LOOKS)
    commit(tmp_path, "base", cells=cells_source(slow=1e-3, fast=1e-3, same=1e-3))
    (tmp_path / "cells.py").write_text(cells_source(slow=1.2e-3, fast=0.8e-3, same=1.005e-3))
    found = compare(tmp_path)
    assert verdicts(found) == {"slow": "SLOWER", "fast": "FASTER", "same": "SAME"}
    assert found.sessions == LOOKS[0]
    slow = next(result for result in found.cells if result.cell.problem == "slow")
    assert slow.ratio == pytest.approx(1.2, rel=0.01)
    assert slow.low is not None
    assert slow.high is not None
    assert slow.low < 1.2 < slow.high
    assert slow.head_s[0] == pytest.approx(1.2e-3, rel=0.02)
    assert "1 SLOWER of 3 cells: slow takes 1.20x" in headline(found)


def test_a_comment_changes_nothing(tmp_path: Path) -> None:
    source = cells_source(a=1e-3, b=2e-3)
    commit(tmp_path, "base", cells=source)
    (tmp_path / "cells.py").write_text("# What these are.\n" + source)
    found = compare(tmp_path)
    assert verdicts(found) == {"a": "SAME", "b": "SAME"}
    assert found.regressions == ()
    assert headline(found).startswith("No slow-down found")


def test_cells_that_can_t_be_timed_say_so_and_the_others_go_on(tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(raises=1e-3, dies=1e-3, gone=1e-3, good=1e-3))
    head = cells_source(
        raises="lambda: 1 / 0", dies="lambda: lambda: os._exit(7)", new=1e-3, good=1e-3
    )
    (tmp_path / "cells.py").write_text(head)
    found = compare(tmp_path)
    assert verdicts(found) == {
        "raises": "FAILED",
        "dies": "FAILED",
        "gone": "GONE",
        "new": "NEW",
        "good": "SAME",
    }
    reasons = {result.cell.problem: result.reason for result in found.cells}
    assert reasons["raises"] == "head: ZeroDivisionError: division by zero"
    assert reasons["dies"] == "head: its process ended: exit code 7"
    assert reasons["gone"] == "head: cells.py has no cell 'gone'"
    assert reasons["new"] == "base: cells.py has no cell 'new'"
    assert {r.cell.problem for r in found.regressions} == {"raises", "dies"}


def test_undecided_cells_are_inconclusive_when_the_time_is_spent(tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(noise=0.5, a=1e-3))
    found = compare(tmp_path, minutes=1e-6)
    assert verdicts(found) == {"a": "INCONCLUSIVE"}
    assert found.sessions == 1
    assert "can't be judged" in found.cells[0].reason
    seen: list[Comparison] = []
    found = compare_commits(
        Commits("HEAD", "HEAD", tmp_path, file="cells.py"),
        (),
        Plan(minutes=0.02),
        on_session=seen.append,
    )
    assert len(seen) == found.sessions > 0
    assert len(seen[-1].cells[0].log_ratios) == found.sessions


def test_the_time_is_looked_at_before_each_cell(tmp_path: Path) -> None:
    waits = "lambda: time.sleep(0.7) or costs(1e-3)()"
    commit(tmp_path, "base", cells=cells_source(a=waits, b=waits, c=waits))
    found = compare(tmp_path, minutes=0.5 / 60)
    assert found.sessions == 1
    assert [len(result.log_ratios) for result in found.cells] == [1, 0, 0]


def test_a_cell_finds_its_files_from_the_root_of_its_own_tree(tmp_path: Path) -> None:
    reads = "costs(float(open('cost.py').read()))"
    commit(tmp_path, "base", cells=cells_source(a=reads), cost="1e-3")
    (tmp_path / "cost.py").write_text("2e-3")
    found = compare(tmp_path)
    assert verdicts(found) == {"a": "SLOWER"}
    assert found.cells[0].ratio == pytest.approx(2.0, rel=0.02)


def test_what_an_editable_install_would_add_is_not_taken_for_the_commit_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = cells_source(a="lambda: __import__('lately').setup()")
    commit(tmp_path, "base", cells=source)
    (tmp_path / "lately.py").write_text("def setup():\n    return lambda: None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # as the path that such an install adds
    found = compare(tmp_path, minutes=0.02)
    assert verdicts(found)["a"] == "NOT TIMED"
    assert f"lately was imported from {tmp_path / 'lately.py'}" in found.cells[0].reason


def test_what_an_earlier_cell_left_behind_is_not_in_a_later_one_s_process(tmp_path: Path) -> None:
    leaves = "lambda: setattr(os, 'left', 1) or costs(1e-3)()"
    finds = "lambda: costs(5e-3 if hasattr(os, 'left') else 1e-3)()"
    commit(tmp_path, "base", cells=cells_source(a=1e-3, b=finds))
    (tmp_path / "cells.py").write_text(cells_source(a=leaves, b=finds))
    assert verdicts(compare(tmp_path)) == {"a": "SAME", "b": "SAME"}


def test_a_file_of_cells_is_found_from_anywhere_in_the_repository(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    commit(tmp_path, "base", **{"below/cells": cells_source(a=1e-3)})
    (below / "cells.py").write_text(cells_source(a=2e-3))
    for folder, file in (
        (tmp_path, "below/cells.py"),
        (below, "cells.py"),
        (below, "below/cells.py"),
        (tmp_path, str(below / "cells.py")),
    ):
        found = compare_commits(Commits("HEAD", folder=folder, file=file), (), Plan(minutes=0.02))
        assert found.cells[0].cell.file == "below/cells.py"
        assert found.cells[0].head_s[0] == pytest.approx(2e-3, rel=0.02)
    with pytest.raises(InputError, match="is not in the repository"):
        compare_commits(Commits("HEAD", folder=tmp_path, file=__file__), (), Plan())


def test_a_file_of_cells_is_one_of_the_commits_also_where_the_checkout_has_none(
    tmp_path: Path,
) -> None:
    (tmp_path / "below").mkdir()
    old = commit(tmp_path, "old", **{"below/cells": cells_source(a=1e-3)})
    new = commit(tmp_path, "new", **{"below/cells": cells_source(a=2e-3)})
    git(tmp_path, "rm", "--quiet", "below/cells.py")
    commit(tmp_path, "without", kept="")
    (tmp_path / "below").mkdir(exist_ok=True)
    commits = Commits(old, new, tmp_path / "below", file="cells.py")
    (result,) = compare_commits(commits, (), Plan(minutes=1e-6)).cells
    assert (result.cell.file, result.reason) == (
        "below/cells.py",
        "fewer than two sessions can't be judged: give more minutes",
    )


def test_a_process_that_ends_says_its_last_words(tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    dies = "lambda: os.write(2, b'no such device\\n') and os._exit(3)"
    (tmp_path / "cells.py").write_text(cells_source(a=dies))
    found = compare(tmp_path)
    assert found.cells[0].reason == "head: its process ended: exit code 3: no such device"


def test_a_tree_without_a_change_is_not_compared_with_itself_unasked(tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    with pytest.raises(InputError, match="nothing to compare: working tree has the files of"):
        compare_commits(Commits(folder=tmp_path, file="cells.py"), (), Plan())


def test_a_head_that_git_does_not_know_is_what_the_error_names(tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    git(tmp_path, "branch", "--move", "other")
    with pytest.raises(InputError, match="git knows no commit 'typo'"):
        compare_commits(Commits(head="typo", folder=tmp_path, file="cells.py"), (), Plan())
    with pytest.raises(InputError, match=r"no main branch is here .*: fetch the whole history"):
        compare_commits(Commits(folder=tmp_path, file="cells.py"), (), Plan())


def test_sides_are_pinned_to_the_last_processor_that_is_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 2}, raising=False)
    assert last_cpu() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert last_cpu() is None


def test_the_working_tree_is_taken_as_it_is_and_left_as_it_was(tmp_path: Path) -> None:
    commit(tmp_path, "base", cells="old", kept="kept")
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    (tmp_path / "cells.py").write_text("new")
    (tmp_path / "untracked.py").write_text("new")
    (tmp_path / "ignored.py").write_text("x")
    git(tmp_path, "add", "cells.py")
    before = git(tmp_path, "status", "--porcelain")
    here = side(tmp_path, WORKING_TREE)
    assert git(tmp_path, "status", "--porcelain") == before
    assert git(tmp_path, "show", f"{here.commit}:cells.py") == "new"
    files = git(tmp_path, "ls-tree", "--name-only", here.commit).splitlines()
    assert files == [".gitignore", "cells.py", "kept.py", "untracked.py"]
    assert git(tmp_path, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert here.subject == "changes on top of: base"


def test_a_working_tree_without_changes_is_its_commit(tmp_path: Path) -> None:
    head = commit(tmp_path, "base", cells="old")
    assert side(tmp_path, WORKING_TREE) == Side(WORKING_TREE, head, "base")


def test_the_default_base_is_where_the_branch_left_main(tmp_path: Path) -> None:
    fork = commit(tmp_path, "fork", a="1")
    git(tmp_path, "checkout", "--quiet", "-b", "topic")
    commit(tmp_path, "on the branch", a="2")
    git(tmp_path, "checkout", "--quiet", "main")
    commit(tmp_path, "on main", b="1")
    git(tmp_path, "checkout", "--quiet", "topic")
    assert merge_base(tmp_path, WORKING_TREE) == fork
    assert merge_base(tmp_path, "topic") == fork
    assert merge_base(tmp_path, "main") == git(tmp_path, "rev-parse", "main")


def test_worktrees_are_gone_afterwards(tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    compare(tmp_path, minutes=1e-6)
    assert len(git(tmp_path, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("commits", "words"),
    [
        (Commits(base="nowhere"), "git knows no commit 'nowhere'"),
        (Commits(base="HEAD", file="missing.py"), "there is no file missing.py"),
        (Commits(base="HEAD"), "has no package bench of its own"),
    ],
)
def test_what_can_t_be_compared_is_one_line(tmp_path: Path, commits: Commits, words: str) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    here = Commits(commits.base, "HEAD", tmp_path, commits.file)
    with pytest.raises(InputError, match=words) as refused:
        compare_commits(here, (), Plan())
    assert "\n" not in str(refused.value)


def test_a_results_folder_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    says = "results is a folder, and only commits can be compared: `python -m bench history`"
    with pytest.raises(InputError, match=f"^{says}"):
        compare_commits(Commits("results", folder=tmp_path, file="cells.py"), (), Plan())


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is in no git repository"):
        repository(tmp_path)


def test_what_a_build_prints_is_seen_on_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    build = "BUILD = 'echo compiling; echo no compiler >&2; exit 3'\n"
    commit(tmp_path, "base", cells=build + cells_source(a=1e-3))
    says = "BUILD of cells.py failed in base with exit code 3; its output is above"
    with pytest.raises(InputError, match=f"^{says}$"):
        compare_commits(Commits("HEAD", "HEAD", tmp_path, "cells.py"), (), Plan())
    assert capfd.readouterr() == ("", "compiling\nno compiler\n")


def test_each_commit_is_built_as_its_own_file_says(tmp_path: Path) -> None:
    """The file is not run to find out: it may import what is built."""
    log = tmp_path.parent / f"{tmp_path.name}.log"
    needs = "open('built').close()\n" + cells_source(a=1e-3)
    commit(tmp_path, "base", cells=f"BUILD = 'touch built; echo 1 $PWD >> {log}'\n{needs}")
    (tmp_path / "cells.py").write_text(f"BUILD = 'touch built; echo 2 $PWD >> {log}'\n{needs}")
    (result,) = compare(tmp_path, minutes=1e-6).cells
    assert "fewer than two sessions" in result.reason
    runs = [line.split() for line in log.read_text().splitlines()]
    assert [(number, Path(tree).name) for number, tree in runs] == [("1", "base"), ("2", "head")]


def test_a_comparison_is_kept_whole(tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3, b=1e-3))
    (tmp_path / "cells.py").write_text(cells_source(a=1.5e-3, b="lambda: 1 / 0"))
    found = compare(tmp_path)
    written = write_comparison(found, tmp_path / "results")
    assert {path.name for path in written} >= {
        "comparison.json",
        "comparison.csv",
        "comparison.md",
        "comparison.png",
    }
    kept = json.loads((tmp_path / "results" / "comparison.json").read_text())
    assert kept == json.loads(json.dumps(asdict(found)))
    assert kept["schema_version"] == 2
    summary = markdown(found)
    assert summary.startswith("## Compare: 1 FAILED and 1 SLOWER of 2 cells: ")
    assert "<details>" not in summary  # no cell is the same: the table has them all


@pytest.mark.slow
def test_a_cell_that_hangs_or_starts_processes_ends_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.compare.processes._TIMEOUT_S", 3.0)
    monkeypatch.setenv("OF_THIS_TEST", str(tmp_path))
    commit(tmp_path, "base", cells=cells_source(hangs=1e-3, forks=1e-3, good=1e-3))
    forks = "lambda: lambda: os.fork() or time.sleep(600)"  # a child that would outlive its worker
    head = cells_source(hangs="lambda: time.sleep(600)", forks=forks, good=1e-3)
    (tmp_path / "cells.py").write_text(head)
    found = compare(tmp_path)
    assert verdicts(found)["hangs"] == "FAILED"
    assert "no answer within 3 s" in found.cells[0].reason
    assert verdicts(found)["good"] == "SAME"
    assert not list(others_with(f"OF_THIS_TEST={tmp_path}"))


def others_with(variable: str) -> Iterator[str]:
    """Processes that were given a variable; none where there is no /proc."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            given = (process / "environ").read_bytes().split(b"\0")
            if variable.encode() in given and process.name != str(os.getpid()):
                yield process.name


def test_a_base_that_fails_is_not_called_new(tmp_path: Path) -> None:
    commit(tmp_path, "base", cells=cells_source(a="lambda: 1 / 0"))
    (tmp_path / "cells.py").write_text(cells_source(a=1e-3))
    found = compare(tmp_path)
    assert verdicts(found) == {"a": "NOT TIMED"}
    assert headline(found).startswith("Nothing was decided")


def test_git_s_variables_of_a_hook_are_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(tmp_path, "base", cells=cells_source(a=1e-3))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "nowhere"))
    assert repository(tmp_path).samefile(tmp_path)
    assert side(tmp_path, "HEAD").subject == "base"
