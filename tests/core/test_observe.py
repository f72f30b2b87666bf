"""Observe mode through a guard: what a server would refuse goes on, and nothing else is loosened."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hopward import Chain, ChainError, CredentialVerifier, Guard, Outcome, ToolCall
from hopward.clock import SECOND
from hopward.errors import ConfigError
from hopward.ledger import RowFilter
from hopward.model import Budget, Capability, Narrowing, RevocationKind
from hopward.observation import LET_THROUGH
from hopward.testing.clock import NOON, FixedClock

from .observing import READ, REFUSED, UNTIL, call, config_text, project


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return project(tmp_path, config_text())


@pytest.fixture
def guard(config: Path, clock: FixedClock) -> Iterator[Guard]:
    guard = Guard.open(config, clock=clock)
    yield guard
    guard.close()


@pytest.fixture
def chain(guard: Guard) -> Chain:
    return guard.enter(guard.open_task("tickets", "alice").id)


@pytest.mark.parametrize("reason", sorted(REFUSED))
def test_what_would_be_refused_is_recorded_as_that_and_goes_on(
    guard: Guard, chain: Chain, clock: FixedClock, reason: str
) -> None:
    asked = REFUSED[reason]
    decision = guard.authorize(asked, chain)
    assert decision.permitted
    assert decision.observed
    assert decision.verdict.reason == reason
    assert decision.verdict.name == ("step-up" if reason == "approval_required" else "deny")
    token = guard.mint(decision, asked)
    guard.settle(decision, Outcome(status="ok"))
    rows = list(guard.ledger.rows(RowFilter(task=chain.task, oldest_first=True)))[1:]
    assert [row.kind for row in rows] == ["decision", "credential", "outcome"]
    assert (rows[0].verdict, rows[0].reason) == (decision.verdict.name, reason)
    assert rows[0].record["observed"] is True
    assert guard.ledger.verify().ok
    keys = guard.issuer.jwks()
    desk = CredentialVerifier("http://127.0.0.1:8700", "urn:example:desk", keys, clock=clock)
    assert desk.verify(token, tool=asked.tool, arguments=asked.arguments)


def test_nobody_is_asked_for_approval_while_observing(guard: Guard, chain: Chain) -> None:
    decision = guard.authorize(REFUSED["approval_required"], chain)
    assert decision.approval == ""
    assert "hopward approve" not in decision.verdict.sentence
    assert [row.kind for row in guard.ledger.rows() if row.kind == "approval"] == []


@pytest.mark.parametrize(
    ("kind", "name"), [("tool", "desk/other"), ("server", "desk"), ("agent", "assistant")]
)
def test_what_is_quarantined_is_refused_while_observing(
    guard: Guard, chain: Chain, kind: Any, name: str
) -> None:
    guard.quarantine(kind, name, by="ops", why="test")
    for asked in (call("other", ticket="T-1"), call("other")):
        decision = guard.authorize(asked, chain)
        assert not decision.permitted
        assert not decision.observed
    assert "other" not in guard.visible(chain, "desk", ["other"])


def test_a_quarantined_tool_that_nobody_has_classified_is_refused(guard: Guard, chain: Chain) -> None:
    guard.quarantine("tool", "desk/*", by="ops", why="test")
    assert not guard.authorize(REFUSED["tool_unclassified"], chain).permitted


def listed(name: str, description: str) -> list[dict[str, Any]]:
    return [{"name": name, "description": description, "inputSchema": {"type": "object"}}]


@pytest.mark.parametrize("name", ["other", "unheard_of"])
def test_a_tool_whose_definition_has_changed_is_refused_while_observing(
    guard: Guard, chain: Chain, name: str
) -> None:
    guard.pins.listed("desk", listed(name, "Reads."))
    assert guard.authorize(call(name), chain).observed
    assert guard.visible(chain, "desk", [name]) == {name}
    guard.pins.listed("desk", listed(name, "Reads, and sends."))
    refused = guard.authorize(call(name), chain)
    assert (refused.verdict.reason, refused.permitted) == ("tool_changed", False)
    assert guard.visible(chain, "desk", [name]) == set()


def test_the_stop_of_everything_stops_observed_servers(guard: Guard, chain: Chain) -> None:
    before = guard.authorize(REFUSED["outside_task"], chain)
    guard.stop_all(by="local:carol", why="test")
    assert not guard.authorize(REFUSED["outside_task"], chain).permitted
    with pytest.raises(ChainError):
        guard.mint(before, REFUSED["outside_task"])


def test_a_permit_is_no_observed_decision(guard: Guard, chain: Chain) -> None:
    decision = guard.authorize(READ, chain)
    assert decision.permitted
    assert not decision.observed
    assert "observed" not in guard.ledger.row(decision.id).record


def test_a_spent_budget_lets_calls_go_on_and_is_not_overdrawn(guard: Guard, chain: Chain) -> None:
    decisions = [guard.authorize(READ, chain) for _ in range(5)]
    assert [one.observed for one in decisions] == [False, False, False, True, True]
    assert all(one.permitted for one in decisions)
    assert decisions[-1].verdict.reason == "budget_exhausted"
    assert guard.ledger.standing(chain).usage.calls == 3


def test_an_observed_call_takes_nothing_out_of_the_budget(guard: Guard, chain: Chain) -> None:
    assert guard.authorize(REFUSED["forbidden"], chain).observed
    assert guard.ledger.standing(chain).usage.calls == 0


def test_many_calls_of_one_commit_are_observed_each(guard: Guard, chain: Chain) -> None:
    decisions = guard.decide([(one, chain) for one in (READ, REFUSED["outside_task"], READ, READ, READ)])
    assert [one.observed for one in decisions] == [False, True, False, False, True]
    assert all(one.permitted for one in decisions)


def test_the_credential_of_an_observed_call_is_for_that_tool_alone(guard: Guard, chain: Chain) -> None:
    observed = guard.authorize(REFUSED["outside_task"], chain).credential
    permitted = guard.authorize(READ, chain).credential
    assert observed is not None
    assert permitted is not None
    assert observed.scope == "desk/other"
    assert observed.audience == permitted.audience
    assert observed.expires_at == permitted.expires_at


@pytest.mark.parametrize("name", ["x mail/send", "*", "re*"])
def test_the_name_of_an_unclassified_tool_widens_no_credential(guard: Guard, chain: Chain, name: str) -> None:
    decision = guard.authorize(call(name), chain)
    if "*" in name:
        assert not decision.permitted
        return
    assert decision.credential is not None
    assert decision.credential.scope.split(" ") == ["desk/x%20mail/send"]


def test_a_call_beyond_the_scope_of_its_token_is_observed(guard: Guard, chain: Chain) -> None:
    narrow = replace(chain, scope=("desk/list_tickets",))
    decision = guard.authorize(READ, narrow)
    assert decision.verdict.reason == "outside_scope"
    assert decision.permitted
    assert guard.mint(decision, READ)


@pytest.mark.parametrize("kind", ["task", "agent", "subject"])
def test_what_has_fallen_is_refused_while_observing(guard: Guard, chain: Chain, kind: RevocationKind) -> None:
    name = {"task": chain.task, "agent": "assistant", "subject": "alice"}[kind]
    guard.revoke(kind, name, by="ops", why="test")
    for asked in (READ, *REFUSED.values()):
        decision = guard.authorize(asked, chain)
        assert not decision.permitted
        assert not decision.observed
        assert decision.credential is None
        assert decision.verdict.reason == f"{kind}_revoked"


def test_a_suspended_agent_is_refused_while_observing(guard: Guard, chain: Chain) -> None:
    guard.set_agent_state("assistant", "suspended", by="ops", why="test")
    assert not guard.authorize(REFUSED["outside_task"], chain).permitted


def test_a_task_that_is_over_is_refused_while_observing(
    guard: Guard, chain: Chain, clock: FixedClock
) -> None:
    clock.advance(601 * SECOND)
    assert guard.authorize(REFUSED["outside_task"], chain).verdict.reason == "task_expired"
    assert not guard.authorize(REFUSED["outside_task"], chain).permitted


def test_a_task_that_ends_between_verdict_and_commit_refuses(guard: Guard, config: Path) -> None:
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    record, other = guard.ledger.record, Guard.open(config, clock=FixedClock(NOON))

    def late(drafts: object) -> object:
        if guard.task(chain.task).state == "open":
            other.complete_task(chain.task)
        return record(drafts)  # type: ignore[arg-type]

    guard.ledger.record = late  # type: ignore[method-assign]
    assert not guard.authorize(REFUSED["outside_task"], chain).permitted
    other.close()


def test_another_server_is_enforced_in_the_same_task(guard: Guard, chain: Chain) -> None:
    for asked in (call("send", "mail", ticket="T-1"), call("unheard_of", "mail")):
        decision = guard.authorize(asked, chain)
        assert not decision.permitted
        assert not decision.observed
        assert decision.credential is None


def test_an_unheard_of_server_is_not_observed(guard: Guard, chain: Chain) -> None:
    assert not guard.authorize(call("read", "nowhere"), chain).permitted


def test_observing_ends_with_its_day_without_a_restart(guard: Guard, clock: FixedClock) -> None:
    clock.set(UNTIL - SECOND)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    assert guard.authorize(REFUSED["outside_task"], chain).permitted
    clock.set(UNTIL)
    refused = guard.authorize(REFUSED["outside_task"], chain)
    assert not refused.permitted
    assert not refused.observed
    assert refused.credential is None
    assert "unheard_of" not in guard.visible(chain, "desk", ["unheard_of"])


def test_what_a_hop_carries_bounds_it_while_observing(guard: Guard, chain: Chain) -> None:
    wider = Narrowing(
        purpose="read",
        capabilities=(
            Capability(
                tools=("desk/*",), actions=("read", "delete"), sensitivity="internal", destinations=("*",)
            ),
        ),
        budget=Budget(calls=1, writes=0),
        expires_in=60,
    )
    handed = guard.delegate(chain, "helper", wider)
    assert handed.chain is not None
    assert not handed.decision.observed
    for asked in (call("list_tickets", ticket="T-1"), *REFUSED.values()):
        decision = guard.authorize(asked, handed.chain)
        assert not decision.permitted
        assert not decision.observed
    assert guard.visible(handed.chain, "desk", ["unheard_of", "read_ticket"]) == {"read_ticket"}


def test_a_hop_that_would_be_refused_is_refused_while_observing(guard: Guard, chain: Chain) -> None:
    beyond = Narrowing(
        purpose="read",
        capabilities=(
            Capability(tools=("mail/*",), actions=("send",), sensitivity="internal", destinations=("*",)),
        ),
        budget=Budget(calls=1, writes=0),
        expires_in=60,
    )
    refused = guard.delegate(chain, "helper", beyond)
    assert refused.chain is None
    assert not refused.decision.permitted
    assert not refused.decision.observed


def test_what_an_unclassified_tool_returns_counts_as_the_worst_elsewhere(guard: Guard, chain: Chain) -> None:
    assert guard.authorize(REFUSED["tool_unclassified"], chain).permitted
    taken = [one for one in guard.ledger.standing(chain).labels if one.flow == "from"]
    assert [(one.name, one.sensitivity, one.integrity) for one in taken] == [
        ("desk", "restricted", "untrusted")
    ]


def test_an_observed_result_makes_no_argument_trusted_elsewhere(guard: Guard, chain: Chain) -> None:
    decision = guard.authorize(REFUSED["outside_task"], chain)
    assert guard.values(decision, REFUSED["outside_task"], {"to": "eve@example.com"}) == ()


def test_listings_show_everything_while_observing_until_the_chain_falls(guard: Guard, chain: Chain) -> None:
    names = ["read_ticket", "other", "unheard_of"]
    assert guard.visible(chain, "desk", names) == set(names)
    assert guard.visible(chain, "mail", ["send"]) == set()
    guard.complete_task(chain.task)
    assert guard.visible(chain, "desk", names) == set()


def test_every_other_reason_refuses_while_observing(guard: Guard, chain: Chain) -> None:
    """Two argument names that could be taken for each other, and arguments that no log carries."""
    lookalike = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T-1", "Ticket": "T-2"})
    broken = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "\ud800"})
    for asked in (lookalike, broken):
        decision = guard.authorize(asked, chain)
        assert decision.verdict.reason not in LET_THROUGH
        assert not decision.permitted


def test_a_log_that_cannot_be_written_refuses_while_observing(guard: Guard, chain: Chain) -> None:
    guard.ledger.close()
    decision = guard.authorize(REFUSED["outside_task"], chain)
    assert not decision.permitted
    assert not decision.recorded


class Broken(FixedClock):
    """A clock that cannot be read any more."""

    broken = False

    def now(self) -> int:
        if self.broken:
            raise OSError("no clock")
        return super().now()


def test_a_clock_that_cannot_be_read_observes_nothing(config: Path) -> None:
    clock = Broken(NOON)
    guard = Guard.open(config, clock=clock)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    clock.broken = True
    with pytest.raises(OSError, match="no clock"):
        guard.authorize(REFUSED["outside_task"], chain)
    assert guard.visible(chain, "desk", ["unheard_of"]) == set()
    guard.ledger.close()


def test_a_changed_file_counts_from_the_next_start_only(config: Path, clock: FixedClock) -> None:
    config.write_text(config_text(desk=""))
    guard = Guard.open(config, clock=clock)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    config.write_text(config_text())
    assert not guard.authorize(REFUSED["outside_task"], chain).permitted
    guard.close()


def test_observing_for_longer_than_90_days_does_not_start(config: Path, clock: FixedClock) -> None:
    config.write_text(config_text('mode = "observe"\nobserve_until = 2027-02-23'))
    Guard.open(config, clock=clock).close()
    config.write_text(config_text('mode = "observe"\nobserve_until = 2027-02-24'))
    with pytest.raises(ConfigError, match=r"servers\.desk\.observe_until is more than 90 days ahead"):
        Guard.open(config, clock=clock)


def test_an_end_that_is_past_enforces(config: Path, clock: FixedClock) -> None:
    config.write_text(config_text('mode = "observe"\nobserve_until = 2026-11-24'))
    guard = Guard.open(config, clock=clock)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    assert not guard.authorize(REFUSED["outside_task"], chain).permitted
    guard.close()


@pytest.mark.parametrize(
    ("observed", "told"),
    [
        ('mode = "observe"', r'servers\.desk\.observe_until: missing; mode = "observe" needs the last day'),
        ("observe_until = 2026-12-31", 'has no effect without mode = "observe"'),
        ('mode = "observe"\nobserve_until = "soon"', "must be a date such as 2026-12-31"),
        ('mode = "observe"\nobserve_until = 2026-12-31T00:00:00Z', "must be a date such as 2026-12-31"),
        ('mode = "off"', 'is not allowed; one of "enforce", "observe"'),
    ],
)
def test_observing_without_a_last_day_does_not_start(
    config: Path, clock: FixedClock, observed: str, told: str
) -> None:
    config.write_text(config_text(observed))
    with pytest.raises(ConfigError) as refused:
        Guard.open(config, clock=clock)
    assert re.search(told, str(refused.value))


def test_there_is_no_switch_for_all_servers(config: Path, clock: FixedClock) -> None:
    for place in ('mode = "observe"\n', "observe_until = 2026-12-31\n"):
        config.write_text(place + config_text(desk=""))
        with pytest.raises(ConfigError, match="unknown key"):
            Guard.open(config, clock=clock)


def test_an_authority_elsewhere_and_observing_do_not_go_together(config: Path, clock: FixedClock) -> None:
    remote = 'issuer = "http://127.0.0.1:8700"\nmode = "remote"\ntoken_endpoint = "http://127.0.0.1:8700/t"'
    config.write_text(config_text().replace('issuer = "http://127.0.0.1:8700"', remote))
    with pytest.raises(ConfigError, match=r"servers\.desk\.mode: needs authority\.mode embedded"):
        Guard.open(config, clock=clock)
