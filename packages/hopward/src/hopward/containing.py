"""Keeping something from acting until a person lets it go on: quarantines, and the stop of everything.

Detectors contain as people do, through the same methods; only a person takes a containment back. Needs the
configuration and the decision log, and neither policies nor keys: an incident may be about those.
"""

from collections.abc import Collection, Mapping
from contextlib import closing, suppress

import msgspec

from hopward.canonical import JSON
from hopward.chain import entered
from hopward.claims import is_agent
from hopward.classification import Classifications, classified
from hopward.clock import Clock, Instant, SystemClock
from hopward.containment import EVERYTHING, why_chain_contained, why_stopped
from hopward.errors import NotFoundError, StateError
from hopward.ledger import SqliteLedger
from hopward.model import Containment, QuarantineKind, Task
from hopward.pattern import check, folded, matches
from hopward.policy import nearest
from hopward.record import Draft
from hopward.settings import Settings

AUTOMATIC = "hopward:"
"""What the names of detectors begin with, where the name of a person could stand."""

_NEAR_TASKS = 1_000
"""Tasks, the latest, that a mistyped id is compared with."""

_ROUNDS = 8
"""How often a containment is looked for again when others change it meanwhile."""

_TASK_ROUNDS = 64
"""How often a task is stored again when standing changed meanwhile: other tasks are opened all the time."""


class Containing:
    """Contains and releases. `settings` and `ledger` are those of a guard, or opened for this alone."""

    settings: Settings
    ledger: SqliteLedger
    _clock: Clock

    @classmethod
    def over(cls, settings: Settings, ledger: SqliteLedger, clock: Clock) -> "Containing":
        """Only this, without policies or keys."""
        alone = Containing()
        alone.settings, alone.ledger, alone._clock = settings, ledger, clock
        return alone

    @staticmethod
    def contained_in(settings: Settings) -> tuple[Containment, ...]:
        """The same as `contained`, of an installation that nobody has opened. Raises `LedgerError`."""
        with closing(SqliteLedger.open(settings.log_file, clock=SystemClock())) as ledger:
            return ledger.containments()

    def contained(self) -> tuple[Containment, ...]:
        """All that is quarantined or stopped now, the oldest first."""
        return self.ledger.containments()

    def containment(self, kind: str, name: str) -> Containment | None:
        """The containment of one thing, if it stands; `all` and `*` is the stop of everything."""
        return next((one for one in self.contained() if (one.kind, one.id) == (kind, name)), None)

    def quarantine(
        self,
        kind: QuarantineKind,
        name: str,
        *,
        by: str,
        why: str,
        evidence: Mapping[str, JSON] | None = None,
    ) -> Containment:
        """Refuse every call that involves something from now on, in every process on the machine.

        An agent: every chain with it; a task: every chain of it; a subject: every task of theirs, and no new
        one; a server: all of it; a tool: `SERVER/TOOL`, or a prefix ending in `*`. `evidence` is JSON and
        stands in the log. Where it is quarantined already, that one stands, and nothing is written. Raises
        `NotFoundError` for what does not exist, `StateError` without a `by` or `why`.
        """
        self._require_known(kind, name)
        return self._contain(Containment(kind=kind, id=name, at=self._clock.now(), by=by, why=why), evidence)

    def release(self, kind: QuarantineKind, name: str, *, by: str, why: str) -> Containment | None:
        """Take a quarantine back: calls that were refused for it are decided again. None if there was none.

        Raises `StateError` unless `by` could be a person's name, and without a `why`.
        """
        return self._lift(kind, name, by, why)

    def stop_all(self, *, by: str, why: str, evidence: Mapping[str, JSON] | None = None) -> Containment:
        """Refuse everything from now on, in every process on the machine, and after every restart.

        Where everything is stopped already, that stands, and nothing is written. Raises `StateError` without
        a `by` or `why`.
        """
        stop = Containment(kind="all", id=EVERYTHING, at=self._clock.now(), by=by, why=why)
        return self._contain(stop, evidence)

    def lift_stop(self, *, by: str, why: str) -> Containment | None:
        """Take the stop of everything back; quarantines stand. None if nothing was stopped.

        Raises `StateError` unless `by` could be a person's name, and without a `why`.
        """
        return self._lift("all", EVERYTHING, by, why)

    def _begin(self, task: Task, draft: Draft) -> None:
        """Store a new task, unless everything is stopped, or its subject or agent is quarantined at that
        moment: raises `StateError` then."""
        chain = entered(task)
        for _ in range(_TASK_ROUNDS):
            standing = self.ledger.standing(chain)
            refused = why_stopped(standing.containments) or why_chain_contained(standing.containments, chain)
            if refused is not None:
                raise StateError(f"No task can be opened. {refused[1]}", error=refused[0])
            fresh = msgspec.structs.replace(draft, epoch=standing.epoch)
            if not self.ledger.put_task(task, fresh).refused:
                return
        raise StateError("No task was opened: standing changed meanwhile.", advice="Try again.")

    def _contain(self, wanted: Containment, evidence: Mapping[str, JSON] | None) -> Containment:
        require_told(wanted.by, wanted.why)
        event = "stopped" if wanted.kind == "all" else "quarantined"
        draft = _draft(event, wanted, wanted.by, wanted.why, wanted.at)
        if evidence:
            record = {**draft.record, "evidence": dict(evidence)}
            draft = msgspec.structs.replace(draft, record=record)
        for _ in range(_ROUNDS):
            standing = self.containment(wanted.kind, wanted.id)
            if standing is not None:
                return standing
            with suppress(StateError):
                self.ledger.contain(wanted, draft)
                return wanted
        raise _changing(wanted.kind, wanted.id)

    def _lift(self, kind: str, name: str, by: str, why: str) -> Containment | None:
        require_told(by, why)
        require_person(by, self._agents(), "only a person takes a containment back")
        for _ in range(_ROUNDS):
            standing = self.containment(kind, name)
            if standing is None:
                return None
            event = "lifted" if standing.kind == "all" else "released"
            with suppress(NotFoundError):
                self.ledger.release(standing, _draft(event, standing, by, why, self._clock.now()))
                return standing
        raise _changing(kind, name)

    def _require_known(self, kind: QuarantineKind, name: str) -> None:
        match kind:
            case "agent":
                _require(kind, name, self._agents())
            case "server":
                _require(kind, name, self.settings.servers)
            case "subject":
                _require(kind, name, self.ledger.subjects() | people(self.settings))
            case "task":
                self._require_task(name)
            case "tool":
                self._require_tool(name)

    def _require_task(self, name: str) -> None:
        try:
            self.ledger.task(name)
        except NotFoundError:
            _require("task", name, {task.id for task in self.ledger.tasks(limit=_NEAR_TASKS)})

    def _require_tool(self, name: str) -> None:
        server, slash, tool = name.partition("/")
        if not slash or check(name) is not None or not tool:
            told = f"{name!r} does not name a tool."
            raise NotFoundError(told, advice="Write SERVER/TOOL, or SERVER/PREFIX* for several.")
        _require("server", server, self.settings.servers)
        tools = classified(self.settings.servers)
        if name.endswith("*"):
            known = any(matches(name, one.full_name) or matches(one.full_name, name[:-1]) for one in tools)
        else:
            known = Classifications(tools).find(server, tool) is not None
        if not known and name != f"{server}/*":
            _require("tool", name, {one.full_name for one in tools})

    def _agents(self) -> set[str]:
        """Every agent that is registered, or was: chains may still name it."""
        return {*self.settings.agents, *(known.id for known in self.ledger.agents())}


