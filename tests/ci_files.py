"""Workflows, the action, and the code blocks of pages, parsed for tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
ACTION = ROOT / "action.yml"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A step of a job; `workflow` is the file's name without its ending."""

    workflow: str
    job: str
    fields: dict[str, Any]

    def __str__(self) -> str:
        named = self.fields.get("name") or self.fields.get("uses") or self.fields["run"]
        return f"{self.workflow}, {self.job}: {str(named).splitlines()[0]}"

    @property
    def run(self) -> str:
        return str(self.fields.get("run", ""))

    @property
    def uses(self) -> str:
        return str(self.fields.get("uses", ""))


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    page: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0][:50]}"


def load(path: Path) -> dict[str, Any]:
    """A file of YAML; YAML 1.1 reads the key `on` as True, which is put right."""
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in loaded.items()}


def steps(path: Path) -> list[Step]:
    """All steps of a workflow, or of a composite action, in order."""
    loaded = load(path)
    jobs = loaded.get("jobs") or {"action": loaded["runs"]}
    return [Step(path.stem, job, step) for job in jobs for step in jobs[job]["steps"]]


def all_steps() -> list[Step]:
    """The steps of all workflows and of the action."""
    return [step for path in [*WORKFLOWS, ACTION] for step in steps(path)]


def blocks(*languages: str) -> list[Block]:
    """The code blocks of README.md and docs/ in these languages."""
    return [
        Block(page.name, language, text)
        for page in PAGES
        for language, text in FENCE.findall(page.read_text(encoding="utf-8"))
        if language in languages
    ]
