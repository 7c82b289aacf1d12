"""What the workflows and the action may do, and that their scripts and the pages' are scripts."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from ci_files import ACTION, ROOT, WORKFLOWS, Block, Step, all_steps, blocks, load, steps

PINNED = re.compile(r"actions/[a-z-]+@[0-9a-f]{40}")
USES_LINE = re.compile(r"uses: (\S+)(.*)")
WRITER = ("history", "keep")
"""The one job that may write, and so runs nothing that was installed."""

by_name = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
each_script = pytest.mark.parametrize("step", [step for step in all_steps() if step.run], ids=str)


def test_all_workflows_are_seen() -> None:
    assert [path.stem for path in WORKFLOWS] == ["history", "performance", "tests"]


@by_name
def test_a_fork_gets_no_rights(path: Path) -> None:
    """Events that give a fork's code this repository's rights are pull_request_target and
    workflow_run; only events that are known to be safe are let in."""
    workflow = load(path)
    assert set(workflow["on"]) <= {"push", "pull_request"}
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets" not in path.read_text(encoding="utf-8")


@by_name
def test_one_job_alone_may_write(path: Path) -> None:
    rights = {
        (path.stem, name): job["permissions"]
        for name, job in load(path)["jobs"].items()
        if "permissions" in job
    }
    assert rights == ({WRITER: {"contents": "write"}} if path.stem == WRITER[0] else {})


def test_the_job_that_may_write_runs_git_alone() -> None:
    workflow = load(ROOT / ".github" / "workflows" / "history.yml")
    assert workflow["on"] == {"push": {"branches": ["main"]}}
    assert "!github.event.repository.fork" in workflow["jobs"]["measure"]["if"]
    assert workflow["jobs"]["keep"]["needs"] == "measure"
    keeping = [step for step in all_steps() if (step.workflow, step.job) == WRITER]
    called = {step.uses.partition("@")[0] for step in keeping if step.uses}
    assert called == {"actions/checkout", "actions/download-artifact"}
    for step in keeping:
        words = set(re.findall(r"[\w./-]+", re.sub(r"#.*", "", step.run)))
        assert words.isdisjoint({"python", "python3", "pip", "make", "bash", "sh", "node", "eval"})
        assert "--force" not in words


@by_name
def test_every_job_ends_and_gives_way(path: Path) -> None:
    workflow = load(path)
    assert all(0 < job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    assert workflow["concurrency"]["cancel-in-progress"] == (path.stem != "history")


@pytest.mark.parametrize("step", [step for step in all_steps() if step.uses], ids=str)
def test_actions_are_githubs_own_at_one_commit(step: Step) -> None:
    assert PINNED.fullmatch(step.uses)
    if step.uses.startswith("actions/checkout@"):
        persists = step.fields.get("with", {}).get("persist-credentials")
        assert persists is ((step.workflow, step.job) == WRITER)


def test_a_pin_names_its_version_and_is_the_same_everywhere() -> None:
    files = [*WORKFLOWS, ACTION, ROOT / "docs" / "compare.md"]
    pins: dict[str, set[str]] = {}
    for used, comment in USES_LINE.findall("\n".join(f.read_text(encoding="utf-8") for f in files)):
        action, _, commit = used.partition("@")
        if action.startswith("OWNER/"):
            continue  # ours, at a commit that the reader chooses
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), used
        pins.setdefault(action, set()).add(commit + comment)
    assert len(pins) == 4
    assert [action for action, found in pins.items() if len(found) > 1] == []


@each_script
def test_nothing_is_pasted_into_a_script(step: Step) -> None:
    """A branch's name or an input may hold a command: what a script needs comes by `env`."""
    assert "${{" not in step.run


@each_script
def test_scripts_are_bash(step: Step) -> None:
    assert syntax_error(step.run) == ""
    workflow = load(ACTION if step.workflow == "action" else workflow_file(step.workflow))
    default = workflow.get("defaults", {}).get("run", {}).get("shell")
    one_command = len(step.run.strip().splitlines()) == 1
    assert step.fields.get("shell", default) == "bash" or one_command


def test_no_address_stands_in_a_workflow() -> None:
    for path in [*WORKFLOWS, ACTION]:
        assert "://" not in path.read_text(encoding="utf-8")


def test_ci_runs_what_a_developer_runs() -> None:
    runs = [step.run for step in steps(workflow_file("tests")) if step.run]
    assert runs == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("name", ["performance", "history"])
def test_workflows_install_as_the_readme_says(name: str) -> None:
    (install,) = [step.run for step in steps(workflow_file(name)) if "pip" in step.run]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"&& {install.strip()} &&" in readme


def test_both_checks_run_and_either_fails_the_job() -> None:
    checks = [step.fields for step in steps(workflow_file("performance")) if "bench" in step.run]
    assert len(checks) == 2
    assert not any(check.get("continue-on-error") for check in checks)
    assert "!cancelled()" in checks[1]["if"]


def test_the_action_uses_all_its_inputs() -> None:
    action = load(ACTION)
    assert all(given["description"] for given in action["inputs"].values())
    (compare,) = [step.fields for step in steps(ACTION) if "bench compare" in step.run]
    expressions = {f"${{{{ inputs.{name} }}}}" for name in action["inputs"]}
    assert set(compare["env"].values()) == expressions
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    undocumented = [n for n in [*action["inputs"], *action["outputs"]] if f"`{n}`" not in page]
    assert undocumented == []


@pytest.mark.parametrize("block", blocks("sh", "yaml"), ids=str)
def test_code_blocks_of_pages_parse(block: Block) -> None:
    if block.language == "sh":
        assert syntax_error(block.text) == ""
        return
    jobs = yaml.safe_load(block.text)
    for script in scripts_of(jobs):
        assert syntax_error(script) == ""


def scripts_of(loaded: object) -> list[str]:
    """Every `run` of GitHub and `script` line of GitLab in a piece of YAML."""
    if isinstance(loaded, list):
        return [script for item in loaded for script in scripts_of(item)]
    if not isinstance(loaded, dict):
        return []
    own = [loaded["run"]] if isinstance(loaded.get("run"), str) else loaded.get("script", [])
    return [*own, *(script for value in loaded.values() for script in scripts_of(value))]


def workflow_file(name: str) -> Path:
    return ROOT / ".github" / "workflows" / f"{name}.yml"


def syntax_error(script: str) -> str:
    """What `bash -n` says of a script: nothing where it can be parsed."""
    checked = subprocess.run(
        ["bash", "-n"], input=script, capture_output=True, text=True, check=False, timeout=60
    )
    return checked.stderr
