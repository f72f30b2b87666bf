"""What `hopward policy suggest` makes of a period: it permits that, and nothing one step beyond."""

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hopward import Guard, ToolCall
from hopward.constraint import Equals, Length, OneOf, PathUnder, Range, UrlHost
from hopward.ledger import RowFilter
from hopward.model import Budget, Chain
from hopward.policies import read_folder
from hopward.suggestion import Installed, Suggestion, Wish, refusal, suggest
from hopward.suggestion.limits import limit
from hopward.testing.clock import NOON, FixedClock

from .observing import OBSERVED, POLICIES, TOOL, call, config_text, project

READING = '@id("lists") permit (principal, action, resource == Hopward::Tool::"desk/list_tickets");'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return project(tmp_path, config_text())


@pytest.fixture
def guard(config: Path) -> Iterator[Guard]:
    guard = Guard.open(config, clock=FixedClock(NOON))
    yield guard
    guard.close()


def opened(guard: Guard) -> Chain:
    return guard.enter(guard.open_task("tickets", "alice").id)


def suggested(guard: Guard, config: Path, **wish: Any) -> Suggestion:
    rows = guard.ledger.rows(RowFilter(kind="decision", oldest_first=True))
    installed = Installed(config, config.read_text(), read_folder(config.parent / "policies"))
    return suggest(installed, rows, Wish(**wish))


def under(found: Suggestion, asked: ToolCall) -> str:
    """Why a call like those that were learned would be refused under the suggestion; empty if permitted."""
    why = refusal(replace_call(found, asked), found.terms)
    return "" if why is None else why[0]


def replace_call(found: Suggestion, asked: ToolCall) -> Any:
    return dataclasses.replace(found.learned[0], call=asked)


def test_what_was_learned_is_permitted_and_one_step_beyond_is_refused(guard: Guard, config: Path) -> None:
    for ticket in ("T-1", "T-2"):
        assert guard.authorize(call("read_ticket", ticket=ticket), opened(guard)).permitted
    found = suggested(guard, config)
    assert len(found.learned) == 2
    assert [under(found, one.call) for one in found.learned] == ["", ""]
    assert under(found, call("read_ticket", ticket="T-3")) == "outside_task"
    assert under(found, call("read_ticket")) == "outside_task"
    assert under(found, call("read_ticket", ticket="T-1", more="x")) == "outside_task"
    assert under(found, call("list_tickets")) == "outside_task"
    assert under(found, call("other")) == "outside_task"
    assert under(found, call("send", "mail")) == "outside_task"


def test_a_guard_under_the_suggestion_permits_the_calls_again(guard: Guard, config: Path) -> None:
    observed = (call("other", ticket="T-1"), call("read_ticket", ticket="T-1"), call("list_tickets"))
    chain = opened(guard)
    for one in observed:
        assert guard.authorize(one, chain).permitted
    found = suggested(guard, config)
    config.write_text(found.after.text.replace(OBSERVED, ""))
    for name, text in found.after.files.items():
        (config.parent / "policies" / name).write_text(text)
    again = Guard.open(config, clock=FixedClock(NOON))
    chain = opened(again)
    decisions = [again.authorize(one, chain) for one in observed]
    assert [one.verdict.name for one in decisions] == ["permit"] * 3
    assert not any(one.observed for one in decisions)
    for beyond in (call("other", ticket="T-2"), call("close", ticket="T-1"), call("unheard_of")):
        assert not again.authorize(beyond, chain).permitted
    again.close()


