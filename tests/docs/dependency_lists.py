"""What the distributions and the workspace depend on, as their pyproject files say it."""

import tomllib
from collections.abc import Iterator
from typing import Any

from packaging.requirements import Requirement

from .markdown import ROOT

OURS = ("hopward", "hopward-authority", "hopward-mcp", "langchain-hopward")


def declared() -> Iterator[tuple[str, str, str]]:
    """Who depends (a distribution, or a group of the workspace), on what, in which versions."""
    for path in sorted([*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml")]):
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        yield from _each(project["name"], project.get("dependencies", []))
        for extra, needed in project.get("optional-dependencies", {}).items():
            yield from _each(f"{project['name']}[{extra}]", needed)
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    for group, needed in groups.items():
        yield from _each(group, [entry for entry in needed if isinstance(entry, str)])


def _each(who: str, needed: list[Any]) -> Iterator[tuple[str, str, str]]:
    for entry in needed:
        requirement = Requirement(entry)
        if requirement.name not in OURS:
            yield who, requirement.name, str(requirement.specifier)
