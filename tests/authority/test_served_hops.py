"""The same over a socket: the authority is another process, on the decision log of this one."""

from collections.abc import Iterator
from contextlib import closing
from socket import create_server
from typing import Any, cast

import httpx2
import pytest

from hopward import Guard
from hopward.clock import SystemClock
from hopward.model import Budget, Narrowing

from .conftest import DESK, ISSUER, Authority, MakeAuthority, a_delegation
from .handing import READ, called, chain_of_three, entered, entry, refused
from .test_cli import serving


@pytest.fixture
def served(make_authority: MakeAuthority) -> Iterator[Authority]:
    """An authority behind a real port; `guard` is that of this process."""
    with create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    made = make_authority(issuer=f"http://{address}", extra=f'listen = "{address}"\n')
    with (
        serving(made.config) as url,
        closing(Guard.open(made.config)) as guard,
        httpx2.Client(base_url=url) as http,
    ):
        # Two processes have one time: that of the machine.
        yield Authority(made.config, guard, cast("Any", SystemClock()), cast("Any", http), made.keys)


def test_work_goes_from_agent_to_agent_and_to_the_server(served: Authority) -> None:
    task, _, second = chain_of_three(served)
    decision = called(served, entered(served, second, "third"))
    assert decision.permitted, decision.verdict
    assert decision.chain.actors == ("helper", "other", "third")
    credential = served.claims(served.guard.mint(decision, READ))
    assert credential["txn"] == task.id
    assert credential["act"]["act"] == {"sub": "agent:other", "act": {"sub": "agent:helper"}}
    assert credential["hops"] == served.claims(second)["hops"]
    assert ISSUER != credential["iss"] == served.guard.issuer.issuer


def test_every_wrong_pairing_of_genuine_tokens_is_refused(served: Authority) -> None:
    """Section 20 of the facts: a server that checks each token by itself would answer these."""
    task = served.open_task()
    hop_token, own = served.hop_token(task), served.agent_token("other")
    foreign = served.hop_token(served.open_task("third", "bob"), "helper")
    access = served.access_token(task)
    attempts = [
        entry(served, hop_token, "third"),
        entry(served, hop_token, "third", actor_token=own),
        entry(served, hop_token, "helper"),
        entry(served, hop_token, actor_token=None),
        entry(served, hop_token, actor_token=served.agent_token("third")),
        entry(served, hop_token, actor_token=foreign),
        entry(served, hop_token, actor_token=hop_token),
        entry(served, foreign),
        entry(served, access),
        served.hand_on("other", "third", access),
        served.hand_on("helper", "third", access),
        served.hand_on("other", "third", foreign),
        served.hand_on("other", "third", hop_token, actor_token=None),
        served.hand_on("third", "other", hop_token, actor_token=own),
        served.credential(hop_token),
    ]
    assert {refused(answer) for answer in attempts} == {"invalid_request"}
    widened = entry(served, hop_token, scope="desk/*")
    assert refused(widened) == "invalid_scope"
    for to in ("helper", "other", "ghost"):
        assert refused(served.hand_on("other", to, hop_token)) == "invalid_target"
    assert entry(served, hop_token).status_code == 200


@pytest.mark.parametrize("what", ["hop", "parent", "task", "agent"])
def test_what_ends_in_this_process_ends_at_the_authority(served: Authority, what: str) -> None:
    task, first, second = chain_of_three(served)
    assert entry(served, second, "third").status_code == 200
    if what == "task":
        served.guard.complete_task(task.id)
    elif what == "agent":
        served.guard.set_agent_state("other", "suspended", by="bob", why="a test")
    else:
        token = {"hop": second, "parent": first}[what]
        served.guard.complete_hop(served.guard.issuer.verify(token).chain)
    assert refused(entry(served, second, "third")) == "invalid_request"
    assert refused(served.hand_on("third", "helper", second)) == "invalid_request"


def test_what_is_revoked_at_the_authority_ends_in_this_process(served: Authority) -> None:
    _, first, second = chain_of_three(served)
    access = entered(served, second, "third")
    chain = served.guard.identify(access, DESK)
    assert served.guard.stands(chain)
    assert served.post("/revoke", "helper", token=first).status_code == 200
    assert not served.guard.stands(chain)
    assert called(served, access).verdict.reason == "hop_completed"
    assert refused(entry(served, second, "third")) == "invalid_request"


def test_a_hop_opened_in_this_process_takes_its_place_in_the_fan_out(served: Authority) -> None:
    """One log: who hands on here and who hands on there is counted together."""
    task = served.open_task()
    subject = served.task_token(task)
    served.hop_token(task)
    here = Narrowing(
        purpose="read", capabilities=task.delegable, budget=Budget(calls=1, writes=0), expires_in=60
    )
    assert served.guard.delegate(served.guard.enter(task.id), "third", here).chain
    answer = served.hand_on("helper", "other", subject, a_delegation(budget={"calls": 1, "writes": 0}))
    assert refused(answer) == "invalid_target"
    assert "(fan_out_exhausted)" in answer.json()["error_description"]