def test_every_added_line_says_what_it_is_based_on(guard: Guard, config: Path) -> None:
    first = guard.authorize(call("read_ticket", ticket="T-1"), opened(guard))
    last = guard.authorize(call("read_ticket", ticket="T-2"), opened(guard))
    diff = suggested(guard, config).diff
    told = f"based on 2 calls in 2 tasks, first {first.id}, last {last.id}"
    added = [line for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
    assert sum(told in line for line in added) == 2
    assert "+# the most that one task used, calls 1, writes 0, and 25 % more" in diff
    assert diff.startswith("--- a/hopward.toml\n+++ b/hopward.toml\n")


def test_nothing_changes_on_disk(guard: Guard, config: Path) -> None:
    guard.authorize(call("other", ticket="T-1"), opened(guard))
    before = {
        path: path.read_bytes() for path in config.parent.rglob("*") if path.suffix in (".toml", ".cedar")
    }
    assert suggested(guard, config).diff
    assert before == {path: path.read_bytes() for path in before}


def note(to: str) -> ToolCall:
    return ToolCall(server="desk", tool="send_note", arguments={"to": to, "n": 1})


def test_an_unclassified_tool_is_proposed_and_a_person_must_decide(guard: Guard, config: Path) -> None:
    chain = opened(guard)
    assert guard.authorize(note("a"), chain).permitted
    found = suggested(guard, config)
    (proposed,) = found.proposed
    assert (proposed.tool.action, proposed.tool.integrity) == ("send", "untrusted")
    assert proposed.tool.arguments == {"n": "integer", "to": "string"}
    assert "+# A PERSON MUST DECIDE what this is: the name says 'send'; based on 1 call" in found.diff
    assert "+[servers.desk.tools.send_note]" in found.diff
    assert "suggested.cedar" in found.diff
    assert under(found, note("a")) == ""
    assert under(found, note("b")) == "outside_task"


def test_what_no_policy_permits_gets_one_for_that_agent_tool_and_workflow(guard: Guard, config: Path) -> None:
    (config.parent / "policies" / "own.cedar").write_text(READING)
    guard.policies.refresh()
    assert guard.authorize(call("read_ticket", ticket="T-1"), opened(guard)).observed
    found = suggested(guard, config)
    text = found.after.files["suggested.cedar"]
    for part in (
        'principal == Hopward::Agent::"assistant"',
        'resource == Hopward::Tool::"desk/read_ticket"',
        'context.workflow == "tickets"',
    ):
        assert part in text
    assert "--- /dev/null\n+++ b/policies/suggested.cedar" in found.diff
    assert under(found, call("read_ticket", ticket="T-1")) == ""


def test_a_policy_that_forbids_is_never_loosened(guard: Guard, config: Path) -> None:
    chain = opened(guard)
    guard.authorize(call("read_ticket", ticket="T-1"), chain)
    refused = guard.authorize(call("read_ticket", ticket="T-13"), chain)
    assert refused.observed
    found = suggested(guard, config)
    assert [one.decision for one, _ in found.still] == [refused.id]
    assert under(found, call("read_ticket", ticket="T-13")) == "outside_task"
    assert "suggested.cedar" not in found.after.files
    assert found.after.files["own.cedar"] == POLICIES


def test_what_a_policy_asks_a_person_about_is_covered_and_still_asked(guard: Guard, config: Path) -> None:
    asked = guard.authorize(call("read_ticket", ticket="T-14"), opened(guard))
    assert (asked.verdict.name, asked.observed) == ("step-up", True)
    found = suggested(guard, config)
    assert [one.decision for one in found.asked] == [asked.id]
    assert under(found, call("read_ticket", ticket="T-14")) == "approval_required"
    assert found.after.files == found.before.files


def test_where_a_workflow_has_steps_what_was_only_observed_is_left_to_a_person(
    guard: Guard, config: Path
) -> None:
    asked = guard.authorize(call("other", ticket="T-1"), opened(guard))
    assert asked.observed
    before = "[[workflows.tickets.delegable]]"
    step = '[workflows.tickets.steps.read]\ntool = "desk/read_ticket"\n'
    text = config.read_text().replace(before, f"{step}\n{before}")
    config.write_text(text)
    found = suggested(guard, config)
    assert found.learned == ()
    assert [one.decision for one, _ in found.still] == [asked.id]


def test_what_was_refused_is_not_learned_from(guard: Guard, config: Path) -> None:
    chain = opened(guard)
    guard.revoke("task", chain.task, by="ops", why="test")
    assert not guard.authorize(call("other"), chain).permitted
    found = suggested(guard, config)
    assert found.learned == ()
    assert found.diff == ""


def test_what_an_enforced_server_refused_is_counted_and_not_learned_from(guard: Guard, config: Path) -> None:
    assert not guard.authorize(call("send", "mail"), opened(guard)).permitted
    found = suggested(guard, config)
    assert found.learned == ()
    assert found.period.refused == {"outside_task": 1}


def test_calls_after_untrusted_content_are_learned_from_only_where_asked(guard: Guard, config: Path) -> None:
    chain = opened(guard)
    guard.authorize(call("unheard_of"), chain)
    after = guard.authorize(call("other", ticket="T-1"), chain)
    assert after.permitted
    found = suggested(guard, config)
    assert [one.call.tool for one in found.learned] == ["unheard_of"]
    assert [one.decision for one in found.period.aside["after_untrusted_content"]] == [after.id]
    assert "desk/other" not in found.diff
    risky = suggested(guard, config, tainted=True)
    assert [one.call.tool for one in risky.learned] == ["unheard_of", "other"]


def test_budgets_have_the_stated_headroom(guard: Guard, config: Path) -> None:
    chain = opened(guard)
    for _ in range(5):
        guard.authorize(call("read_ticket", ticket="T-1"), chain)
    (spent,) = suggested(guard, config).spent
    assert (spent.most.calls, spent.budget.calls) == (5, 7)
    assert (spent.most.writes, spent.budget.writes) == (0, 0)


def test_a_ceiling_grows_only_where_it_has_to_and_it_is_said(guard: Guard, config: Path) -> None:
    chain = opened(guard)
    assert guard.authorize(call("read_ticket", ticket="T-1"), chain).permitted
    assert suggested(guard, config).ceilings == ()
    assert guard.authorize(call("close", ticket="T-1"), chain).observed
    (grown,) = suggested(guard, config).ceilings
    assert grown.tool.full_name == "desk/close"


@pytest.mark.parametrize("how", ["digest", "redacted"])
def test_calls_whose_arguments_the_log_does_not_keep_are_not_learned_from(tmp_path: Path, how: str) -> None:
    more = '\nredact = ["ticket"]' if how == "redacted" else ""
    config = project(tmp_path, config_text().replace("[log]", f'[log]\narguments = "{how}"{more}'))
    guard = Guard.open(config, clock=FixedClock(NOON))
    guard.authorize(call("read_ticket", ticket="T-1"), opened(guard))
    found = suggested(guard, config)
    assert found.learned == ()
    assert len(found.period.aside["redacted"]) == 1
    guard.close()


def test_one_server_alone_leaves_the_rest_and_the_budget_as_they_are(guard: Guard, config: Path) -> None:
    guard.authorize(call("read_ticket", ticket="T-1"), opened(guard))
    found = suggested(guard, config, server="desk")
    assert found.spent == ()
    assert "+budget" not in found.diff
    assert suggested(guard, config, server="mail").diff == ""
    assert suggested(guard, config, agent="helper").diff == ""
    assert suggested(guard, config, workflow="other").diff == ""


INLINE = """capabilities = [   # what it may do
    { tools = ["desk/read_ticket"], actions = ["read"], sensitivity = "internal", destinations = ["desk"] },
]
"""


def test_capabilities_written_as_one_array_are_replaced_in_place(tmp_path: Path) -> None:
    text = config_text()
    start = text.index("[[workflows.tickets.capabilities]]")
    text = text[:start] + INLINE + text[text.index("[[workflows.tickets.delegable]]") :]
    config = project(tmp_path, text)
    guard = Guard.open(config, clock=FixedClock(NOON))
    guard.authorize(call("read_ticket", ticket="T-1"), opened(guard))
    found = suggested(guard, config)
    assert found.after.settings.workflows["tickets"].capabilities[0].closed
    assert len(found.after.settings.workflows["tickets"].capabilities) == 1
    kept = found.before.settings.workflows["tickets"].delegable
    assert found.after.settings.workflows["tickets"].delegable == kept
    guard.close()


def test_everything_else_of_the_configuration_stays(guard: Guard, config: Path) -> None:
    guard.authorize(call("read_ticket", ticket="T-1"), opened(guard))
    found = suggested(guard, config)
    before, after = found.before.settings, found.after.settings
    workflow = after.workflows["tickets"]
    same = replace(
        workflow,
        capabilities=before.workflows["tickets"].capabilities,
        budget=before.workflows["tickets"].budget,
    )
    assert replace(after, workflows={"tickets": same}) == before


HARD = 'quote " back \\ slash \x7f 𝄞 \n tab\t'


def test_any_text_survives_the_way_into_the_configuration(guard: Guard, config: Path) -> None:
    chain = opened(guard)
    assert guard.authorize(call("read_ticket", ticket=HARD), chain).permitted
    assert guard.authorize(
        ToolCall(server="desk", tool="list_tickets", arguments={HARD: 1.5}), chain
    ).permitted
    found = suggested(guard, config)
    assert found.still == ()
    assert [under(found, one.call) for one in found.learned] == ["", ""]


@pytest.mark.parametrize(
    "name", ["a b", "x\n[servers.evil]", 'q"', "resource:a*", "resource:b\x01", "vendor:x", "ü" * 9]
)
def test_a_name_that_no_configuration_takes_keeps_nothing_else_from_being_learned(
    guard: Guard, config: Path, name: str
) -> None:
    guard.authorize(call("read_ticket", ticket="T-1"), opened(guard))
    guard.authorize(call(name), opened(guard))
    found = suggested(guard, config)
    assert under(found, call("read_ticket", ticket="T-1")) == ""
    assert found.proposed == ()
    assert found.after.settings.servers == found.before.settings.servers


@pytest.mark.parametrize("named", [{"a\nb": "c"}, {" ": "c"}, {"a": "x", "A": "y"}, {"": "c"}])
def test_arguments_of_any_name_keep_nothing_else_from_being_learned(
    guard: Guard, config: Path, named: dict[str, Any]
) -> None:
    guard.authorize(call("read_ticket", ticket="T-1"), opened(guard))
    guard.authorize(ToolCall(server="desk", tool="get_more", arguments=named), opened(guard))
    found = suggested(guard, config)
    assert under(found, call("read_ticket", ticket="T-1")) == ""


def test_a_policy_is_suggested_for_a_name_with_any_sign(guard: Guard, config: Path) -> None:
    (config.parent / "policies" / "own.cedar").write_text(READING)
    guard.policies.refresh()
    asked = call('resource:note://a"b\\c')
    assert guard.authorize(asked, opened(guard)).observed
    found = suggested(guard, config)
    assert found.still == ()
    assert under(found, asked) == ""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "a"], Equals("a")),
        (["a", "b"], OneOf(("a", "b"))),
        ([True, False], OneOf((False, True))),
        ([1, True], OneOf((True, 1))),
        ([float(n) for n in range(9)], Range(minimum=0.0, maximum=8.0)),
        ([f"/data/in/{n}/x" for n in range(9)], PathUnder("/data/in")),
        ([f"/{n}" for n in range(9)], Length(2, 2)),
        ([f"https://api.example/{n}" for n in range(9)], UrlHost(("api.example",))),
        ([f"https://eve@api.example/{n}" for n in range(9)], Length(25, 25)),
        ([f"/data/{n}/../../etc" for n in range(9)], Length(17, 17)),
        ([f"word {n}" for n in range(9)], Length(6, 6)),
        ([["a"], ["a", "b"]], Length(1, 2)),
        ([None], None),
        ([{"a": 1}], None),
        (["a", None], None),
        (["a", 1] * 9, OneOf((1, "a"))),
        ([*map(str, range(9)), 1], None),
    ],
)
def test_each_argument_gets_the_narrowest_condition(values: list[Any], expected: Any) -> None:
    assert limit(values) == expected


