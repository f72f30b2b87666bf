"""`MemoryLedger`: a ledger that lives as long as the test, with the semantics of the real one."""

from collections.abc import Callable, Iterator, Sequence
from threading import RLock

import msgspec

from hopward.approval import EVERY, LIVE, Approval, Which
from hopward.behaviour import States, changed, is_stale
from hopward.clock import Clock, Instant, iso
from hopward.containment import concerns
from hopward.errors import NotFoundError, StateError
from hopward.grant import used
from hopward.labels import joined
from hopward.ledger import RowFilter, Verification
from hopward.ledger.chain import DECISION, GENESIS, TASK, Columns, Entry, entry, row_hash
from hopward.ledger.rows import decoded
from hopward.ledger.tables import require_open
from hopward.ledger.verification import Progress, verify_rows
from hopward.model import (
    Agent,
    Budget,
    Chain,
    Containment,
    Flow,
    Hop,
    Label,
    Revocation,
    RevocationKind,
    Task,
    TaskState,
    Usage,
)
from hopward.record import Asking, Draft, Receipt, Refused, Row, Spent, Standing, StandingHop
from hopward.testing.accounts import Accounts
from hopward.testing.devices import MemoryDevices
from hopward.testing.logins import MemoryLogins
from hopward.testing.pins import MemoryPins


