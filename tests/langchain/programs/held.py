"""A till where a person decides about more than 50, and agents that wait for them."""

import asyncio
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from hopward.clock import SECOND

from .office import Office
from .till import SUBJECT, Till, calls, scripted

HELD = """
@id("large") @reason("Above 50 a person decides.") @step_up("operators")
forbid (principal, action == Hopward::Action::"app/pay", resource)
when { context.arguments has amount && context.arguments.amount > 50 };
"""

CAROL = "local:carol"
APPROVE = {"decisions": [{"type": "approve"}]}
CONFIG: Any = {"configurable": {"thread_id": "1"}}

Run = Callable[[Any], Any]


def reject(message: str = "") -> dict[str, Any]:
    """The answer of somebody who says no."""
    return {"decisions": [{"type": "reject", "message": message}]}


def edit(name: str = "pay", **arguments: Any) -> dict[str, Any]:
    """The answer of somebody who says yes to other arguments."""
    return {"decisions": [{"type": "edit", "edited_action": {"name": name, "args": arguments}}]}


def asked(result: Any) -> list[Any]:
    """The interrupts that a run has ended with."""
    return list(result.get("__interrupt__", ()))


def approval(shown: Any) -> str:
    """The approval that an interrupt asks about."""
    return shown.value["hopward"]["approval"]


def hold(folder: Path) -> None:
    """Add the policy that holds large amounts back. Among the approvers is the subject."""
    (folder / "policies" / "held.cedar").write_text(HELD, "utf-8")
    config = (folder / "hopward.toml").read_text("utf-8")
    members = config.replace(f'members = ["{CAROL}"]', f'members = ["{CAROL}", "{SUBJECT}"]')
    (folder / "hopward.toml").write_text(members, "utf-8")


class Held(Till):
    """A till, and runs of agents in it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def tools(self, protected: bool = True, later: bool = False) -> list[BaseTool]:
        """`pay`, guarded in one of the two ways."""
        made: list[BaseTool] = [self.async_tool() if later else self.sync_tool()]
        self.hopward.install()
        return self.hopward.protect(made) if protected else made

    def agent(
        self,
        *wanted: tuple[str, dict[str, Any]],
        tools: Sequence[BaseTool] = (),
        protected: bool = True,
        later: bool = False,
        **more: Any,
    ) -> Run:
        """How an agent is run whose model wants these calls, side by side, on one thread."""
        settings: dict[str, Any] = {"middleware": [self.waits()], "checkpointer": InMemorySaver(), **more}
        model = scripted(calls(*wanted)) if wanted else scripted()
        agent: Any = create_agent(model, list(tools) or self.tools(protected, later), **settings)
        return lambda given: (
            asyncio.run(agent.ainvoke(given, CONFIG)) if later else agent.invoke(given, CONFIG)
        )

    def waits(self) -> Any:
        """The middleware that interrupts."""
        return self.hopward.middleware(approvals="interrupt")

    def answer(self, shown: Sequence[Any], resume: Any, by: str = CAROL) -> Command[Any]:
        """What a run is resumed with once somebody has answered."""
        return self.hopward.answer(shown, resume, by=by)


def hold_office(office: Office, *, install: bool = True) -> Office:
    """Add the policy to an office."""
    (office.folder / "policies" / "held.cedar").write_text(HELD, "utf-8")
    office.clock.advance(SECOND)  # type: ignore[attr-defined]
    # Otherwise the first of several calls side by side would load it, and the others not wait for that.
    office.guard.policies.current()
    if install:
        office.hopward.install()
    return office


class FileSaver(InMemorySaver):
    """Checkpoints that other processes find in a file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        if path.exists():
            storage, writes, self.blobs = pickle.loads(path.read_bytes())  # noqa: S301 - our own
            for thread, checkpoints in storage.items():
                self.storage[thread].update(checkpoints)
            self.writes.update(writes)

    def save(self) -> None:
        """Write down what there is."""
        storage = {thread: dict(checkpoints) for thread, checkpoints in self.storage.items()}
        self.path.write_bytes(pickle.dumps((storage, dict(self.writes), self.blobs)))
