"""A proxy without the signing key, and chains in which work was handed on: what it asks for and accepts."""

from pathlib import Path

import msgspec
import pytest

from hopward.errors import ExchangeRefusedError, HopwardError
from hopward.model import Budget, Capability, Chain, Narrowing, Task, ToolCall
from hopward.wire import SELF_SIGNED_TYPE, ExchangeForm

from .test_remote import CALL, CONFIG, ENDPOINT, Split, a_split

HANDING = """
[[agents.{name}.delegable]]
tools = ["desk/*"]
actions = ["read"]
sensitivity = "internal"
destinations = ["desk"]
"""
CONFIG_OF_TWO = (
    CONFIG.replace(
        "[workflows.tickets]",
        HANDING.format(name="assistant")
        + """[agents.worker]
owner = "ops"
purpose = "reads"
[[agents.worker.ceiling]]
tools = ["desk/*"]
actions = ["read"]
sensitivity = "internal"
destinations = ["desk"]
[workflows.tickets]
depth = 1
fan_out = 3
""",
    )
    + """
[[workflows.tickets.delegable]]
tools = ["desk/*"]
actions = ["read"]
sensitivity = "internal"
destinations = ["desk"]
"""
)
READING = Capability(
    tools=("desk/read_ticket",), actions=("read",), sensitivity="internal", destinations=("desk",)
)
WORK = Narrowing(purpose="read", capabilities=(READING,), budget=Budget(calls=2, writes=0), expires_in=300)


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return a_split(tmp_path, CONFIG_OF_TWO)


def presented(split: Split, task: Task) -> tuple[Chain, str]:
    """The chain of the worker, handed its work over OAuth, and the access token it came with."""
    issuer, ledger = split.authority.issuer, split.authority.ledger
    form = ExchangeForm(
        subject_token=issuer.task_token(task, ledger).token,
        actor_token=issuer.agent_token("assistant", ledger).token,
        target="agent:worker",
        delegation=WORK,
    )
    hop_token = issuer.hand_on(form, issuer.clients["assistant"], ledger, split.authority).token
    entry = ExchangeForm(
        subject_token=hop_token,
        actor_token=issuer.agent_token("worker", ledger).token,
        target=ENDPOINT,
    )
    token = issuer.exchange(entry, issuer.clients["worker"], ledger).token
    return split.proxy.identify(token, ENDPOINT), token


def handed(split: Split, task: Task) -> Chain:
    """The same in the proxy's own process: no token has presented it."""
    chain = split.proxy.delegate(split.proxy.enter(task.id), "worker", WORK).chain
    assert chain is not None
    return chain


def test_a_caller_that_was_handed_its_work_is_asked_for_with_its_own_token(split: Split) -> None:
    chain, subject_token = presented(split, split.open_task())
    request = split.proxy.credential_request(split.permitted(chain), CALL, subject_token)
    token = split.proxy.credential_received(request, *split.answered(request))
    credential = split.authority.issuer.verify(token)
    assert credential.actors == chain.actors == ("assistant", "worker")
    assert credential.hops == chain.hops


def test_a_chain_handed_on_in_this_process_is_spoken_for_with_its_hops(split: Split) -> None:
    chain = handed(split, split.open_task())
    request = split.proxy.credential_request(split.permitted(chain), CALL)
    assert request.form["subject_token_type"] == SELF_SIGNED_TYPE
    token = split.proxy.credential_received(request, *split.answered(request))
    credential = split.authority.issuer.verify(token)
    assert (credential.actors, credential.hops) == (chain.actors, chain.hops)


def test_a_request_that_calls_nothing_is_introduced_for_a_hop_too(split: Split) -> None:
    task = split.open_task()
    chain, subject_token = presented(split, task)
    for held, token in ((chain, subject_token), (handed(split, task), "")):
        request = split.proxy.introduction_request(held, "desk", "tools/list", token)
        answer = split.proxy.credential_received(request, *split.answered(request))
        assert split.authority.issuer.verify(answer).hops == held.hops


def test_a_hop_that_ends_between_permit_and_exchange_gets_nothing(split: Split) -> None:
    task = split.open_task()
    chain, subject_token = presented(split, task)
    for held, token in ((chain, subject_token), (handed(split, task), "")):
        decision = split.permitted(held)
        split.proxy.complete_hop(held)
        request = split.proxy.credential_request(decision, CALL, token)
        with pytest.raises(ExchangeRefusedError, match="completed"):
            split.answered(request)


def test_an_answer_about_other_hops_or_none_is_not_accepted(split: Split) -> None:
    chain, subject_token = presented(split, split.open_task())
    request = split.proxy.credential_request(split.permitted(chain), CALL, subject_token)
    nested = {"sub": "agent:worker", "act": {"sub": "agent:assistant"}}
    right = split.altered(request, act=nested, hops=list(chain.hops))
    assert split.proxy.credential_received(request, 200, right)
    for hops in (None, ["hop_" + "0" * 24], [*chain.hops, *chain.hops]):
        with pytest.raises(ExchangeRefusedError, match="chain of hops"):
            split.proxy.credential_received(request, 200, split.altered(request, act=nested, hops=hops))


def test_the_proxy_cannot_speak_for_the_task_where_a_hop_was_decided_on(split: Split) -> None:
    """What is asked for is the chain of the decision, with all its hops, or nothing."""
    task = split.open_task()
    chain = handed(split, task)
    decision = split.permitted(chain)
    bare = msgspec.structs.replace(decision, chain=split.proxy.enter(task.id))
    request = split.proxy.credential_request(bare, CALL)
    with pytest.raises(ExchangeRefusedError, match="chain of actors"):
        split.proxy.credential_received(request, *split.answered(request))
    _, subject_token = presented(split, task)
    with pytest.raises(HopwardError, match="do not go together"):
        split.proxy.credential_request(decision, CALL, subject_token)


def test_a_hop_reaches_no_other_tool_through_the_proxys_own_token(split: Split) -> None:
    chain = handed(split, split.open_task())
    denied = split.proxy.authorize(ToolCall(server="desk", tool="read_all"), chain)
    assert not denied.permitted
