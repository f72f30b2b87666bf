"""An attack as data: what is done, what must stop it, the benign twin, and the defence it all hangs on."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from .project import Change
from .stage import Effects, Stage


class Step(Protocol):
    """Something that is done. `refused` is the reason code with which it must be refused.

    It is empty for what must go through. What has one is the attack, and goes through once the defence is
    gone, unless `always` says that it is refused even then. `effects` are what the office has done after it,
    `wants` what it has only done once the defence is gone.
    """

    refused: str
    always: bool
    effects: Effects
    wants: Effects

    async def take(self, stage: Stage) -> str:
        """Do it; why it was refused, or empty."""
        ...


@dataclass(frozen=True)
class Scenario:
    """One attack. `about` is what the task is opened with, in the attack and in its twin.

    `stopped_by` says for readers what stops it, `policies` which policies the decisions must name. `without`
    changes the project so that the attack succeeds, `patched` Hopward itself, where no setting could.
    `behind` is the reason of a second defence, which then stops it still. `alone` is one that changes more
    than its own task.
    """

    name: str
    steps: tuple[Step, ...]
    twin: tuple[Step, ...]
    benign: str
    stopped_by: str
    policies: tuple[str, ...] = ()
    without: tuple[Change, ...] = ()
    patched: Callable[[], AbstractContextManager[object]] | None = None
    behind: str = ""
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])
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