def test_an_argument_nothing_can_be_said_about_is_named(guard: Guard, config: Path) -> None:
    asked = ToolCall(server="desk", tool="list_tickets", arguments={"filter": {"open": True}})
    assert guard.authorize(asked, opened(guard)).permitted
    found = suggested(guard, config)
    assert "nothing bounds filter, nor other arguments" in found.diff
    assert under(found, asked) == ""


PAYING = (
    TOOL.format(server="mail", name="pay", action="send")
    .replace("arguments = {", 'spends = { amount = "amount", currency = "{currency|EUR}" }\narguments = {')
    .replace('ticket = "string"', 'amount = "decimal", currency = "string"')
)


def spent_in(tmp_path: Path, budget: str, *amounts: tuple[float, str]) -> tuple[Budget, str]:
    """The budget that is suggested after one task has spent these, and the text of the suggestion."""
    text = config_text(mail=OBSERVED)
    rest = text[text.index("depth = 1\n") : text.index("[[workflows")]
    text = text.replace(rest, "").replace("budget = { calls = 3, writes = 0 }\n", f"{rest}{budget}\n")
    config = project(tmp_path, text + PAYING)
    with closing(Guard.open(config, clock=FixedClock(NOON))) as guard:
        chain = opened(guard)
        for amount, currency in amounts:
            asked = ToolCall(server="mail", tool="pay", arguments={"amount": amount, "currency": currency})
            assert guard.authorize(asked, chain).observed
        found = suggested(guard, config)
    return found.after.settings.workflows["tickets"].budget, found.after.text


