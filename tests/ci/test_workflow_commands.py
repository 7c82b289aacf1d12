"""The commands of the workflows and of the action, run as GitHub runs them: each step in bash, in a
clone, with GitHub's environment. Variables of options make them short, and `with_few_cells` a
project that counts and compares less."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ci_files import ACTION, ROOT, Step, blocks, steps
from comparison_files import cells_found

SHORT = {
    "BENCH_COMPARE_PROBLEM": "iris",
    "BENCH_COMPARE_OPTIMIZER": "lbfgs",
    "BENCH_COMPARE_KERNEL": "numpy",
    "BENCH_RUN_PROBLEM": "iris",
    "BENCH_RUN_OPTIMIZER": "lbfgs",
    "BENCH_RUN_KERNEL": "numpy",
    "BENCH_RUN_SEEDS": "1",
}
IDENTITY = ("-c", "user.name=A Developer", "-c", "user.email=developer@localhost")
PYTHON = """#!/bin/sh
echo "$*" >> "$HOME/called"
case "$*" in
    *" compare "*) echo "| SLOWER |" > results/nightly/comparison.md; exit "$COMPARE_EXITS" ;;
    *" run "*) exit "$RUN_EXITS" ;;
esac
"""
MAIL = '#!/bin/sh\n{ echo "$2 to $3"; cat; } > "$HOME/mailed"\n'


@dataclass
class Clone:
    """A clone with a remote named origin, as actions/checkout leaves one, and GitHub's variables.

    Args:
        folder: the work tree, where steps run.
        temporary: what RUNNER_TEMP names.
        variables: more of the environment.
        path: a folder whose programs are found first.
    """

    folder: Path
    temporary: Path
    variables: dict[str, str] = field(default_factory=dict)
    path: Path = Path(sys.executable).parent

    def git(self, *arguments: str) -> str:
        return git(self.folder, *arguments)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git(*IDENTITY, "commit", "--quiet", "--allow-empty", "--message", message)

    @property
    def summary(self) -> str:
        path = self.temporary / "summary.md"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def run(self, step: Step) -> int:
        """Run a step's script; returns its exit code. What it prints is shown if the test fails."""
        self.temporary.mkdir(exist_ok=True)
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("BENCH_", "GIT_", "GITHUB_", "PYTEST_", "TRITON_INTERPRET"))
        }
        environment = {
            "PATH": f"{self.path}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": str(self.temporary / "summary.md"),
            "GITHUB_OUTPUT": str(self.temporary / "output"),
            "GITHUB_BASE_REF": "main",
            "GITHUB_SHA": self.git("rev-parse", "HEAD"),
            "RUNNER_TEMP": str(self.temporary),
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.run],
            cwd=self.folder,
            env=inherited | environment | self.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        print(f"== {step}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.returncode


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull},  # no signing, no hooks of one's own
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def clone_of(files: Path, listed: list[str], folder: Path) -> Clone:
    """A bare repository `origin` whose main has these files, and a clone of it."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(folder, "clone", "--quiet", "origin.git", "work")
    clone = Clone(folder / "work", folder / "temporary")
    for name in listed:
        if (files / name).is_file():
            (clone.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(files / name, clone.folder / name)
    clone.git("switch", "--quiet", "--create", "main")
    clone.commit("All files")
    clone.git("push", "--quiet", "origin", "main")
    return clone


@pytest.fixture
def commands_of_a_night(tmp_path: Path) -> Path:
    """A home with stand-ins for what the nightly script calls; `called` and `mailed` tell of it."""
    scripts = {"python": PYTHON, "mail": MAIL, "pip": "#!/bin/sh\n"}
    (tmp_path / "home").mkdir()
    for name, text in scripts.items():
        (tmp_path / "home" / name).write_text(text)
        (tmp_path / "home" / name).chmod(0o755)
    return tmp_path / "home"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """The project as it stands here, changes that aren't committed included."""
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    made = clone_of(ROOT, [name for name in listed if "/reference/" not in name], tmp_path / "own")
    made.variables = SHORT
    return made


def job_steps(workflow: str, job: str) -> list[Step]:
    """The scripts of a job but for the installation, which is the reader's own here."""
    listed = steps(ROOT / ".github" / "workflows" / f"{workflow}.yml")
    return [s for s in listed if s.job == job and s.run and "pip install" not in s.run]


KERNEL = "logreg_kernels/numpy_kernel/objective.py"
KERNELS = '("numpy", "torch-autograd", "fused-cpu")\n'
QUICK_PROBLEMS = '("iris", "breast_cancer", "digits", "synthetic:n=5000,d=50,cond=1000")'


def edit(clone: Clone, name: str, before: str, after: str) -> None:
    file = clone.folder / name
    assert file.read_text().count(before) == 1, name
    file.write_text(file.read_text().replace(before, after))


