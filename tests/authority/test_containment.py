"""What the authority refuses while something is quarantined, or everything is stopped."""

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Authority

BY: dict[str, Any] = {"by": "carol", "why": "an incident"}

Contain = Callable[[Authority, str], Any]

KINDS: dict[str, Contain] = {
    "agent": lambda a, _: a.guard.quarantine("agent", "helper", **BY),
    "task": lambda a, task: a.guard.quarantine("task", task, **BY),
    "subject": lambda a, _: a.guard.quarantine("subject", "alice", **BY),
    "server": lambda a, _: a.guard.quarantine("server", "desk", **BY),
    "tool": lambda a, _: a.guard.quarantine("tool", "desk/re*", **BY),
    "everything": lambda a, _: a.guard.stop_all(**BY),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_credential_is_exchanged_for_what_is_contained_until_that_is_lifted(
    authority: Authority, kind: str
) -> None:
    task = authority.open_task()
    token = authority.access_token(task)
    assert authority.credential(token).status_code == 200
    one = KINDS[kind](authority, task.id)
    refused = authority.credential(token)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    told = "Everything is stopped" if kind == "everything" else f"{kind.capitalize()} {one.id} is quarantined"
    assert told in authority.rows("refusal")[-1].record["sentence"]
    if kind == "everything":
        authority.guard.lift_stop(by="dan", why="over")
    else:
        authority.guard.release(one.kind, one.id, by="dan", why="over")
    assert authority.credential(token).status_code == 200


@pytest.mark.parametrize("kind", ["agent", "task", "subject", "server", "everything"])
def test_no_access_token_for_an_endpoint_is_exchanged_either(authority: Authority, kind: str) -> None:
    task = authority.open_task()
    token, actor = authority.task_token(task), authority.agent_token()
    KINDS[kind](authority, task.id)
    assert authority.exchange("helper", subject_token=token, actor_token=actor).status_code == 400


@pytest.mark.parametrize("kind", ["agent", "everything"])
def test_an_agent_gets_no_token_of_its_own_while_it_is_contained(authority: Authority, kind: str) -> None:
    KINDS[kind](authority, "")
    refused = authority.post("/token", "helper", grant_type="client_credentials")
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
    other = authority.post("/token", "other", grant_type="client_credentials")
    assert other.status_code == (400 if kind == "everything" else 200)


@pytest.mark.parametrize("kind", ["agent", "task", "subject", "everything"])
def test_a_token_of_what_is_contained_is_inactive_until_that_is_lifted(
    authority: Authority, kind: str
) -> None:
    task = authority.open_task()
    token = authority.access_token(task)
    assert introspected(authority, token)
    KINDS[kind](authority, task.id)
    assert not introspected(authority, token)
    for one in authority.guard.contained():
        if one.kind == "all":
            authority.guard.lift_stop(by="dan", why="over")
        else:
            authority.guard.release(one.kind, one.id, by="dan", why="over")
    assert introspected(authority, token)


def introspected(authority: Authority, token: str) -> bool:
    return authority.post("/introspect", "helper", token=token).json()["active"]
