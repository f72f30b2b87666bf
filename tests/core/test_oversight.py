"""Who answers for agents, when they are looked at, whether they are used."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hopward.clock import DAY
from hopward.config import read_settings
from hopward.errors import ConfigError, NotFoundError, StateError
from hopward.model import ToolCall
from hopward.oversight import UNUSED_AFTER, Oversight, overseen
from hopward.project import NewAgent, NewServer, change_owner, create
from hopward.testing.clock import FixedClock
from hopward.wiring import Guard

AGENT = NewAgent("assistant", "ana@example.com", "Reads", ("files/*",), ("read",), "internal", ("files",), 30)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    create(tmp_path, NewServer("files", ("server",)), AGENT)
    return tmp_path / "hopward.toml"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def guard(config: Path, clock: FixedClock) -> Iterator[Guard]:
    with closing(Guard.open(config, clock=clock)) as opened:
        yield opened


def seen(guard: Guard) -> Oversight:
    return overseen(guard.settings, guard.ledger, guard.now)[0]


def lacks(guard: Guard) -> set[str]:
    return {one.lack for one in seen(guard).lacking(guard.now)}


def test_an_agent_is_due_as_many_days_after_it_was_registered_as_is_configured(
    guard: Guard, clock: FixedClock
) -> None:
    registered = clock.now()
    assert seen(guard).due_at == registered + 30 * DAY
    clock.advance(30 * DAY - 1)
    assert "overdue" not in lacks(guard)
    clock.advance(1)
    assert "overdue" in lacks(guard)


def test_a_review_counts_for_as_long_and_is_a_row_that_says_who_and_why(
    guard: Guard, clock: FixedClock
) -> None:
    clock.advance(40 * DAY)
    until = guard.review_agent("assistant", by="ana@example.com", why="does what it should")
    assert until == clock.now() + 30 * DAY
    assert "overdue" not in lacks(guard)
    row = next(guard.ledger.rows())
    assert (row.kind, row.agent, row.record["event"]) == ("agent", "assistant", "reviewed")
    assert (row.record["by"], row.record["why"]) == ("ana@example.com", "does what it should")
    assert seen(guard).reviewed_by == "ana@example.com"


def test_a_review_may_count_for_less_and_never_for_more(guard: Guard, clock: FixedClock) -> None:
    now = clock.now()
    for until in (now, now - DAY, now + 31 * DAY):
        with pytest.raises(StateError, match="30 days ahead at most"):
            guard.review_agent("assistant", by="ana", why="ok", until=until)
    assert guard.review_agent("assistant", by="ana", why="ok", until=now + DAY) == now + DAY
    assert seen(guard).due_at == now + DAY


def test_fewer_days_in_the_configuration_shorten_a_review_that_was_made(
    guard: Guard, config: Path, clock: FixedClock
) -> None:
    guard.review_agent("assistant", by="ana", why="ok")
    config.write_text(config.read_text().replace("review_days = 30", "review_days = 7"))
    with closing(Guard.open(config, clock=clock)) as again:
        assert seen(again).due_at == clock.now() + 7 * DAY


def test_without_a_number_of_days_a_review_says_until_when(config: Path, clock: FixedClock) -> None:
    text = config.read_text()
    line = next(line for line in text.splitlines() if line.startswith("review_days"))
    config.write_text(text.replace(line, ""))
    with closing(Guard.open(config, clock=clock)) as guard:
        assert "unreviewed" in lacks(guard)
        with pytest.raises(StateError, match="Nothing says how long"):
            guard.review_agent("assistant", by="ana", why="ok")
        guard.review_agent("assistant", by="ana", why="ok", until=clock.now() + DAY)
        assert "unreviewed" not in lacks(guard)


@pytest.mark.parametrize("by", ["assistant", "local:ASSISTANT", "agent:x", "hopward:risk", "", "  "])
def test_only_a_person_reviews_an_agent(guard: Guard, by: str) -> None:
    with pytest.raises(StateError):
        guard.review_agent("assistant", by=by, why="fine by me")


def test_a_review_needs_a_reason_and_an_agent_that_is_there(guard: Guard) -> None:
    with pytest.raises(StateError):
        guard.review_agent("assistant", by="ana", why=" ")
    with pytest.raises(NotFoundError):
        guard.review_agent("asistant", by="ana", why="ok")


def test_an_agent_that_does_nothing_is_unused_until_it_does_something(
    guard: Guard, clock: FixedClock
) -> None:
    assert "unused" not in lacks(guard)
    clock.advance(UNUSED_AFTER)
    assert "unused" in lacks(guard)
    assert "never been used" in " ".join(one.sentence for one in seen(guard).lacking(guard.now))
    chain = guard.enter(guard.open_task("files", "ana").id)
    guard.authorize(ToolCall(server="files", tool="read"), chain)
    assert seen(guard).used_at == clock.now()
    assert "unused" not in lacks(guard)


def test_an_agent_whose_owner_is_quarantined_is_ownerless(guard: Guard) -> None:
    guard.open_task("files", "ana@example.com")
    assert "ownerless" not in lacks(guard)
    guard.quarantine("subject", "ana@example.com", by="bo", why="left the firm")
    assert "ownerless" in lacks(guard)
    guard.release("subject", "ana@example.com", by="bo", why="came back")
    assert "ownerless" not in lacks(guard)


def test_a_retired_agent_lacks_nothing(guard: Guard, clock: FixedClock) -> None:
    clock.advance(400 * DAY)
    assert lacks(guard) == {"overdue", "unused"}
    guard.set_agent_state("assistant", "retired", by="ana", why="replaced")
    assert lacks(guard) == set()
    with pytest.raises(StateError, match="retired"):
        guard.review_agent("assistant", by="ana", why="ok")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('owner = "assistant"', "is an agent; a person or a team answers"),
        ('owner = "Assistant"', "is an agent; a person or a team answers"),
        ('owner = "agent:x"', "is an agent; a person or a team answers"),
        ('owner = "ana"\nreview_days = 0', "must be 1 to 366"),
        ('owner = "ana"\nreview_days = 367', "must be 1 to 366"),
    ],
)
def test_an_owner_is_no_agent_and_days_are_some(config: Path, change: str, told: str) -> None:
    text = config.read_text().replace('owner = "ana@example.com"', change, 1)
    if "review_days" in change:
        text = text.replace("review_days = 30", "", 1)
    config.write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_settings(config)


def test_another_owner_changes_one_value_and_no_other_byte(config: Path) -> None:
    before = config.read_bytes()
    change_owner(config, "assistant", 'bo "the boss"')
    after = config.read_bytes()
    assert after == before.replace(b'"ana@example.com"', b'"bo \\"the boss\\""', 1)
    assert read_settings(config).agents["assistant"].owner == 'bo "the boss"'


@pytest.mark.parametrize("spelled", ["agents.assistant.owner", '"agents"."assistant"."own=er"'])
def test_an_owner_that_does_not_stand_where_it_is_looked_for_is_not_changed(
    config: Path, spelled: str
) -> None:
    with pytest.raises(ConfigError):
        change_owner(config, "nobody", "bo")
    before = config.read_bytes()
    with pytest.raises(ConfigError):
        change_owner(config, "assistant", "assistant")
    assert config.read_bytes() == before


def test_a_transfer_is_recorded_with_who_why_and_from_whom(guard: Guard, config: Path) -> None:
    change_owner(config, "assistant", "bo@example.com")
    assert guard.transfer_agent("assistant", "bo@example.com", by="ana", why="new team").owner == (
        "bo@example.com"
    )
    row = next(guard.ledger.rows())
    assert row.record == {
        "event": "transferred",
        "agent": "assistant",
        "from": "ana@example.com",
        "to": "bo@example.com",
        "by": "ana",
        "why": "new team",
    }
    with pytest.raises(StateError, match="already"):
        guard.transfer_agent("assistant", "bo@example.com", by="ana", why="new team")
