"""A guard opened from files: tasks, revocation, callers, and policy changes in the log."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hopward import CredentialVerifier, Guard, NotFoundError, Outcome, StateError, TokenError, ToolCall
from hopward.clock import SECOND, Instant
from hopward.errors import ConfigError
from hopward.ledger import RowFilter
from hopward.model import AgentState, RevocationKind
from hopward.project import create
from hopward.testing.clock import NOON, FixedClock

CONFIG = """
state = ".hopward"
policies = "policies"
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "http://127.0.0.1:8700"
[log]
[proxy]
[agents.assistant]
owner = "ops"
purpose = "tickets"
[[agents.assistant.ceiling]]
tools = ["desk/*"]
actions = ["read", "pay"]
sensitivity = "internal"
destinations = ["desk", "payments"]
[workflows.tickets]
agent = "assistant"
purpose = "answer a ticket"
expires_in = 600
budget = { calls = 10, writes = 2 }
[[workflows.tickets.capabilities]]
tools = ["desk/read_ticket"]
actions = ["read"]
sensitivity = "internal"
destinations = ["desk"]
[servers.desk]
command = ["desk"]
resource = "urn:example:desk"
credential = { by = "meta" }
[servers.desk.tools.read_ticket]
action = "read"
sensitivity = "internal"
integrity = "untrusted"
destination = "desk"
"""
READ = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T-1"})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "hopward.toml"
    path.write_text(CONFIG)
    create(tmp_path)
    return path


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


def opened(config: Path, clock: FixedClock) -> Guard:
    return Guard.open(config, clock=clock)


def test_a_call_goes_from_task_to_outcome_in_one_chained_log(config: Path, clock: FixedClock) -> None:
    guard = opened(config, clock)
    task = guard.open_task("tickets", "alice")
    decision = guard.authorize(READ, guard.enter(task.id))
    assert decision.permitted
    token = guard.mint(decision, READ)
    guard.settle(decision, Outcome(status="ok"))
    kinds = [row.kind for row in guard.ledger.rows(RowFilter(task=task.id, oldest_first=True))]
    assert kinds == ["task", "decision", "credential", "outcome"]
    assert guard.ledger.verify().ok
    assert token not in str([row.record for row in guard.ledger.rows()])


def test_completing_a_task_refuses_its_next_call_in_another_process(config: Path, clock: FixedClock) -> None:
    guard, other = opened(config, clock), opened(config, clock)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    assert guard.authorize(READ, chain).permitted
    other.complete_task(chain.task)
    assert guard.authorize(READ, chain).verdict.reason == "task_completed"
    with pytest.raises(StateError, match="completed"):
        guard.enter(chain.task)
    with pytest.raises(StateError, match="already completed"):
        guard.complete_task(chain.task)


@pytest.mark.parametrize("kind", ["task", "agent", "subject"])
def test_a_revocation_in_another_process_refuses_the_next_call(
    config: Path, clock: FixedClock, kind: str
) -> None:
    guard, other = opened(config, clock), opened(config, clock)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    name = {"task": chain.task, "agent": "assistant", "subject": "alice"}[kind]
    other.revoke(kind, name, by="ops", why="test")  # type: ignore[arg-type]
    assert guard.authorize(READ, chain).verdict.reason == f"{kind}_revoked"
    again = opened(config, clock)
    assert again.authorize(READ, chain).verdict.reason == f"{kind}_revoked"


@pytest.mark.parametrize("rotated", [False, True])
def test_a_revoked_key_is_withdrawn_from_the_published_ones(
    config: Path, clock: FixedClock, rotated: bool
) -> None:
    guard, other = opened(config, clock), opened(config, clock)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    decision = guard.authorize(READ, chain)
    signed_with_it = guard.mint(decision, READ)
    leaked = guard.issuer.jwks()["keys"][0]["kid"]
    if rotated:
        guard.issuer.rotate(guard.ledger)
    other.revoke("key", leaked, by="ops", why="leaked")
    published = guard.issuer.jwks()
    assert leaked not in [key["kid"] for key in published["keys"]]
    desk = CredentialVerifier("http://127.0.0.1:8700", "urn:example:desk", published, clock=clock)
    with pytest.raises(TokenError) as refused:
        desk.verify(signed_with_it, tool=READ.tool, arguments=READ.arguments)
    assert refused.value.error == "unknown_key"
    again = guard.authorize(READ, chain)
    assert desk.verify(guard.mint(again, READ), tool=READ.tool, arguments=READ.arguments)
    rows = list(guard.ledger.rows(RowFilter(kind="key")))
    assert rows[0].record == {
        "event": "withdrawn",
        "active": published["keys"][0]["kid"],
        "withdrawn": leaked,
    }
    guard.revoke("key", leaked, by="ops", why="again")
    assert len(list(guard.ledger.rows(RowFilter(kind="key")))) == len(rows)


def test_a_revoked_agent_may_be_given_a_new_task_later(config: Path, clock: FixedClock) -> None:
    guard = opened(config, clock)
    guard.revoke("agent", "assistant", by="ops", why="key lost")
    clock.advance(SECOND)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    assert guard.authorize(READ, chain).permitted


@pytest.mark.parametrize("state", ["suspended", "retired"])
def test_an_agent_stopped_in_another_process_is_refused_its_next_call_and_gets_no_task(
    config: Path, clock: FixedClock, state: AgentState
) -> None:
    guard, other = opened(config, clock), opened(config, clock)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    assert guard.authorize(READ, chain).permitted
    other.set_agent_state("assistant", state, by="ops", why="test")
    clock.advance(SECOND)
    assert guard.authorize(READ, chain).verdict.reason == f"agent_{state}"
    assert not guard.visible(chain, "desk", ["read_ticket"])
    with pytest.raises(StateError, match=f"assistant is {state}"):
        guard.open_task("tickets", "alice")


def test_a_resumed_agent_may_go_on_with_its_open_task(config: Path, clock: FixedClock) -> None:
    guard, other = opened(config, clock), opened(config, clock)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    other.set_agent_state("assistant", "suspended", by="ops", why="a look at it")
    assert not guard.authorize(READ, chain).permitted
    other.set_agent_state("assistant", "active", by="ops", why="looked at")
    assert guard.authorize(READ, chain).permitted
    assert guard.authorize(READ, guard.enter(guard.open_task("tickets", "alice").id)).permitted


def test_a_retired_agent_is_never_active_again(config: Path, clock: FixedClock) -> None:
    guard = opened(config, clock)
    guard.set_agent_state("assistant", "suspended", by="ops", why="odd calls")
    guard.set_agent_state("assistant", "retired", by="ops", why="replaced")
    states: tuple[AgentState, ...] = ("active", "suspended")
    for state in states:
        with pytest.raises(StateError, match="retired, which is final"):
            guard.set_agent_state("assistant", state, by="ops", why="changed my mind")
    assert guard.agent("assistant").state == "retired"


def test_a_state_that_an_agent_has_already_is_not_set_again(config: Path, clock: FixedClock) -> None:
    guard = opened(config, clock)
    with pytest.raises(StateError, match="already active"):
        guard.set_agent_state("assistant", "active", by="ops", why="test")
    guard.set_agent_state("assistant", "suspended", by="ops", why="test")
    with pytest.raises(StateError, match="already suspended"):
        guard.set_agent_state("assistant", "suspended", by="ops", why="test")
    with pytest.raises(NotFoundError, match="assistant"):
        guard.set_agent_state("asistant", "suspended", by="ops", why="test")
    events = [row.record["event"] for row in guard.ledger.rows(RowFilter(kind="agent", oldest_first=True))]
    assert events == ["registered", "suspended"]


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("state", ["suspended", "retired"])
def test_a_stopped_agent_stays_stopped_when_the_guard_is_opened_again(
    config: Path, clock: FixedClock, state: AgentState, changed: bool
) -> None:
    guard = opened(config, clock)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    guard.set_agent_state("assistant", state, by="ops", why="test")
    guard.close()
    if changed:
        config.write_text(CONFIG.replace('owner = "ops"', 'owner = "bo"'))
    again = opened(config, clock)
    assert again.agent("assistant").state == state
    assert again.agent("assistant").owner == ("bo" if changed else "ops")
    assert again.authorize(READ, chain).verdict.reason == f"agent_{state}"


class Interrupted(FixedClock):
    """A clock at whose n-th reading something else happens first, as another process would have it."""

    def __init__(self, nth: int, event: Callable[[], None]) -> None:
        super().__init__(NOON)
        self.left, self._event = nth, event

    def now(self) -> Instant:
        self.left -= 1
        if self.left == 0:
            self._event()
        return super().now()


def test_an_agent_retired_while_another_process_resumes_it_stays_retired(
    config: Path, clock: FixedClock
) -> None:
    other = opened(config, clock)
    other.set_agent_state("assistant", "suspended", by="ops", why="odd calls")
    late = Interrupted(0, lambda: other.set_agent_state("assistant", "retired", by="ops", why="replaced"))
    guard = opened(config, late)
    late.left = 1
    with pytest.raises(StateError, match="retired, which is final"):
        guard.set_agent_state("assistant", "active", by="bo", why="looked at")
    assert guard.agent("assistant").state == "retired"


def test_an_agent_suspended_while_its_changed_entry_is_registered_stays_suspended(
    config: Path, clock: FixedClock
) -> None:
    other = opened(config, clock)
    reading, interrupted = 0, True
    while interrupted:
        reading += 1
        config.write_text(CONFIG.replace('owner = "ops"', f'owner = "owner {reading}"'))
        late = Interrupted(
            reading, lambda: other.set_agent_state("assistant", "suspended", by="ops", why="odd calls")
        )
        opened(config, late).close()
        interrupted = late.left <= 0
        agent = other.ledger.agent("assistant")
        assert agent.owner == f"owner {reading}"
        assert agent.state == ("suspended" if interrupted else "active")
        if interrupted:
            other.set_agent_state("assistant", "active", by="ops", why="looked at")
    assert reading > 1


def test_who_stopped_an_agent_and_why_stands_in_the_log(config: Path, clock: FixedClock) -> None:
    guard = opened(config, clock)
    guard.set_agent_state("assistant", "suspended", by="ops", why="odd calls")
    row = next(iter(guard.ledger.rows(RowFilter(kind="agent"))))
    assert (row.agent, row.record) == (
        "assistant",
        {"event": "suspended", "agent": "assistant", "by": "ops", "why": "odd calls"},
    )


@pytest.mark.parametrize(("kind", "name"), [("agent", "assistant"), ("subject", "alice")])
def test_a_clock_set_back_does_not_save_an_open_task_from_a_revocation(
    config: Path, clock: FixedClock, kind: RevocationKind, name: str
) -> None:
    guard = opened(config, clock)
    clock.set(NOON + 60 * SECOND)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    clock.set(NOON)
    guard.revoke(kind, name, by="ops", why="laptop lost")
    for later in (0, 60, 120):
        clock.set(NOON + later * SECOND)
        assert guard.authorize(READ, chain).verdict.reason == f"{kind}_revoked"
    assert guard.authorize(READ, guard.enter(guard.open_task("tickets", "alice").id)).permitted


def test_an_expired_task_is_shown_as_expired_and_cannot_be_entered(config: Path, clock: FixedClock) -> None:
    guard = opened(config, clock)
    task = guard.open_task("tickets", "alice")
    clock.set(task.expires_at)
    assert guard.task(task.id).state == "expired"
    with pytest.raises(StateError, match="expired"):
        guard.enter(task.id)


def test_unknown_names_are_told_with_the_known_ones(config: Path, clock: FixedClock) -> None:
    guard = opened(config, clock)
    with pytest.raises(NotFoundError, match="tickets"):
        guard.open_task("ticket", "alice")
    with pytest.raises(NotFoundError, match="assistant"):
        guard.revoke("agent", "asistant", by="ops", why="typo")
    for nobody in (" ", None, 7, b"alice"):
        with pytest.raises(StateError, match="A task needs a subject"):
            guard.open_task("tickets", nobody)  # pyright: ignore[reportArgumentType]
    with pytest.raises(StateError, match="never an agent"):
        guard.open_task("tickets", "agent:other")


def test_a_policy_set_stands_in_the_log_before_anything_is_decided_by_it(
    config: Path, clock: FixedClock
) -> None:
    guard = opened(config, clock)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    first = guard.authorize(READ, chain)
    policy = config.parent / "policies" / "baseline.cedar"
    policy.write_text('@id("none") forbid (principal, action, resource);')
    clock.advance(SECOND)
    second = guard.authorize(READ, chain)
    assert (first.permitted, second.permitted) == (True, False)
    rows = list(guard.ledger.rows(RowFilter(kind="policy", oldest_first=True)))
    assert [row.record["policy_set"] for row in rows] == [d.verdict.policy_set for d in (first, second)]
    assert "none" in rows[1].record["policies"]


def test_a_broken_policy_file_keeps_the_old_set_and_leaves_a_row(config: Path, clock: FixedClock) -> None:
    guard = opened(config, clock)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    guard.authorize(READ, chain)
    (config.parent / "policies" / "baseline.cedar").write_text("permit (nonsense")
    clock.advance(SECOND)
    assert guard.authorize(READ, chain).permitted
    assert guard.authorize(READ, chain).permitted
    events = [row.record["event"] for row in guard.ledger.rows(RowFilter(kind="policy", oldest_first=True))]
    assert events == ["in_force", "rejected"]
    with pytest.raises(ConfigError):
        opened(config, clock)


def test_opening_twice_registers_agents_and_policies_once(config: Path, clock: FixedClock) -> None:
    for _ in range(2):
        guard = opened(config, clock)
        guard.authorize(READ, guard.enter(guard.open_task("tickets", "alice").id))
        guard.close()
    guard = opened(config, clock)
    kinds = [row.kind for row in guard.ledger.rows()]
    assert (kinds.count("agent"), kinds.count("policy")) == (1, 1)


def test_a_caller_is_known_by_a_token_for_exactly_that_endpoint(config: Path, clock: FixedClock) -> None:
    guard = opened(config, clock)
    task = guard.open_task("tickets", "alice")
    with pytest.raises(TokenError):
        guard.identify(guard.issuer.task_token(task, guard.ledger).token, "http://127.0.0.1:8701/desk/mcp")
    with pytest.raises(TokenError):
        guard.identify("nonsense", "http://127.0.0.1:8701/desk/mcp")


def test_without_keys_or_log_nothing_starts(config: Path, clock: FixedClock) -> None:
    for part in ("keys", "decisions.db"):
        path = config.parent / ".hopward" / part
        moved = path.rename(path.with_name("moved"))
        with pytest.raises(Exception, match=r"hopward init"):
            opened(config, clock)
        moved.rename(path)
