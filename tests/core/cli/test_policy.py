"""`hopward policy`"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from msgspec import structs

from hopward.cli.handing import wished
from hopward.model import Budget, Capability, Chain, Delegation, Narrowing, ToolCall
from hopward.wiring import Guard

from .shell import Shell

LIMIT = """\
@id("small-refunds-only")
@reason("A refund above 50 needs a person.")
@step_up("operators")
forbid (principal, action == Hopward::Action::"desk/refund", resource)
when { context.arguments has amount && context.arguments.amount.greaterThan(decimal("50.0")) };
"""

CASES = """\
[[case]]
name = "a small refund passes"
agent = "assistant"
tool = "desk/refund"
arguments = { amount = 20 }
expect = "permit"

[[case]]
name = "a large refund needs a person"
agent = "assistant"
tool = "desk/refund"
arguments = { amount = 60 }
expect = "step-up"
policies = ["small-refunds-only"]
"""


def test_check_says_which_policies_fit_which_tools(desk: Shell) -> None:
    desk.write("policies/refunds.cedar", LIMIT)
    printed = desk("policy check")
    assert "10 policies fit the 2 classified tools. sha-256:" in printed.out
    assert "small-refunds-only" in printed.out
    assert "refunds.cedar:1" in printed.out
    found = desk("policy check --json").json
    assert found["tools"] == ["desk/read_ticket", "desk/refund"]
    assert found["schema_current"] is True
    assert {"id", "reason", "control", "step_up"} <= found["policies"][0].keys()


def test_check_names_every_mistake_with_file_and_line(desk: Shell) -> None:
    desk.write("policies/a.cedar", LIMIT.replace("amount &&", "amout &&"))
    desk.write("policies/b.cedar", "permit (principal, action, resource)\n")
    printed = desk.fails("policy check", status=2)
    assert "a.cedar" in printed.err
    assert "amout" in printed.err
    assert "b.cedar" in printed.err


def test_check_warns_of_tools_that_no_policy_permits(desk: Shell) -> None:
    desk.write(
        "policies/baseline.cedar", 'permit (principal, action == Hopward::Action::"desk/refund", resource);'
    )
    assert "No policy permits: desk/read_ticket" in desk("policy check").err
    assert desk("policy check --json").json["never_permitted"] == ["desk/read_ticket"]


def hands_on(desk: Shell) -> None:
    """From now on a task may hand on reading to `helper`, and that once more to `clerk`."""
    path = desk.folder / "hopward.toml"
    reading = 'tools = ["desk/*"], actions = ["read"], sensitivity = "internal", destinations = ["desk"]'
    head, middle, workflow = path.read_text().partition("[workflows.tickets]\n")
    agents = head.replace("ceiling = [", f"delegable = [{{ {reading} }}]\nceiling = [")
    others = "".join(
        f'[agents.{name}]\nowner = "ana"\npurpose = "Reads"\n'
        f"ceiling = [{{ {reading} }}]\ndelegable = [{{ {reading} }}]\n\n"
        for name in ("helper", "clerk")
    )
    further = f"depth = 2\nfan_out = 2\ndelegable = [{{ {reading} }}]\n"
    path.write_text(
        agents.replace("[servers.desk]", others + "[servers.desk]", 1) + middle + further + workflow
    )


def test_check_and_doctor_warn_of_work_that_no_policy_lets_be_handed_on(desk: Shell) -> None:
    hands_on(desk)
    assert "handing on" not in desk("policy check").err
    assert desk("policy check --json").json["hands_on"] is True
    desk.write("policies/baseline.cedar", "permit (principal, action, resource);")
    told = "No policy permits handing on work, as tickets would"
    assert told in desk("policy check").err
    assert desk("policy check --json").json["hands_on"] is False
    assert told in desk("doctor").out


def test_nobody_is_warned_where_no_workflow_hands_anything_on(desk: Shell) -> None:
    desk.write("policies/baseline.cedar", "permit (principal, action, resource);")
    assert "handing on" not in desk("policy check").err
    assert "handing on" not in desk("doctor").out


def test_check_says_which_policies_are_about_calls_alone(desk: Shell) -> None:
    mixed = """
    @id("both") forbid (principal, action, resource) when { context.depth > 2 };
    @id("labels") forbid (principal, action, resource) when { resource.action == "delete" };
    @id("handing") forbid (principal, action == Hopward::Action::"delegate", resource);
    """
    desk.write("policies/mixed.cedar", mixed)
    assert "ask about a tool: labels\n" in desk("policy check").err
    about = {one["id"]: one["about"] for one in desk("policy check --json").json["policies"]}
    assert (about["both"], about["labels"], about["handing"]) == ("both", "calls", "handing on")
    assert about["within-task"] == "calls"


def test_check_writes_the_schema_for_editors_when_asked_to(desk: Shell) -> None:
    path = desk.folder / "hopward.toml"
    path.write_text(path.read_text().replace('amount = "decimal"', 'amount = "decimal", note = "string"'))
    schema = desk.folder / "policies/schema.cedarschema"
    before = schema.read_text()
    assert "--write-schema" in desk("policy check").err
    assert schema.read_text() == before
    desk("policy check --write-schema")
    assert '"note"?: String' in schema.read_text()
    assert "--write-schema" not in desk("policy check").err


def test_the_cases_in_the_policies_folder_are_run(desk: Shell) -> None:
    desk.write("policies/refunds.cedar", LIMIT)
    desk.write("policies/tests/refunds.toml", CASES)
    printed = desk("policy test")
    assert "ok     a small refund passes" in printed.out
    assert "2 cases, 0 failed." in printed.out
    assert [case["passed"] for case in desk("policy test --json").json_lines] == [True, True]


def test_a_failing_case_is_named_with_its_line_and_the_exit_status_is_1(desk: Shell) -> None:
    desk.write("policies/tests/refunds.toml", CASES)
    printed = desk.fails("policy test")
    assert "FAILED a large refund needs a person" in printed.out
    assert "line 8: expected step-up, got permit" in printed.out
    assert [case["passed"] for case in desk.fails("policy test --json").json_lines] == [True, False]


def test_without_cases_there_is_nothing_to_fail(desk: Shell) -> None:
    assert "There are no test cases" in desk("policy test").out


def test_explain_says_which_policies_apply_and_what_the_verdict_would_be(desk: Shell) -> None:
    desk.write("policies/refunds.cedar", LIMIT)
    small = desk("policy explain --agent assistant desk/refund amount=20").out
    assert "classified  pay, internal, trusted, at desk" in small
    assert "permit (permitted)" in small
    assert "more policies cannot be about such a call." in small
    large = desk("policy explain --agent assistant desk/refund amount=60 --json").json
    results = {step["policy"]: step["result"] for step in large["policies"]}
    assert results["small-refunds-only"] == "applies"
    assert results["within-task"] == "applies"
    assert large["verdict"]["name"] == "step-up"


def test_explain_reads_values_as_the_classification_says(desk: Shell) -> None:
    found = desk("policy explain --agent assistant desk/read_ticket ticket=17 extra=17 other=x --json").json
    assert found["call"]["arguments"] == {"ticket": "17", "extra": 17, "other": "x"}


@pytest.mark.parametrize(
    ("capability", "reason"),
    [('actions = ["read"]', "outside_task"), ('destinations = ["desk"]\nclosed = true', "outside_task")],
)
def test_explain_about_a_task_says_what_lies_outside_of_it(desk: Shell, capability: str, reason: str) -> None:
    path = desk.folder / "hopward.toml"
    key = capability.split(" = ")[0]
    head, workflow = path.read_text().split("[[workflows.tickets.capabilities]]")
    lines = [capability if line.startswith(key) else line for line in workflow.splitlines()]
    path.write_text(head + "[[workflows.tickets.capabilities]]" + "\n".join(lines))
    task = desk("task open --workflow tickets --json").json["id"]
    found = desk(f"policy explain --task {task} desk/refund amount=20 --json").json
    assert found["verdict"]["reason"] == reason
    assert "covers the call" in desk(f"policy explain --task {task} desk/refund amount=20").out


@pytest.mark.parametrize(
    ("call", "arguments"),
    [("desk/refund", {"amount": 20}), ("desk/read_ticket", {"ticket": "T1"}), ("desk/delete_customer", {})],
)
def test_explain_answers_what_the_guard_would_decide(
    desk: Shell, guard: Guard, call: str, arguments: dict[str, Any]
) -> None:
    desk.write("policies/refunds.cedar", LIMIT)
    task = guard.open_task("tickets", "ana")
    words = " ".join(f"{name}={value}" for name, value in arguments.items())
    said = desk(f"policy explain --task {task.id} {call} {words} --json").json["verdict"]
    server, _, tool = call.partition("/")
    asked = ToolCall(server=server, tool=tool, arguments=arguments)
    decided = guard.authorize(asked, guard.enter(task.id)).verdict
    assert (said["name"], said["reason"]) == (decided.name, decided.reason)


@pytest.fixture
def office(desk: Shell) -> Iterator[Guard]:
    """The guard of a desk whose assistant may hand reading on to `helper`."""
    hands_on(desk)
    with closing(Guard.open(desk.folder / "hopward.toml")) as opened:
        yield opened


READING = Capability(tools=("desk/*",), actions=("read",), sensitivity="internal", destinations=("desk",))
WISH = Narrowing(
    purpose="look", capabilities=(READING,), budget=Budget(calls=1, writes=0), expires_in=60, shared=True
)
READ = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T1"})
REFUND = ToolCall(server="desk", tool="refund", arguments={"amount": 20})


@pytest.mark.parametrize(
    ("call", "reason"), [(READ, "permitted"), (REFUND, "outside_hop")], ids=["read", "refund"]
)
def test_explain_about_a_hop_answers_what_the_guard_would_decide(
    desk: Shell, office: Guard, call: ToolCall, reason: str
) -> None:
    task = office.open_task("tickets", "ana")
    helper = office.delegate(office.enter(task.id), "helper", WISH).chain
    assert helper is not None
    words = " ".join(f"{name}={value}" for name, value in call.arguments.items())
    for who in (f"--hop {helper.hops[0]}", f"--task {task.id} --agent helper"):
        found = desk(f"policy explain {who} {call.name} {words} --json").json
        assert found["verdict"]["reason"] == reason
        assert found["actors"] == ["assistant", "helper"]
        printed = desk(f"policy explain {who} {call.name} {words}").out
        assert "assistant > helper" in printed
        assert helper.hops[0] in printed
    assert office.authorize(call, helper).verdict.reason == reason
    office.complete_hop(helper)
    assert desk(f"policy explain --hop {helper.hops[0]} {call.name} --json").json["verdict"]["reason"] == (
        "hop_completed"
    )


def test_explain_knows_when_a_budget_is_used_up(desk: Shell, guard: Guard) -> None:
    task = guard.open_task("tickets", "ana")
    chain = guard.enter(task.id)
    for call, reason in ((REFUND, "permitted"), (REFUND, "budget_exhausted"), (READ, "permitted")):
        words = " ".join(f"{name}={value}" for name, value in call.arguments.items())
        question = f"policy explain --task {task.id} {call.name} {words} --json"
        said = desk(question).json["verdict"]
        decided = guard.authorize(call, chain).verdict
        assert (said["reason"], said["sentence"]) == (reason, decided.sentence)


def test_explain_about_a_task_asks_for_the_hop_of_another_agent(desk: Shell, office: Guard) -> None:
    task = office.open_task("tickets", "ana")
    refused = desk.fails(f"policy explain --task {task.id} --agent helper desk/read_ticket")
    assert "There is no hop to agent 'helper'" in refused.err
    assert "There is no hop" in desk.fails("policy explain --hop hop_0 desk/read_ticket").err


FURTHER = structs.replace(WISH, delegable=(READING,), depth=1, fan_out=1, budget=Budget(calls=2, writes=0))


def permitted(found: Delegation) -> Chain:
    assert found.chain is not None, found.decision.verdict
    return found.chain


def test_explain_about_a_hop_goes_through_every_agent_before(desk: Shell, office: Guard) -> None:
    helper = permitted(
        office.delegate(office.enter(office.open_task("tickets", "ana").id), "helper", FURTHER)
    )
    clerk = permitted(office.delegate(helper, "clerk", WISH))
    question = f"policy explain --hop {clerk.hops[-1]} desk/read_ticket ticket=T1"
    found = desk(f"{question} --json").json
    assert (found["actors"], found["hops"]) == (["assistant", "helper", "clerk"], list(clerk.hops))
    assert found["verdict"]["reason"] == office.authorize(READ, clerk).verdict.reason == "permitted"
    kinds = ("outside_hop", "outside_delegable", "over_ceiling", "over_delegable")
    assert [found[kind] for kind in kinds] == ["", "", "", ""]
    path = desk.folder / "hopward.toml"
    path.write_text(path.read_text().replace('actions = ["read"]', 'actions = ["send"]', 1))
    found = desk(f"{question} --json").json
    assert found["verdict"]["reason"] == "over_delegable"
    assert found["over_delegable"].startswith("Agent assistant may never hand this on: ")
    assert "hands on    Agent assistant" in desk(question).out
    with closing(Guard.open(path)) as later:
        assert later.authorize(READ, clerk).verdict.sentence == found["verdict"]["sentence"]


def test_explain_about_an_agent_takes_its_hop_that_still_counts(desk: Shell, office: Guard) -> None:
    task = office.open_task("tickets", "ana").id
    first, second = (permitted(office.delegate(office.enter(task), "helper", WISH)) for _ in range(2))
    question = f"policy explain --task {task} --agent helper desk/read_ticket --json"
    office.complete_hop(second)
    assert desk(question).json["hops"] == list(first.hops)
    office.complete_hop(first)
    assert desk(question).json["verdict"]["reason"] == "hop_completed"


def test_explain_about_a_hop_knows_that_its_delegator_is_configured_no_more(
    desk: Shell, office: Guard
) -> None:
    helper = permitted(
        office.delegate(office.enter(office.open_task("tickets", "ana").id), "helper", FURTHER)
    )
    clerk = permitted(office.delegate(helper, "clerk", WISH))
    path = desk.folder / "hopward.toml"
    path.write_text(path.read_text().replace("[agents.helper]", "[agents.other]"))
    question = f"policy explain --hop {clerk.hops[-1]} desk/read_ticket --json"
    assert desk(question).json["verdict"]["reason"] == "agent_unregistered"


def test_explain_about_handing_on_tells_what_may_be_handed_on_again(desk: Shell, office: Guard) -> None:
    question = "policy explain --agent assistant delegate:helper"
    again = "may hand on  read; with desk/*"
    assert again in desk(f"{question} depth=1").out
    assert "may hand on" not in desk(question).out


def test_explain_about_a_hop_takes_no_other_agent(desk: Shell, office: Guard) -> None:
    helper = office.delegate(office.enter(office.open_task("tickets", "ana").id), "helper", WISH).chain
    assert helper is not None
    refused = desk.fails(f"policy explain --hop {helper.hops[0]} --agent assistant desk/refund", status=2)
    assert "leave out --agent" in refused.err


@pytest.mark.parametrize(
    ("policy", "words", "reason"),
    [
        ("", "", "permitted"),
        ("", "actions=pay", "nothing_delegated"),
        ("", "expires_in=0", "narrowing_invalid"),
        ("", "calls=1 writes=2", "narrowing_invalid"),
        ("", "calls=5", "budget_exhausted"),
        ("", "calls=5 writes=1 shared=true", "permitted"),
        ("forbid (principal, action, resource);", "", "forbidden"),
        ('@step_up("operators") forbid (principal, action, resource);', "", "approval_required"),
    ],
)
def test_explain_about_handing_on_answers_what_the_guard_would_decide(
    desk: Shell, office: Guard, policy: str, words: str, reason: str
) -> None:
    desk.write("policies/more.cedar", policy)
    task = office.open_task("tickets", "ana")
    asked = wished(words.split())
    with closing(Guard.open(desk.folder / "hopward.toml")) as guard:
        verdict = guard.delegate(guard.enter(task.id), "helper", asked).decision.verdict
    assert verdict.reason == reason
    task = office.open_task("tickets", "ana")
    found = desk(f"policy explain --task {task.id} delegate:helper {words} --json").json["verdict"]
    assert (found["name"], found["reason"]) == (verdict.name, reason)
    # A delegation that waits for approval is told by whom as well.
    assert verdict.sentence.startswith(found["sentence"])
    if reason != "budget_exhausted":
        found = desk(f"policy explain --agent assistant delegate:helper {words} --json").json["verdict"]
        assert (found["name"], found["reason"]) == (verdict.name, reason)


def test_explain_about_handing_on_tells_what_would_be_left_of_it(desk: Shell, office: Guard) -> None:
    task = office.open_task("tickets", "ana").id
    rows = office.ledger.head()[0]
    printed = desk(f"policy explain --task {task} delegate:helper purpose=look calls=3 shared=true").out
    assert "purpose   look" in printed
    assert "3 calls, 0 of them writes, shared, for 600 seconds" in printed
    assert "may call  read; with desk/*; up to internal; at desk" in printed
    assert "hand-on-within-task" in printed
    assert "more policies cannot be about such a hop." in printed
    assert "permit (permitted)" in printed
    assert office.ledger.head()[0] == rows


def test_explain_about_handing_on_knows_who_is_suspended_and_what_is_over(desk: Shell, office: Guard) -> None:
    task = office.open_task("tickets", "ana").id
    desk("agent suspend helper --why x")
    question = f"policy explain --task {task} delegate:helper --json"
    assert desk(question).json["verdict"]["reason"] == "agent_suspended"
    desk("agent resume helper --why x")
    assert desk(question).json["verdict"]["reason"] == "permitted"
    desk(f"task complete {task}")
    assert desk(question).json["verdict"]["reason"] == "task_completed"


def test_explain_says_when_the_task_no_longer_counts(desk: Shell) -> None:
    task = desk("task open --workflow tickets --json").json["id"]
    desk(f"task complete {task}")
    printed = desk(f"policy explain --task {task} desk/refund amount=20")
    assert "deny (task_completed): The task is completed." in printed.out


def test_explain_writes_nothing_to_the_decision_log(desk: Shell) -> None:
    before = desk("log verify --json").json["head_seq"]
    desk("policy explain --agent assistant desk/refund amount=20")
    assert desk("log verify --json").json["head_seq"] == before


def test_explain_names_the_tool_that_may_have_been_meant(desk: Shell) -> None:
    printed = desk("policy explain --agent assistant desk/refnd")
    assert "not classified; did you mean desk/refund?" in printed.out


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("desk/refund", "--agent NAME, --task TASK or --hop HOP"),
        ("delegate:assistant", "--agent NAME, --task TASK or --hop HOP"),
        ("--agent assistant delegate:assistant calls", "Write NAME=VALUE"),
        ("--agent assistant delegate:assistant call=3", "unknown field `call`"),
        ("--agent assistant delegate:assistant calls=many", "Expected `int`"),
        ("--agent assistant delegate:assistant actions=raed", "Invalid enum value"),
        ("--agent assistant refund", "does not name a tool"),
        ("--agent assistant desk/refund amount", "is no argument"),
    ],
)
def test_explain_says_what_is_wrong_with_the_question(desk: Shell, line: str, told: str) -> None:
    assert told in desk.fails(f"policy explain {line}", status=2).err


def test_explain_names_an_unknown_agent(desk: Shell) -> None:
    for question in ("--agent nobody desk/refund", "--agent assistant delegate:nobody"):
        assert "Registered agents: assistant" in desk.fails(f"policy explain {question}").err


@pytest.mark.parametrize(
    ("commands", "told"),
    [
        (["agent suspend assistant --why x"], ["suspended: every call is refused"]),
        (["agent retire assistant --why x"], ["retired: every call is refused"]),
        (["revoke agent assistant --why x"], ["revoked 2", "calls in tasks opened until then are refused"]),
        (["revoke agent assistant --why x", "agent suspend assistant --why x"], ["suspended", "revoked 2"]),
    ],
)
def test_explain_says_in_one_line_when_its_agent_is_stopped_or_was_revoked(
    desk: Shell, commands: list[str], told: list[str]
) -> None:
    question = "policy explain --agent assistant desk/read_ticket ticket=T1"
    before = desk(f"{question} --json").json
    assert before["standing"] == ""
    assert "standing" not in desk(question).out
    for command in commands:
        desk(command)
    [line] = [line for line in desk(question).out.splitlines() if line.startswith("standing")]
    assert all(part in line for part in told)
    assert desk(f"{question} --json").json["verdict"] == before["verdict"]


def test_explain_does_without_a_decision_log_and_says_what_it_does_not_know(desk: Shell) -> None:
    for file in (desk.folder / ".hopward").glob("decisions.db*"):
        file.unlink()
    printed = desk("policy explain --agent assistant desk/read_ticket ticket=T1")
    assert "not known: the decision log cannot be read" in printed.out
    assert "permit (permitted)" in printed.out
