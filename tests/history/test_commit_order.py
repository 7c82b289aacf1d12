"""The order in which a history's commits stand."""

from __future__ import annotations

from pathlib import Path

from history_cases import NOWHERE, repository
from repositories import git

from bench.history.commits import in_order, known_dates


def test_commits_stand_as_git_orders_them_whatever_their_dates(tmp_path: Path) -> None:
    commits = repository(tmp_path, 5)
    wrong = {commit: f"2026-01-0{5 - k}T00:00:00+00:00" for k, commit in enumerate(commits)}
    assert in_order(wrong, tmp_path) == commits
    dates = known_dates([*commits, "f" * 40], tmp_path)
    assert list(dates) == commits
    assert [date[:16] for date in dates.values()] == [f"2026-01-01T00:0{k}" for k in range(5)]


def test_what_is_no_hash_is_no_option_of_git(tmp_path: Path) -> None:
    commits = repository(tmp_path, 2)
    evil = f"--output={tmp_path / 'written'}"
    assert known_dates([evil, "--all", "main"], tmp_path) == {}
    date = "2026-01-01T00:00:30+00:00"
    assert in_order({commits[1]: date, evil: date}, tmp_path) == [commits[1], evil]
    assert not (tmp_path / "written").exists()


def test_parents_come_before_children_also_across_a_merge(tmp_path: Path) -> None:
    first, *_ = repository(tmp_path, 2)
    git(tmp_path, "reset", "-q", "--hard")
    git(tmp_path, "checkout", "-q", "-b", "side", first)
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "side")
    side = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "checkout", "-q", "main")
    main = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "merge", "-q", "-m", "both", "side")
    both = git(tmp_path, "rev-parse", "HEAD")
    order = in_order(
        dict.fromkeys((both, side, main, first), "2026-01-01T00:00:00+00:00"), tmp_path
    )
    assert (order[0], order[-1]) == (first, both)
    assert set(order[1:3]) == {side, main}


def test_a_commit_that_git_does_not_hold_stands_by_its_date(tmp_path: Path) -> None:
    commits = repository(tmp_path, 4)
    dates = known_dates(commits, tmp_path)
    dates["a" * 40] = "2026-01-01T00:01:30+00:00"
    dates["b" * 40] = "2026-01-01T02:02:30+02:00"  # in another time zone
    dates["e" * 40] = "2020-01-01T00:00:00"
    expected = ["e" * 40, *commits[:2], "a" * 40, commits[2], "b" * 40, commits[3]]
    assert in_order(dates, tmp_path) == expected
    assert in_order(dates, NOWHERE) == expected