@pytest.fixture
def with_few_cells(clone: Clone) -> Clone:
    """The project with counters of NumPy on iris alone, and with comparisons of three sessions."""
    one = 'KERNELS = ("numpy",)\n'
    edit(clone, "bench/counters/run_counts.py", f"KERNELS = {KERNELS}", one)
    edit(clone, "bench/counters/reads_of_x.py", f"COUNTED = {KERNELS}", f"COUNTED = {one[10:]}")
    edit(clone, "bench/cells/definitions.py", QUICK_PROBLEMS, '("iris",)')
    edit(clone, "bench/statistics/verdicts.py", "(10, 13, 16, 20, 25, 32)", "(3,)")
    update = Step("here", "fixture", {"run": "python -m bench counters --update"})
    assert clone.run(update) == 0
    clone.commit("Few cells")
    clone.git("push", "--quiet", "origin", "main")
    return clone


@pytest.mark.slow
def test_a_pull_request_that_changes_comments_passes(with_few_cells: Clone) -> None:
    clone = with_few_cells
    clone.git("switch", "--quiet", "--create", "comments")
    with (clone.folder / KERNEL).open("a") as file:
        file.write("# A comment.\n")
    clone.commit("Only a comment")
    counters, compare = job_steps("performance", "performance")
    assert clone.run(counters) == 0
    after_counters = clone.summary
    assert clone.run(compare) == 0
    assert after_counters.startswith("#")
    assert clone.summary[len(after_counters) :].startswith("## Compare: ")
    found = cells_found(clone.temporary / "results")
    assert len(found) == 2
    assert {cell.verdict for cell in found} <= {"SAME", "INCONCLUSIVE"}


@pytest.mark.slow
def test_a_pull_request_that_reads_x_more_often_fails_both_checks(with_few_cells: Clone) -> None:
    clone = with_few_cells
    clone.git("switch", "--quiet", "--create", "reads")
    before = "        margins = sign * (X @ w)\n"
    # So often that three sessions prove it on any machine.
    injected = "        for _ in range(1000):\n            X @ w\n"
    edit(clone, KERNEL, before, injected + before)
    clone.commit("Reads X a thousand times more")
    counters, compare = job_steps("performance", "performance")
    assert clone.run(counters) == 1
    assert "reads of X" in clone.summary
    after_counters = clone.summary
    assert clone.run(compare) == 1
    assert "SLOWER of 2 cells: iris" in clone.summary[len(after_counters) :]
    slower = [c for c in cells_found(clone.temporary / "results") if c.verdict == "SLOWER"]
    assert ("iris", "") in [(cell.problem, cell.optimizer) for cell in slower]


@pytest.mark.slow
def test_history_grows_on_its_branch(clone: Clone) -> None:
    lines = []
    for message in ("First", "Second"):
        clone.commit(message)
        clone.git("push", "--quiet", "origin", "main")
        clone.git("fetch", "--quiet", "origin")
        clone.git("clean", "-fdxq")  # a new machine each time
        assert [clone.run(step) for step in job_steps("history", "measure")] == [0, 0, 0]
        keep(clone)
        files = clone.git("ls-tree", "-r", "--name-only", "FETCH_HEAD").splitlines()
        assert files
        assert all(name.endswith(".jsonl") for name in files)
        text = "\n".join(clone.git("show", f"FETCH_HEAD:{name}") for name in files)
        assert clone.git("rev-parse", "main") in text
        lines.append(text.splitlines())
    assert lines[1][: len(lines[0])] == lines[0]
    assert len(lines[1]) > len(lines[0])


def keep(clone: Clone, expect: int = 0) -> None:
    """The second job, in a clone of its own, with what the first has uploaded."""
    origin = clone.folder.parent / "origin.git"
    machine = clone.folder.parent / "keep"
    shutil.rmtree(machine, ignore_errors=True)
    machine.mkdir()
    git(machine, "clone", "--quiet", "--depth=1", f"file://{origin}", "work")
    keeper = Clone(machine / "work", machine / "temporary")
    uploaded = clone.folder / "results" / "history"
    shutil.copytree(uploaded, keeper.temporary / "history", symlinks=True)
    assert [keeper.run(step) for step in job_steps("history", "keep")] == [expect]
    clone.git("fetch", "--quiet", "origin", "bench-history")