def people(settings: Settings) -> frozenset[str]:
    """Everyone whom the configuration names: who approves, who owns agents, whom events mean."""
    members = (one for group in settings.approvals.groups.values() for one in group.members)
    owners = (agent.owner for agent in settings.agents.values())
    return frozenset((*members, *owners)) | settings.events.named


def require_person(by: str, agents: Collection[str], told: str) -> None:
    """Raise `StateError` for a name that is an agent's or a detector's, or could be taken for one.

    `agents` are the names of all there are; `told` says what only a person does.
    """
    simple = folded(by.strip())
    names = {folded(name) for name in agents}
    if is_agent(simple) or simple.removeprefix("local:") in names or simple.startswith(AUTOMATIC):
        advice = "Name the person who decides it: --by NAME."
        raise StateError(f"{by!r} is the name of an agent or a detector; {told}.", advice=advice)


def _require(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        told = f"There is no {kind} {name!r}{nearest(name, sorted(known)) or '.'}"
        raise NotFoundError(told, advice=_WHERE[kind])


_WHERE = {
    "agent": "hopward agent list shows the agents there are.",
    "server": "The servers there are stand in hopward.toml, under [servers].",
    "subject": "A subject is known once a task was opened for it, or where hopward.toml names it.",
    "task": "hopward task list shows the tasks there are.",
    "tool": "A tool that nobody has classified may not be called anyway.",
}


def require_told(by: str, why: str) -> None:
    """Raise `StateError` unless there is a name, and a reason."""
    if not by.strip() or not by.isprintable():
        raise StateError("Who decides this has no name that could be read.", advice="--by NAME")
    if not why.strip() or not _is_text(why):
        raise StateError(
            "There is no reason given that could be read.",
            advice="--why TEXT; it stands in the decision log.",
        )


def _is_text(text: str) -> bool:
    """Whether the log can carry it: a command line may bring bytes that are no text."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _draft(event: str, one: Containment, by: str, why: str, at: Instant) -> Draft:
    server, _, tool = one.id.partition("/") if one.kind == "tool" else (one.id, "", "")
    return Draft(
        kind="containment",
        at=at,
        record={"event": event, "kind": one.kind, "id": one.id, "by": by, "why": why},
        task=one.id if one.kind == "task" else "",
        agent=one.id if one.kind == "agent" else "",
        server=server if one.kind in ("tool", "server") else "",
        tool=tool,
    )


def _changing(kind: str, name: str) -> StateError:
    return StateError(f"The containment of {kind} {name} keeps changing.", advice="Try again.")
