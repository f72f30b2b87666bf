"""`hopward revoke`"""

from collections.abc import Callable

import pytest

from hopward.model import Chain, ToolCall
from hopward.wiring import Guard

from .shell import Shell

CALL = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T1"})
ENDPOINT = "http://127.0.0.1:8701/desk/mcp"


@pytest.fixture
def chain(desk: Shell, guard: Guard) -> Chain:
    """A caller of the support desk, with the token it brought."""
    task = desk("task open --workflow tickets --subject ana --json").json["id"]
    token = desk(f"task token {task} --server desk").out.strip()
    return guard.identify(token, ENDPOINT)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("task", lambda chain: chain.task),
        ("agent", lambda chain: chain.actor),
        ("subject", lambda chain: chain.subject),
        ("token", lambda chain: chain.token),
        ("key", lambda chain: chain.key),
    ],
)
def test_what_is_revoked_refuses_the_next_call(
    desk: Shell, guard: Guard, chain: Chain, kind: str, name: Callable[[Chain], str]
) -> None:
    assert guard.authorize(CALL, chain).permitted
    printed = desk(f"revoke --why 'a test' -- {kind} {name(chain)}")
    assert f"Revoked {kind} {name(chain)}" in printed.out
    decision = guard.authorize(CALL, chain)
    assert not decision.permitted
    assert decision.verdict.reason == f"{kind}_revoked"


def test_a_task_opened_after_its_agent_was_revoked_may_call_again(desk: Shell, guard: Guard) -> None:
    printed = desk("revoke agent assistant --why 'a new key'")
    assert "A task opened from now on counts again" in printed.err
    assert "hopward agent suspend assistant" in printed.err
    task = desk("task open --workflow tickets --json").json["id"]
    assert guard.authorize(CALL, guard.enter(task)).permitted


def test_a_revocation_stands_in_the_log_with_who_and_why(desk: Shell) -> None:
    desk("revoke subject ana --why 'left the company' --by bo")
    row = desk("log tail -n 1 --json").json
    assert row["kind"] == "revocation"
    assert (row["record"]["id"], row["record"]["by"], row["record"]["why"]) == (
        "ana",
        "bo",
        "left the company",
    )


def test_a_subject_unknown_here_is_revoked_with_a_word_about_its_spelling(desk: Shell, guard: Guard) -> None:
    desk("task open --workflow tickets --subject ana@example.com")
    printed = desk("revoke subject anna@example.com --why x")
    assert "Revoked subject anna@example.com" in printed.out
    assert "No task here has that subject; did you mean ana@example.com?" in printed.err
    assert "check the spelling of anna@example.com" in printed.err
    assert guard.ledger.revocations("subject", "anna@example.com")
    assert "No task here has that subject. It is revoked" in desk("revoke subject zz --why x").err
    assert "spelling" not in desk("revoke subject ana@example.com --why x").err


def test_a_key_unknown_here_is_revoked_with_a_word_about_its_spelling(desk: Shell, guard: Guard) -> None:
    kid = guard.issuer.jwks()["keys"][0]["kid"]
    printed = desk(f"revoke key --why x -- {kid[:-1]}_")
    assert f"No key known here has that kid; did you mean {kid}?" in printed.err
    assert guard.ledger.revocations("key", f"{kid[:-1]}_")


def test_a_key_that_was_ever_used_here_is_known(desk: Shell, guard: Guard) -> None:
    rotated = guard.issuer.jwks()["keys"][0]["kid"]
    guard.issuer.rotate(guard.ledger)
    signing = guard.issuer.jwks()["keys"][0]["kid"]
    for kid in (rotated, signing, signing):
        assert "spelling" not in desk(f"revoke key --why x -- {kid}").err


def test_a_revocation_needs_a_reason(desk: Shell) -> None:
    assert "--why" in desk.fails("revoke subject ana", status=2).err


def test_a_task_or_agent_that_does_not_exist_cannot_be_revoked(desk: Shell) -> None:
    assert "no task" in desk.fails("revoke task task_404 --why x").err
    assert "no agent" in desk.fails("revoke agent nobody --why x").err
    desk.fails("revoke person ana --why x", status=2)