def test_only_lines_of_history_are_kept_and_none_is_lost(tmp_path: Path) -> None:
    """Whatever an artifact holds: no hook, no link, nothing but files of lines; and an old
    artifact can't take away what came after it."""
    clone = clone_of(ROOT, ["README.md"], tmp_path / "own")
    history = clone.folder / "results" / "history"
    (history / ".git" / "hooks").mkdir(parents=True)
    (history / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (history / "evil.sh").write_text("exit 1\n")
    (history / "link.jsonl").symlink_to("/etc/passwd")
    (history / "runs.jsonl").write_text("1\n")
    keep(clone)
    assert clone.git("ls-tree", "-r", "--name-only", "FETCH_HEAD") == "runs.jsonl"
    (history / "runs.jsonl").write_text("1\n2\n")
    keep(clone)
    (history / "runs.jsonl").write_text("1\n")
    keep(clone, expect=1)
    assert clone.git("show", "FETCH_HEAD:runs.jsonl") == "1\n2"


@pytest.mark.slow
def test_the_action_compares_another_repository(tmp_path: Path) -> None:
    """The file lies in a folder with our package's name, as may well be."""
    (tmp_path / "files" / "bench").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "own_kernels" / "cells.py", tmp_path / "files" / "bench")
    clone = clone_of(tmp_path / "files", ["bench/cells.py"], tmp_path / "theirs")
    clone.git("switch", "--quiet", "--create", "change")
    clone.commit("No change")
    clone.variables = {
        "PYTHONPATH": str(ROOT),  # as if installed
        "BENCH_COMPARE_BASE": "",
        "CELLS": "bench/cells.py",
        "BENCH_COMPARE_THRESHOLD": "0.05",
        "BENCH_COMPARE_MINUTES": "0.05",
    }
    (compare,) = [step for step in steps(ACTION) if "bench compare" in step.run]
    assert set(compare.fields["env"]) <= set(clone.variables)
    assert clone.run(compare) == 0
    assert "softplus of 100,000" in clone.summary
    output = dict(
        line.split("=", 1) for line in (clone.temporary / "output").read_text().splitlines()
    )
    assert output["exit-code"] == "0"
    assert Path(output["summary"]).read_text(encoding="utf-8") == clone.summary
    assert clone.summary.count("## Compare") == 1
    clone.variables["CELLS"] = "nowhere.py"
    assert clone.run(compare) == 2


def test_the_action_says_what_a_shallow_checkout_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clone = clone_of(ROOT, ["README.md"], tmp_path / "theirs")
    clone.git("switch", "--quiet", "--create", "change")
    clone.git("update-ref", "-d", "refs/remotes/origin/main")
    (compare,) = [step for step in steps(ACTION) if "bench compare" in step.run]
    clone.variables = {"BENCH_COMPARE_BASE": "", "CELLS": "cells.py"}
    assert clone.run(compare) == 2
    assert "origin/main is not here: check out with fetch-depth: 0" in capsys.readouterr().out
    assert "exit-code=2\n" in (clone.temporary / "output").read_text()


def test_the_action_can_be_used_twice_in_a_job(tmp_path: Path) -> None:
    """The second's summary is its own; stand-ins for the comparison write them."""
    clone = clone_of(ROOT, ["README.md"], tmp_path / "theirs")
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(
        '#!/bin/sh\nfor last in "$@"; do :; done\necho "$CELLS" >> "$last/comparison.md"\n'
    )
    python.chmod(0o755)
    (compare,) = [step for step in steps(ACTION) if "bench compare" in step.run]
    clone.path = tmp_path / "bin"
    for cells in ("one.py", "two.py"):
        clone.variables = {"BENCH_COMPARE_BASE": "HEAD", "CELLS": cells}
        assert clone.run(compare) == 0
    assert clone.summary == "one.py\ntwo.py\n"


def test_the_nightly_script_of_the_page(tmp_path: Path, commands_of_a_night: Path) -> None:
    """What it does with each exit code; the commands themselves are stand-ins."""
    (script,) = [block.text for block in blocks("sh") if block.text.startswith("#!")]
    home = commands_of_a_night
    clone = clone_of(ROOT, ["README.md"], tmp_path / "own")
    (clone.folder / ".venv" / "bin").mkdir(parents=True)
    (clone.folder / ".venv" / "bin" / "activate").write_text("")

    def night(compare: int = 0, run: int = 0) -> tuple[int, str, str]:
        """Exit code, the commands that were called, the mail."""
        for name in ("called", "mailed"):
            (home / name).write_text("")
        environment = {
            "HOME": str(home),
            "PATH": f"{home}{os.pathsep}{os.environ['PATH']}",
            "BENCH_CLONE": str(clone.folder),
            "MAILTO": "me",
            "COMPARE_EXITS": str(compare),
            "RUN_EXITS": str(run),
        }
        done = subprocess.run(["bash", "-c", script], env=environment, check=False, timeout=60)
        called = re.findall(r"-m bench (\w+)", (home / "called").read_text())
        return done.returncode, " ".join(called), (home / "mailed").read_text()

    def push() -> str:
        before = clone.git("rev-parse", "HEAD")
        clone.commit("Another day")
        clone.git("push", "--quiet", "origin", "HEAD:main")
        return before[:12]

    assert night() == (0, "run history", "")  # the first night there is nothing to compare with
    assert night() == (0, "", "")  # and nothing new in the second
    push()
    assert night() == (0, "compare run history", "")
    before = push()
    code, called, mail = night(compare=1)
    assert (code, called) == (0, "compare run history")
    assert mail.startswith("bench on ")
    assert f": slower since {before} to me\n| SLOWER |" in mail
    before = push()
    assert night(compare=2)[:2] == (1, "compare")
    code, called, mail = night(run=1)  # what failed is tried again
    assert (code, called) == (1, "compare run")
    assert ": not measured to me" in mail
    assert clone.git("rev-parse", "refs/nightly/last")[:12] == before
