"""A task keeps to the path of its workflow: through a guard and its log, across agents and processes."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE

import pytest

from hopward import Chain, Guard, Outcome, StateError, ToolCall, Verdict
from hopward.ledger import RowFilter

from .settling import (
    APPROVED,
    CHECK,
    CONFIG,
    GIVEN,
    LOOK_UP,
    PAY,
    PAYING,
    PERMIT_ALL,
    REFUSE,
    RESEARCH,
    STEPS,
    claim,
    handed,
    installed,
    opened,
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return installed(tmp_path)


@pytest.fixture
def guard(config: Path) -> Iterator[Guard]:
    guard = opened(config)
    yield guard
    guard.close()


def off_path(guard: Guard, call: ToolCall, chain: Chain) -> str:
    """What is said of a call that is refused because it is not on the path."""
    verdict = guard.authorize(call, chain).verdict
    assert (verdict.name, verdict.reason) == ("deny", "off_path")
    return verdict.sentence


def settled(guard: Guard, chain: Chain) -> None:
    """Look the claim up twice: labels rise no more, so nothing but the step itself can be stale."""
    for _ in range(2):
        assert guard.authorize(LOOK_UP, chain).permitted


def test_a_task_that_keeps_to_the_path_is_permitted_to_its_end(guard: Guard) -> None:
    chain = claim(guard)
    for call in (LOOK_UP, RESEARCH, CHECK):
        assert guard.authorize(call, chain).permitted
    payer = guard.delegate(chain, "payer", PAYING).chain
    assert payer is not None
    assert guard.authorize(PAY, payer).permitted
    assert dict(guard.ledger.taken(chain.task)) == {
        "look_up": 1,
        "research": 1,
        "check": 1,
        "hand_over": 1,
        "pay": 1,
    }


def test_a_step_cannot_be_skipped(guard: Guard) -> None:
    chain = claim(guard)
    assert guard.authorize(LOOK_UP, chain).permitted
    told = off_path(guard, REFUSE, chain)
    assert told.startswith("Step refuse comes after check. Steps taken: look_up (1 of 2). Expected next: ")
    assert "check (clerk: desk/check)" in told
    decision = guard.delegate(chain, "payer", PAYING).decision
    assert (decision.verdict.reason, decision.permitted) == ("off_path", False)
    assert guard.ledger.hops(chain.task) == []


def test_a_step_is_taken_as_often_as_it_may_be_and_no_more(guard: Guard) -> None:
    chain = claim(guard)
    assert guard.authorize(LOOK_UP, chain).permitted
    assert guard.authorize(CHECK, chain).permitted
    assert "may be taken once" in off_path(guard, CHECK, chain)
    assert guard.authorize(LOOK_UP, chain).permitted
    assert "may be taken 2 times" in off_path(guard, LOOK_UP, chain)


@pytest.mark.parametrize("status", ["tool_error", "error", "cancelled", "unknown"])
def test_a_permit_counts_whatever_becomes_of_the_call(guard: Guard, status: str) -> None:
    chain = claim(guard)
    assert guard.authorize(LOOK_UP, chain).permitted
    guard.settle(guard.authorize(CHECK, chain), Outcome(status=status, error="x"))  # type: ignore[arg-type]
    assert "also of a call that failed" in off_path(guard, CHECK, chain)


def test_a_refused_call_takes_no_step(guard: Guard) -> None:
    chain = claim(guard)
    off_path(guard, CHECK, chain)
    assert guard.ledger.taken(chain.task) == {}


def test_a_call_that_is_no_step_is_refused_whatever_the_capabilities_say(tmp_path: Path) -> None:
    first, last = (STEPS.index(f"[workflows.claims.steps.{name}]") for name in ("research", "check"))
    guard = opened(installed(tmp_path, CONFIG.replace(STEPS, STEPS[:first] + STEPS[last:])))
    chain = claim(guard)
    told = off_path(guard, RESEARCH, chain)
    assert told.startswith("No step of workflow claims is a call of desk/read_history. Steps taken: none.")
    assert told.endswith("Expected next: look_up (clerk: desk/read_claim).")
    told = guard.delegate(chain, "other", PAYING).decision.verdict
    assert told.reason == "agent_unregistered"
    guard.close()


def test_a_step_of_another_agent_is_not_taken_by_the_workflows_own(guard: Guard) -> None:
    chain = claim(guard)
    handed(guard, chain)
    assert off_path(guard, PAY, chain).startswith("Step pay is taken by agent payer, not by clerk.")


def test_a_step_of_the_supervisor_is_not_taken_through_a_hop(tmp_path: Path) -> None:
    config = CONFIG.replace('agent = "payer"\ntool = "bank/pay"', 'tool = "bank/pay"')
    guard = opened(installed(tmp_path, config))
    chain = claim(guard)
    payer = handed(guard, chain)
    assert off_path(guard, PAY, payer).startswith("Step pay is taken by agent clerk, not by payer.")
    assert guard.authorize(PAY, chain).permitted
    guard.close()


def test_a_step_with_a_prefix_is_no_way_around_one_that_names_the_tool(guard: Guard) -> None:
    chain = claim(guard)
    assert guard.authorize(LOOK_UP, chain).permitted
    # Both are `desk/*`, which is open by now; their own steps are not.
    assert off_path(guard, REFUSE, chain).startswith("Step refuse comes after check.")
    lenient = ToolCall(server="desk", tool="check", arguments={"strict": False})
    assert "In step check the argument 'strict' must be true." in off_path(guard, lenient, chain)
    assert guard.ledger.taken(chain.task) == {"look_up": 1}


def test_arguments_are_bound_to_the_parameters_of_the_task(guard: Guard) -> None:
    chain = claim(guard)
    other = ToolCall(server="desk", tool="read_claim", arguments={"claim": "C-8"})
    told = off_path(guard, other, chain)
    assert told.startswith("In step look_up the argument 'claim' must be what the task's parameter 'claim'")
    assert "C-7" not in told
    missing = ToolCall(server="desk", tool="read_claim")
    assert "'claim' is missing; it must be" in off_path(guard, missing, chain)


@pytest.mark.parametrize(
    "arguments",
    [{"amount": 20.51}, {"amount": "20.50"}, {"amount": True}, {"amount": None}, {"currency": "USD"}],
)
def test_an_amount_is_the_one_the_task_was_opened_with(guard: Guard, arguments: dict[str, object]) -> None:
    payer = handed(guard, claim(guard))
    changed = ToolCall(server="bank", tool="pay", arguments={**PAY.arguments, **arguments})  # type: ignore[dict-item]
    off_path(guard, changed, payer)
    assert guard.authorize(PAY, payer).permitted


def test_of_two_steps_that_exclude_each_other_one_is_taken(guard: Guard) -> None:
    chain = claim(guard)
    payer = handed(guard, chain)
    assert guard.authorize(REFUSE, chain).permitted
    assert off_path(guard, PAY, payer).startswith("Step pay cannot be taken any more: step refuse has been.")


def test_the_path_outlives_the_process(guard: Guard, config: Path) -> None:
    chain = claim(guard)
    assert guard.authorize(LOOK_UP, chain).permitted
    assert guard.authorize(CHECK, chain).permitted
    guard.close()
    again = opened(config)
    off_path(again, CHECK, chain)
    assert again.delegate(chain, "payer", PAYING).decision.permitted
    again.close()


def test_another_process_sees_at_once_which_steps_have_been_taken(guard: Guard, config: Path) -> None:
    chain, other = claim(guard), opened(config)
    off_path(other, CHECK, chain)
    assert guard.authorize(LOOK_UP, chain).permitted
    assert other.authorize(CHECK, chain).permitted
    off_path(guard, CHECK, chain)
    other.close()


def test_a_step_is_taken_once_by_many_that_try_at_once(guard: Guard, config: Path) -> None:
    chain, guards = claim(guard), [opened(config) for _ in range(3)]
    settled(guard, chain)

    def tried(number: int) -> Verdict:
        return guards[number % 3].authorize(CHECK, chain).verdict

    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(tried, range(24)))
    assert [verdict.name for verdict in verdicts].count("permit") == 1
    assert {verdict.reason for verdict in verdicts} <= {"permitted", "off_path"}
    for one in guards:
        one.close()


CHILD = """
import sys
from hopward import Guard, ToolCall
from hopward.testing.clock import NOON, FixedClock
guard = Guard.open(sys.argv[1], clock=FixedClock(NOON))
chain = guard.enter(sys.argv[2])
call = ToolCall(server="desk", tool="check", arguments={"strict": True})
print("ready", flush=True)
sys.stdin.readline()
print(*(guard.authorize(call, chain).verdict.reason for _ in range(5)))
"""


def test_a_step_is_taken_once_by_processes_that_try_at_once(guard: Guard, config: Path) -> None:
    chain = claim(guard)
    settled(guard, chain)
    command = [sys.executable, "-c", CHILD, str(config), chain.task]
    children = [subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(3)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    reasons = Counter(reason for child in children for reason in child.communicate()[0].split())
    assert reasons == {"permitted": 1, "off_path": 14}
    assert guard.ledger.taken(chain.task)["check"] == 1


def test_calls_decided_together_do_not_take_one_step_twice(guard: Guard) -> None:
    chain = claim(guard)
    settled(guard, chain)
    first, second = guard.decide([(CHECK, chain), (CHECK, chain)])
    assert (first.permitted, second.verdict.reason) == (True, "off_path")


def test_of_two_that_exclude_each_other_one_is_taken_in_a_batch_too(guard: Guard) -> None:
    chain = claim(guard)
    payer = handed(guard, chain)
    first, second = guard.decide([(REFUSE, chain), (PAY, payer)])
    assert (first.permitted, second.verdict.reason) == (True, "off_path")


def test_steps_of_one_task_are_not_those_of_another(guard: Guard) -> None:
    assert guard.authorize(LOOK_UP, claim(guard)).permitted
    off_path(guard, CHECK, claim(guard))


def test_a_task_keeps_the_steps_it_was_opened_with(guard: Guard, config: Path) -> None:
    chain = claim(guard)
    guard.close()
    config.write_text(CONFIG.replace(STEPS, STEPS.replace('after = ["look_up"]\narguments', "arguments")))
    changed = opened(config)
    off_path(changed, CHECK, chain)
    assert changed.authorize(CHECK, claim(changed)).permitted
    changed.close()


def test_a_task_that_was_opened_without_steps_goes_on_without(tmp_path: Path) -> None:
    config = installed(tmp_path, CONFIG.replace(STEPS, ""))
    before = opened(config)
    chain = claim(before)
    before.close()
    config.write_text(CONFIG)
    after = opened(config)
    assert after.authorize(CHECK, chain).permitted
    off_path(after, CHECK, claim(after))
    after.close()


def test_the_row_of_a_permit_tells_the_step_and_policies_can_ask_for_it(tmp_path: Path) -> None:
    forbid = '@id("no-looking") forbid (principal, action, resource)'
    policies = f'{PERMIT_ALL}{forbid} when {{ context.step == "look_up" }};'
    guard = opened(installed(tmp_path, policies=policies))
    decision = guard.authorize(LOOK_UP, claim(guard))
    assert decision.verdict.policies == ("no-looking",)
    assert guard.ledger.row(decision.id).record["facts"]["step"] == "look_up"
    assert guard.ledger.taken(decision.chain.task) == {}
    guard.close()


def test_policies_about_handing_on_can_ask_for_the_step(tmp_path: Path) -> None:
    hops = '@id("not-there") forbid (principal, action == Hopward::Action::"delegate", resource)'
    policies = f'{PERMIT_ALL}{hops} when {{ context.step == "hand_over" }};'
    guard = opened(installed(tmp_path, policies=policies))
    chain = claim(guard)
    for call in (LOOK_UP, CHECK):
        assert guard.authorize(call, chain).permitted
    assert guard.delegate(chain, "payer", PAYING).decision.verdict.policies == ("not-there",)
    guard.close()


def test_a_list_of_tools_shows_what_the_agent_takes_part_in_now_or_later(guard: Guard) -> None:
    chain = claim(guard)
    assert guard.visible(chain, "bank", ["pay"]) == frozenset()
    assert guard.visible(chain, "desk", ["check", "refuse", "read_history"]) == {
        "check",
        "refuse",
        "read_history",
    }
    assert guard.visible(handed(guard, chain), "bank", ["pay"]) == {"pay"}


def test_what_has_come_of_a_step_can_still_be_asked_for(guard: Guard) -> None:
    chain = claim(guard)
    assert not guard.would_permit(CHECK, chain)
    for call in (LOOK_UP, CHECK):
        assert guard.authorize(call, chain).permitted
    assert guard.would_permit(CHECK, chain)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"claim": "C-7"}, "'amount' is missing"),
        ({**GIVEN, "acount": "x"}, "'acount' is not one of them"),
        ({**GIVEN, "amount": "20,50"}, "'amount' must be a number"),
        ({**GIVEN, "amount": "20.505001"}, "'amount' must be a number"),
        ({**GIVEN, "amount": "1e3"}, "'amount' must be a number"),
        ({**GIVEN, "amount": 20.5}, "'amount' must be a number"),
        ({**GIVEN, "claim": "  "}, "'claim' must be a text that is not blank"),
        ({**GIVEN, "note": ""}, "'note' must be a text that is not blank"),
    ],
)
def test_a_task_is_opened_with_the_parameters_its_workflow_declares(
    guard: Guard, given: dict[str, str], told: str
) -> None:
    with pytest.raises(StateError, match=told) as refused:
        guard.open_task("claims", "alice", parameters=given)
    assert refused.value.error == "parameters_invalid"
    assert refused.value.advice == (
        "It is opened with: claim (string), amount (decimal), note (string, may be left out)."
    )
    assert list(guard.ledger.rows(RowFilter(kind="task"))) == []


def test_a_parameter_may_be_left_out_where_it_says_so(guard: Guard) -> None:
    assert guard.open_task("claims", "alice", parameters={**GIVEN, "note": "urgent"}).parameters["note"]
    assert "note" not in guard.open_task("claims", "alice", parameters=GIVEN).parameters


def test_the_log_keeps_bound_arguments_as_it_keeps_parameters(tmp_path: Path) -> None:
    config = CONFIG.replace("arguments = { claim =", "arguments = { id =")
    guard = opened(installed(tmp_path, config + '[log]\narguments = "redacted"\nredact = ["claim"]\n'))
    chain = claim(guard)
    off_path(guard, LOOK_UP, chain)
    assert guard.ledger.task(chain.task).steps[0].arguments
    for row in guard.ledger.rows(RowFilter(task=chain.task)):
        assert "C-7" not in str({**row.record, "call": ""})
    guard.close()


def test_while_a_server_is_observed_what_is_off_the_path_goes_on_and_takes_no_step(tmp_path: Path) -> None:
    observed = 'mode = "observe"\nobserve_until = 2027-01-31\n'
    server = "[servers.desk]\n"
    forbid = '@id("no-checks") forbid (principal, action == Hopward::Action::"desk/check", resource);'
    guard = opened(installed(tmp_path, CONFIG.replace(server, server + observed), PERMIT_ALL + forbid))
    chain = claim(guard)
    early = guard.authorize(REFUSE, chain)
    assert (early.verdict.reason, early.observed) == ("off_path", True)
    assert guard.ledger.taken(chain.task) == {}
    assert guard.authorize(LOOK_UP, chain).permitted
    # What the policies would refuse goes on as well: it is a step, and what comes after it is on the path.
    assert guard.authorize(CHECK, chain).verdict.reason == "forbidden"
    assert guard.authorize(REFUSE, chain).permitted
    assert dict(guard.ledger.taken(chain.task)) == {"look_up": 1, "check": 1, "refuse": 1}
    guard.close()


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Guard]:
    """Where a person of finance approves the last step."""
    guard = opened(installed(tmp_path, APPROVED))
    yield guard
    guard.close()


def test_a_step_with_approval_waits_for_a_person_whatever_policies_permit(asking: Guard) -> None:
    payer = handed(asking, claim(asking))
    waiting = asking.authorize(PAY, payer)
    assert (waiting.verdict.name, waiting.verdict.reason) == ("step-up", "approval_required")
    assert waiting.verdict.sentence.startswith("Needs approval by finance first, as step pay of the")
    assert "pay" not in asking.ledger.taken(payer.task)
    asking.approvals.approve(waiting.approval, by="carol")
    assert asking.authorize(PAY, payer).permitted
    assert asking.ledger.taken(payer.task)["pay"] == 1
    off_path(asking, PAY, payer)
    assert asking.would_permit(PAY, payer)


def test_the_approval_of_a_step_cannot_change_it_to_another_call(asking: Guard) -> None:
    payer = handed(asking, claim(asking))
    waiting = asking.authorize(PAY, payer)
    with pytest.raises(StateError, match="the call would be refused"):
        asking.approvals.approve(waiting.approval, by="carol", arguments={**PAY.arguments, "amount": 99})


def test_an_approved_step_that_has_been_ruled_out_meanwhile_is_not_taken(asking: Guard) -> None:
    chain = claim(asking)
    payer = handed(asking, chain)
    waiting = asking.authorize(PAY, payer)
    asking.approvals.approve(waiting.approval, by="carol")
    assert asking.authorize(REFUSE, chain).permitted
    off_path(asking, PAY, payer)
    assert asking.approvals.get(waiting.approval).state == "approved"


def test_a_hop_is_a_step_with_approval_too(tmp_path: Path) -> None:
    config = APPROVED.replace('delegate = "payer"\n', 'delegate = "payer"\napproval = "finance"\n')
    guard = opened(installed(tmp_path, config))
    chain = claim(guard)
    for call in (LOOK_UP, CHECK):
        assert guard.authorize(call, chain).permitted
    waiting = guard.delegate(chain, "payer", PAYING)
    assert (waiting.decision.verdict.name, waiting.chain) == ("step-up", None)
    guard.approvals.approve(waiting.decision.approval, by="carol")
    assert guard.delegate(chain, "payer", PAYING).decision.permitted
    assert guard.ledger.taken(chain.task)["hand_over"] == 1
    guard.close()


def test_a_policy_that_forbids_is_not_lifted_by_the_approval_of_a_step(tmp_path: Path) -> None:
    forbid = '@id("no-money") forbid (principal, action == Hopward::Action::"bank/pay", resource);'
    guard = opened(installed(tmp_path, APPROVED, PERMIT_ALL + forbid))
    payer = handed(guard, claim(guard))
    assert guard.authorize(PAY, payer).verdict.policies == ("no-money",)
    guard.close()


def test_a_step_and_a_policy_can_both_want_an_approval(tmp_path: Path) -> None:
    config = APPROVED + '[approvals.groups.audit]\nmembers = ["erin"]\n'
    scope = '(principal, action in Hopward::Action::"pay", resource)'
    forbid = f'@id("audited") @step_up("audit") forbid {scope};'
    guard = opened(installed(tmp_path, config, PERMIT_ALL + forbid))
    payer = handed(guard, claim(guard))
    waiting = guard.authorize(PAY, payer).approval
    assert guard.approvals.approve(waiting, by="carol").state == "pending"
    assert guard.authorize(PAY, payer).verdict.name == "step-up"
    assert guard.approvals.approve(waiting, by="erin").state == "approved"
    assert guard.authorize(PAY, payer).permitted
    guard.close()
