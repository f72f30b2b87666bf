"""An attack as data: what is done, what must stop it, the benign twin, and the defence that it all hangs on."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from .project import Change
from .stage import Stage


class Step(Protocol):
    """Something that is done. `refused` is the reason code with which it must be refused.

    It is empty for what must go through. What has one is the attack, and goes through once the defence is
    gone, unless `always` says that it is refused even then.
    """

    refused: str
    always: bool

    async def take(self, stage: Stage) -> str:
        """Do it; why it was refused, or empty."""
        ...


class Call:
    """A call of `SERVER/TOOL` by the agent."""

    always = False

    def __init__(self, name: str, refused: str = "", meta: Mapping[str, Any] | None = None, /, **arguments: Any) -> None:
        self.name, self.arguments, self.refused, self.meta = name, arguments, refused, meta

    async def take(self, stage: Stage) -> str:
        answer = await stage.call(self.name, self.arguments, self.meta)
        if answer.approval or answer.reason == "approval_required":
            stage.approval = answer.approval
        return answer.reason


class Asks(Call):
    """A call that needs a person, whatever else is gone."""

    always = True

    def __init__(self, name: str, /, **arguments: Any) -> None:
        super().__init__(name, "approval_required", **arguments)


class Does:
    """Anything else, which may be refused."""

    always = False

    def __init__(self, how: Callable[[Stage], Any], refused: str = "") -> None:
        self._how, self.refused = how, refused

    async def take(self, stage: Stage) -> str:
        return await self._how(stage) or ""


@dataclass(frozen=True)
class Scenario:
    """One attack. `about` is what the task is opened with, in the attack and in its twin.

    `stopped_by` says for readers what stops it, `policies` which policies the decisions must name. `without`
    changes the project so that the attack succeeds, `patched` Hopward itself, where no setting could.
    `alone` is one that changes more than its own task.
    """

    name: str
    steps: tuple[Step, ...]
    twin: tuple[Step, ...]
    benign: str
    stopped_by: str
    policies: tuple[str, ...] = ()
    without: tuple[Change, ...] = ()
    patched: Callable[[], AbstractContextManager[object]] | None = None
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])
    twin_about: Mapping[str, Any] | None = None
    project: tuple[Change, ...] = ()
    alone: bool = False

    @property
    def reasons(self) -> list[str]:
        """The reason codes of what is refused, each once."""
        return list(dict.fromkeys(step.refused for step in self.steps if step.refused and not step.always))


@dataclass(frozen=True)
class Group:
    """Attacks that have one idea in common."""

    title: str
    idea: str
    scenarios: tuple[Scenario, ...]