def test_money_is_what_one_task_has_spent_and_as_much_more_as_is_stated(tmp_path: Path) -> None:
    written = 'budget = { calls = 3, money = { EUR = "5000" }, writes = 0 }'
    found, text = spent_in(tmp_path, written, (900, "EUR"), (0.01, "EUR"))
    assert found.money == {"EUR": "1125.02"}
    assert "writes 2, 900.01 EUR, and 25 % more" in text


@pytest.mark.parametrize(
    "written",
    [
        'budget = { calls = 3, writes = 0, money = { EUR = "5000", JPY = "7" } }',
        'budget = { calls = 3, writes = 0, money.EUR = "5000", money.JPY = "7" }',
        "budget = { calls = 3, writes = 0, money = {} }",
        "budget = { calls = 3, writes = 0 }",
        'budget.calls = 3\nbudget.writes = 0\nbudget.money.JPY = "7"',
        "budget.calls = 3\nbudget.writes = 0",
        '[workflows.tickets.budget]\ncalls = 3\nwrites = 0\n[workflows.tickets.budget.money]\nJPY = "7"',
        "[workflows.tickets.budget]\ncalls = 3\nwrites = 0 # none",
        "[workflows.tickets.budget]\ncalls = 3\nwrites = 0\n[workflows.tickets.budget.money] # none",
    ],
)
def test_money_is_suggested_in_whatever_form_the_budget_is_written(tmp_path: Path, written: str) -> None:
    found, _ = spent_in(tmp_path, written, (900, "EUR"), (3, "USD"))
    assert {one: amount for one, amount in found.money.items() if float(amount)} == {
        "EUR": "1125.00",
        "USD": "3.75",
    }
    assert (found.calls, found.writes) == (3, 3)


def test_bytes_and_destinations_that_a_budget_bounds_are_narrowed_too(tmp_path: Path) -> None:
    written = "budget = { calls = 3, writes = 0, bytes_out = 9000, destinations = 80 }"
    found, _ = spent_in(tmp_path, written, (1, "EUR"))
    assert (found.bytes_out, found.destinations) == (37, 2)
