"""What a workflow is checked against, and what is found."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from hopward import pattern
from hopward.cedar import CedarEngine
from hopward.model import Step, Tool
from hopward.settings import Settings, WorkflowSettings
from hopward.steps import nearest
from hopward.workflows.graph import reachable, steps_of

Severity: TypeAlias = Literal["error", "warning"]

Kind: TypeAlias = Literal[
    "unreachable",
    "outside",
    "unknown_tool",
    "no_work",
    "never_permitted",
    "unbounded_loop",
    "unapproved_effect",
    "unused_parameter",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a workflow; `step` is empty where it is about the whole."""

    workflow: str
    step: str
    severity: Severity
    kind: Kind
    sentence: str


@dataclass(frozen=True)
class Checked:
    """A workflow, and what it is held against."""

    name: str
    settings: Settings
    tools: tuple[Tool, ...]
    engine: CedarEngine

    @property
    def workflow(self) -> WorkflowSettings:
        """Its settings."""
        return self.settings.workflows[self.name]

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Its steps, with samples for its parameters."""
        return steps_of(self.workflow, self.tools)

    @cached_property
    def reachable(self) -> frozenset[str]:
        """The steps that can be taken at some time."""
        return reachable(self.steps)

    @cached_property
    def actors(self) -> dict[str, tuple[str, ...]]:
        """The agents that get work, each with those that it comes through, itself last."""
        found: dict[str, tuple[str, ...]] = {self.workflow.agent: (self.workflow.agent,)}
        handing = [step for step in self.steps if step.delegate and step.name in self.reachable]
        for _ in handing:
            for step in handing:
                if step.agent in found and step.delegate not in found:
                    found[step.delegate] = (*found[step.agent], step.delegate)
        return found

    def tools_of(self, step: Step) -> tuple[Tool, ...]:
        """The classified tools whose calls a step is, unless another step names them more closely."""
        return tuple(self._tools_of(step)) if step.tool else ()

    def _tools_of(self, step: Step) -> Iterable[Tool]:
        for tool in self.tools:
            if tool.name.endswith("*"):
                # A family of names: steps can name some of them.
                if pattern.meet((step.tool,), (tool.full_name,)):
                    yield tool
            elif step in nearest(self.steps, tool.full_name):
                yield tool

    def found(self, step: str, severity: Severity, kind: Kind, sentence: str) -> Finding:
        """A finding about a step, or about the whole."""
        return Finding(self.name, step, severity, kind, sentence)