class MemoryLedger(MemoryPins, MemoryDevices, MemoryLogins):
    """The ledger protocol over dictionaries. Threads may share it; nothing is durable."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._lock = RLock()
        self._epoch = 1
        self._rows: list[tuple[Columns, str]] = []
        self._tasks: dict[str, Task] = {}
        self._hops: dict[str, Hop] = {}
        self._accounts = Accounts(self._budget)
        self._agents: dict[str, Agent] = {}
        self._revocations: list[Revocation] = []
        self._approvals: dict[str, Approval] = {}
        self._containments: dict[tuple[str, str], Containment] = {}
        self._used: dict[tuple[str, str], Instant] = {}
        self._forgotten: Instant = 0
        self._labels: dict[tuple[str, Flow, str], Label] = {}
        self._moved: dict[str, int] = {}
        self._stood: set[tuple[str, str]] = set()
        self._behaviour: dict[tuple[str, str], bytes] = {}
        self._taken: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Nothing to close."""

    def standing(self, chain: Chain) -> Standing:
        """As `SqliteLedger.standing`."""
        with self._lock:
            return Standing(
                epoch=self._epoch,
                task=self._tasks.get(chain.task),
                usage=self.usage(chain.task),
                agents={actor: self._agents[actor] for actor in chain.actors if actor in self._agents},
                revocations=tuple(one for one in self._revocations if _touches(one, chain)),
                hops=tuple(
                    StandingHop(self._hops[one], self.usage(one)) for one in chain.hops if one in self._hops
                ),
                labels=tuple(one for one in self.labels(chain.task) if one.flow != "out"),
                moved=self._moved.get(chain.task, 0),
                containments=tuple(one for one in self.containments() if concerns(one, chain)),
                behaviour=self.behaviour(chain.actor if chain.actors else "", chain.task),
                taken=self.taken(chain.task),
            )

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """As `SqliteLedger.record`."""
        entries = [entry(draft) for draft in drafts]
        with self._lock:
            return [self._append(one) for one in entries]

    def put_task(self, task: Task, draft: Draft) -> Receipt:
        """As `SqliteLedger.put_task`."""

        def apply() -> None:
            if task.id in self._tasks:
                require_open(self._tasks[task.id])
            self._tasks[task.id] = task

        return self._change(draft, apply)

    def set_task_state(self, task_id: str, state: TaskState, draft: Draft) -> Receipt:
        """As `SqliteLedger.set_task_state`."""

        def apply() -> None:
            task = self.task(task_id)
            require_open(task)
            self._tasks[task_id] = msgspec.structs.replace(task, state=state)
            self._stood = {one for one in self._stood if one[0] != task_id}
            self._behaviour.pop(("task", task_id), None)

        return self._change(draft, apply)

    def complete_hop(self, hop_id: str, draft: Draft) -> Receipt:
        """As `SqliteLedger.complete_hop`."""
        done = entry(draft)
        with self._lock:
            hop = self.hop(hop_id)
            require_open(hop)
            self._hops[hop_id] = msgspec.structs.replace(hop, state="completed")
            if not hop.shared:
                self._accounts.give_back_rest(hop, self._payers(hop))
            return self._append(done)

    def fan_out_reached(self, hop: Hop) -> bool:
        """As `SqliteLedger.fan_out_reached`."""
        above = self._hops.get(hop.parent) if hop.parent else self._tasks.get(hop.task)
        siblings = [
            other
            for other in self._hops.values()
            if (other.task, other.parent, other.state) == (hop.task, hop.parent, "open")
            and other.expires_at > hop.opened_at
        ]
        return above is None or len(siblings) >= above.fan_out

    def labels(self, task_id: str) -> tuple[Label, ...]:
        """As `SqliteLedger.labels`."""
        known = sorted(self._labels.items(), key=lambda item: item[0])
        return tuple(label for (task, _, _), label in known if task == task_id)

    def stood(self, task_id: str, values: frozenset[str]) -> frozenset[str]:
        """As `SqliteLedger.stood`."""
        return frozenset(value for value in values if (task_id, value) in self._stood)

    def behaviour(self, agent: str, task_id: str) -> States:
        """As `SqliteLedger.behaviour`."""
        return (self._behaviour.get(("agent", agent), b""), self._behaviour.get(("task", task_id), b""))

    def taken(self, task_id: str) -> dict[str, int]:
        """As `SqliteLedger.taken`."""
        return {step: count for (task, step), count in self._taken.items() if task == task_id}

    def hop(self, hop_id: str) -> Hop:
        """As `SqliteLedger.hop`."""
        hop = self._hops.get(hop_id)
        if hop is None:
            raise NotFoundError(f"There is no hop {hop_id}.")
        return hop

    def hops(self, task_id: str) -> list[Hop]:
        """As `SqliteLedger.hops`."""
        return [hop for hop in self._hops.values() if hop.task == task_id]

    def put_agent(self, agent: Agent, draft: Draft) -> Receipt:
        """As `SqliteLedger.put_agent`."""
        return self._change(draft, lambda: self._agents.update({agent.id: agent}))

    def revoke(self, revocation: Revocation, draft: Draft) -> Receipt:
        """As `SqliteLedger.revoke`."""
        opened = [task.opened_at for task in self._tasks.values() if task.state == "open"]
        lasting = msgspec.structs.replace(revocation, at=max([revocation.at, *opened]))
        return self._change(draft, lambda: self._revocations.append(lasting))

    def answer(self, before: Approval, after: Approval, draft: Draft) -> Receipt:
        """As `SqliteLedger.answer`."""
        answered = entry(draft)
        with self._lock:
            refused = self._refusal(answered)
            if refused:
                return Receipt(0, "", refused)
            if self.approval(before.id) != before:
                raise StateError(f"Approval {before.id} has changed meanwhile.")
            self._approvals[after.id] = after
            return self._append(answered)

    def approval(self, approval_id: str) -> Approval:
        """As `SqliteLedger.approval`."""
        approval = self._approvals.get(approval_id)
        if approval is None:
            raise NotFoundError(f"There is no approval {approval_id}.")
        return approval

    def approvals(self, which: Which = EVERY) -> list[Approval]:
        """As `SqliteLedger.approvals`."""
        found = list(reversed(self._approvals.values()))
        if which.before:
            found = found[1 + [one.id for one in found].index(which.before) :]
        found = [one for one in found if not which.states or _as_of(one, which.at) in which.states]
        return [one for one in found if which.task in ("", one.chain.task)][: which.limit]

    def latest_approval(self, binding: str) -> Approval | None:
        """As `SqliteLedger.latest_approval`."""
        found = (one for one in reversed(self._approvals.values()) if one.binding == binding)
        return next(found, None)

    def grants(self, alike: str) -> list[Approval]:
        """As `SqliteLedger.grants`."""
        held = [one for one in self._approvals.values() if one.times > 1 and one.state == "approved"]
        return [one for one in held if one.alike == alike != ""]

    def was_consumed(self, binding: str, alike: str = "") -> bool:
        """As `SqliteLedger.was_consumed`."""
        single = [one for one in self._approvals.values() if one.times == 1 and one.state == "consumed"]
        wider = [one for one in self._approvals.values() if one.times > 1 and one.alike == alike != ""]
        uses = [use for one in wider for use in one.uses]
        return any(one.binding == binding for one in (*single, *uses))

    def contain(self, containment: Containment, draft: Draft) -> Receipt:
        """As `SqliteLedger.contain`."""

        def apply() -> None:
            if (containment.kind, containment.id) in self._containments:
                raise StateError(f"The {containment.kind} {containment.id} is contained already.")
            self._containments[containment.kind, containment.id] = containment

        return self._change(draft, apply)

    def release(self, containment: Containment, draft: Draft) -> Receipt:
        """As `SqliteLedger.release`."""

        def apply() -> None:
            if self._containments.get((containment.kind, containment.id)) != containment:
                raise NotFoundError(f"The {containment.kind} {containment.id} is not contained as it was.")
            del self._containments[containment.kind, containment.id]

        return self._change(draft, apply)

    def containments(self) -> tuple[Containment, ...]:
        """As `SqliteLedger.containments`."""
        return tuple(sorted(self._containments.values(), key=lambda one: (one.at, one.kind, one.id)))

    def subjects(self) -> frozenset[str]:
        """As `SqliteLedger.subjects`."""
        return frozenset(task.subject for task in self._tasks.values())

    def seen_once(self, kind: str, value: str, expires_at: Instant) -> bool:
        """As `SqliteLedger.seen_once`."""
        now = self._clock.now()
        with self._lock:
            self._forgotten = max([self._forgotten, *(end for end in self._used.values() if end <= now)])
            self._used = {key: end for key, end in self._used.items() if end > now}
            if expires_at <= max(now, self._forgotten) or (kind, value) in self._used:
                return False
            self._used[kind, value] = expires_at
            return True

    def seen(self, kind: str, value: str) -> bool:
        """As `SqliteLedger.seen`."""
        return (kind, value) in self._used

    def task(self, task_id: str) -> Task:
        """As `SqliteLedger.task`."""
        task = self._tasks.get(task_id)
        if task is None:
            raise NotFoundError(f"There is no task {task_id}.")
        return task

    def tasks(self, state: TaskState | None = None, limit: int = 100) -> list[Task]:
        """As `SqliteLedger.tasks`."""
        found = [task for task in self._tasks.values() if state is None or task.state == state]
        return sorted(found, key=lambda task: (-task.opened_at, task.id))[:limit]

    def usage(self, account: str) -> Usage:
        """As `SqliteLedger.usage`."""
        return self._accounts.usage(account)

    def spent(self, accounts: Sequence[str], places: Sequence[str]) -> Spent:
        """As `SqliteLedger.spent`."""
        with self._lock:
            return self._accounts.spent(accounts, places)

    def agent(self, agent_id: str) -> Agent:
        """As `SqliteLedger.agent`."""
        agent = self._agents.get(agent_id)
        if agent is None:
            raise NotFoundError(f"There is no agent {agent_id}.")
        return agent

    def agents(self) -> list[Agent]:
        """As `SqliteLedger.agents`."""
        return [self._agents[name] for name in sorted(self._agents)]

    def revocations(self, kind: RevocationKind, identity: str) -> tuple[Revocation, ...]:
        """As `SqliteLedger.revocations`."""
        return tuple(one for one in self._revocations if (one.kind, one.id) == (kind, identity))

    def rows(self, asked: RowFilter | None = None) -> Iterator[Row]:
        """As `SqliteLedger.rows`."""
        wanted = asked or RowFilter()
        with self._lock:
            found = [row for row in map(self._row, range(1, len(self._rows) + 1)) if _asked_for(row, wanted)]
        ordered = found if wanted.oldest_first else found[::-1]
        return iter(ordered if wanted.limit is None else ordered[: max(wanted.limit, 0)])

    def row(self, name: int | str) -> Row:
        """As `SqliteLedger.row`."""
        found = [row for row in self.rows() if name in (row.seq, row.kind == "decision" and row.decision)]
        if not found or not name:
            raise NotFoundError(f"The decision log has no row {name}.")
        return found[0]

    def head(self) -> tuple[int, str]:
        """As `SqliteLedger.head`."""
        return len(self._rows), self._rows[-1][1] if self._rows else GENESIS

    def verify(self, progress: Progress | None = None) -> Verification:
        """As `SqliteLedger.verify`."""
        with self._lock:
            seq, digest = self.head()
            rows = [(number, one[1], *one[0]) for number, one in enumerate(self._rows, 1)]
        return verify_rows(rows, (seq, seq, digest), progress)

    def _change(self, draft: Draft, apply: Callable[[], None]) -> Receipt:
        changed = entry(draft)
        with self._lock:
            before = self._rows[:]
            receipt = self._append(changed)
            if receipt.refused:
                return receipt
            try:
                apply()
            except (NotFoundError, StateError):
                self._rows = before
                raise
            self._epoch += 1
            return receipt

    def _append(self, one: Entry) -> Receipt:
        refused, lack = self._refusal(one), None
        if not refused and one.reserve is not None:
            refused, lack = self._accounts.reserve(one.reserve)
        if refused:
            return Receipt(0, "", refused, lack)
        if one.opens is not None:
            self._hops[one.opens.id] = one.opens
        if one.consumes:
            approval = self._approvals[one.consumes]
            self._approvals[one.consumes] = used(approval, one.columns[DECISION], one.at, one.binding)
        if one.asks is not None:
            self._approvals[one.asks.approval.id] = one.asks.approval
        receipt = self._insert(one.columns)
        for columns in one.follow:
            self._insert(columns)
        self._move(one)
        return receipt

    def _move(self, one: Entry) -> None:
        task = one.columns[TASK]
        for label in one.labels:
            key = (task, label.flow, label.name)
            known = self._labels.get(key)
            risen = joined(known, label) if known else label
            if risen != known:
                self._labels[key] = risen
                self._moved[task] = self._moved.get(task, 0) + (label.flow != "out")
        self._stood.update((task, value) for value in one.values)
        watch = one.watch
        if watch is not None:
            after = changed(watch, self.behaviour(watch.agent, watch.task))
            named = (("agent", watch.agent), ("task", watch.task))
            known = {("task", name) for name in self._tasks} | {("agent", watch.agent)} - {("agent", "")}
            self._behaviour |= {key: state for key, state in zip(named, after, strict=True) if key in known}
        if one.takes is not None:
            key = (task, one.takes.step)
            self._taken[key] = self._taken.get(key, 0) + 1
        decision = one.columns[DECISION]
        if one.reserve is not None and one.opens is None:
            self._accounts.hold(decision, one.reserve)
        if one.settles:
            self._accounts.settle(decision, give_back=one.settles == "given_back")

    def _refusal(self, one: Entry) -> Refused:
        if one.epoch is not None and one.epoch != self._epoch:
            return "stale"
        if one.moved is not None and one.moved != self._moved.get(one.columns[TASK], 0):
            return "stale"
        watch = one.watch
        if watch is not None and is_stale(watch, self.behaviour(watch.agent, watch.task)):
            return "stale"
        if any(hop not in self._hops or self._hops[hop].state != "open" for hop in one.hops):
            return "stale"
        if one.takes is not None:
            taken = self.taken(one.columns[TASK])
            if taken.get(one.takes.step, 0) >= one.takes.times or taken.keys() & set(one.takes.unless):
                return "stale"
        if one.opens is not None and self.fan_out_reached(one.opens):
            return "fan_out"
        approval = self._approvals.get(one.consumes)
        approved = approval is not None and (approval.state, approval.expires_at > one.at)
        if one.consumes and approved != ("approved", True):
            return "unapproved"
        return self._why_unasked(one.asks) if one.asks is not None else ""

    def _why_unasked(self, asking: Asking) -> Refused:
        new, held = asking.approval, self._approvals.values()
        now, states = new.requested_at, ("pending", "approved", "rejected")
        if any(one.binding == new.binding and one.state in states and one.expires_at > now for one in held):
            return "asked"
        waiting = [one.chain for one in held if one.state == "pending" and one.expires_at > now]
        asker, subject = (new.chain.task, new.chain.actor), new.chain.subject
        asked = [one for one in held if one.chain.task == new.chain.task and one.requested_at > asking.since]
        counts = (
            (asking.most_pending, sum((one.task, one.actor) == asker for one in waiting)),
            (asking.most_of_subject, sum(one.subject == subject for one in waiting if self._is_open(one))),
            (asking.most, len(asked)),
        )
        return "approvals" if any(count >= most for most, count in counts) else ""

    def _is_open(self, chain: Chain) -> bool:
        return chain.task in self._tasks and self._tasks[chain.task].state == "open"

    def _payers(self, hop: Hop) -> list[str]:
        accounts: list[str] = []
        while hop.parent:
            hop = self._hops[hop.parent]
            accounts.append(hop.id)
            if not hop.shared:
                return accounts
        return [*accounts, hop.task]

    def _insert(self, columns: Columns) -> Receipt:
        seq, previous = self.head()
        digest = row_hash(previous, seq + 1, columns)
        self._rows.append((columns, digest))
        return Receipt(seq + 1, digest)

    def _budget(self, account: str) -> Budget | None:
        found = self._tasks.get(account) or self._hops.get(account)
        return found.budget if found else None

    def _row(self, seq: int) -> Row:
        columns, digest = self._rows[seq - 1]
        return decoded((seq, *columns, digest))


def _touches(revocation: Revocation, chain: Chain) -> bool:
    named: dict[RevocationKind, tuple[str, ...]] = {
        "task": (chain.task,),
        "hop": chain.hops,
        "agent": chain.actors,
        "subject": (chain.subject,),
        "token": (chain.token,) if chain.token else (),
        "key": (chain.key,) if chain.key else (),
    }
    return revocation.id in named[revocation.kind] or f"{revocation.kind}:{revocation.id}" in chain.lineage


def _asked_for(row: Row, asked: RowFilter) -> bool:
    columns = ("kind", "task", "agent", "server", "tool", "verdict", "decision")
    return (
        row.seq > asked.after
        and all(getattr(asked, column) in ("", getattr(row, column)) for column in columns)
        and (asked.since is None or row.at >= iso(asked.since))
        and (asked.before is None or row.at < iso(asked.before))
    )


def _as_of(one: Approval, at: int) -> str:
    return "expired" if one.state in LIVE and one.expires_at <= at else one.state
