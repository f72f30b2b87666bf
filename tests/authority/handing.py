"""Short words for handing work on at the authority, and for what follows from it."""

from typing import Any

import httpx2

from hopward import ToolCall
from hopward.model import Decision, Task

from .conftest import DESK, READING, Authority, a_delegation

READ = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": 7})


def refused(answer: httpx2.Response) -> str:
    """The OAuth error of a refusal, which issues nothing."""
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()["error"]


def entry(authority: Authority, hop_token: str, agent: str = "other", **changes: Any) -> httpx2.Response:
    """The exchange of a hop's token for the endpoint of the server desk."""
    return authority.exchange(agent, subject_token=hop_token, **changes)


def entered(authority: Authority, hop_token: str, agent: str = "other") -> str:
    answer = entry(authority, hop_token, agent)
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


def called(authority: Authority, access_token: str, call: ToolCall = READ) -> Decision:
    """What the proxy decides about a call with a token for the endpoint of the server desk."""
    return authority.guard.authorize(call, authority.guard.identify(access_token, DESK))


def chain_of_three(authority: Authority, task: Task | None = None) -> tuple[Task, str, str]:
    """helper hands work to other, who hands some of it to third: the task and both hop tokens."""
    task = task or authority.open_task()
    first = authority.hop_token(task, delegable=[READING], depth=1, fan_out=1)
    answer = authority.hand_on("other", "third", first, a_delegation(budget={"calls": 1, "writes": 0}))
    assert answer.status_code == 200, answer.text
    return task, first, answer.json()["access_token"]
