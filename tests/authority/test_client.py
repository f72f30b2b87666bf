"""An agent's side of the authority, against the real one, and against answers that are none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hopward import ExchangeRefusedError, TokenError
from hopward_authority.client import AgentClient, Svid, TokenFile

from .conftest import DESK, ISSUER, MakeAuthority
from .test_workload_clients import SPIFFE, Workloads

OIDC = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Fresh:
    """A platform that gives a new token each time."""

    def __init__(self, workloads: Workloads, agent: str) -> None:
        self.workloads, self.agent, self.audiences = workloads, agent, list[str]()

    def assertion(self, audience: str) -> tuple[str, str]:
        self.audiences.append(audience)
        return OIDC if self.agent == "helper" else SPIFFE, self.workloads.token(self.agent)


def passed_on(workloads: Workloads) -> httpx2.MockTransport:
    """The authority, as if it were over the network."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": request.headers["content-type"]}
        found = workloads.authority.http.post("/token", content=request.read(), headers=headers)
        return httpx2.Response(found.status_code, content=found.content)

    return httpx2.MockTransport(answer)


def answering(answer: Callable[[], httpx2.Response]) -> AgentClient:
    """A client whose authority answers this."""

    class Proved:
        def assertion(self, audience: str) -> tuple[str, str]:
            return OIDC, "a.b.c"

    return AgentClient(ISSUER, Proved(), transport=httpx2.MockTransport(lambda _: answer()))


@pytest.mark.parametrize("agent", ["helper", "other"])
def test_an_agent_gets_the_token_for_an_endpoint(make_authority: MakeAuthority, agent: str) -> None:
    workloads = Workloads(make_authority)
    proof = Fresh(workloads, agent)
    client = AgentClient(ISSUER, proof, transport=passed_on(workloads))
    task = workloads.authority.open_task(agent)
    token = client.access_token(workloads.authority.task_token(task), DESK)
    assert workloads.authority.guard.identify(token, DESK).actors == (agent,)
    assert proof.audiences == [ISSUER, ISSUER]


def test_a_refusal_has_the_code_and_the_words_of_the_authority(make_authority: MakeAuthority) -> None:
    workloads = Workloads(make_authority)
    client = AgentClient(ISSUER, Fresh(workloads, "helper"), transport=passed_on(workloads))
    theirs = workloads.authority.task_token(workloads.authority.open_task("third"))
    with pytest.raises(ExchangeRefusedError) as refused:
        client.access_token(theirs, DESK)
    assert refused.value.error == "invalid_request"
    with pytest.raises(ExchangeRefusedError) as refused:
        client.access_token(theirs, "https://elsewhere.example")
    assert refused.value.error == "invalid_target"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx2.Response(503, text="no JSON"), "server_error"),
        (httpx2.Response(200, json={"token_type": "Bearer"}), "server_error"),
        (httpx2.Response(200, json={"access_token": 7}), "server_error"),
        (httpx2.Response(200, json=["access_token"]), "server_error"),
        (httpx2.Response(302, headers={"Location": "https://evil.example"}), "server_error"),
        (httpx2.Response(401, json={"error": "invalid_client", "access_token": "x"}), "invalid_client"),
    ],
)
def test_an_answer_without_a_token_is_a_refusal(answer: httpx2.Response, error: str) -> None:
    with pytest.raises(ExchangeRefusedError) as refused:
        answering(lambda: answer).agent_token()
    assert refused.value.error == error


def test_an_authority_that_cannot_be_reached_is_a_refusal() -> None:
    def unreachable() -> httpx2.Response:
        raise httpx2.ConnectError("no")

    with pytest.raises(ExchangeRefusedError) as refused:
        answering(unreachable).agent_token()
    assert refused.value.error == "temporarily_unavailable"


def test_the_token_in_a_file_is_read_each_time(tmp_path: Path) -> None:
    sent: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.read())
        return httpx2.Response(200, content=json.dumps({"access_token": "t"}))

    file = tmp_path / "token"
    client = AgentClient(ISSUER, TokenFile(file), transport=httpx2.MockTransport(answer))
    with pytest.raises(TokenError, match="no token that can be read"):
        client.agent_token()
    for token in ("first.a.b", "second.a.b"):
        file.write_text(token + "\n", "ascii")
        assert client.agent_token() == "t"
        assert f"client_assertion={token}&".encode() in sent[-1] + b"&"


def test_no_workload_api_is_no_svid(tmp_path: Path) -> None:
    pytest.importorskip("spiffe")
    with pytest.raises(TokenError) as refused:
        AgentClient(ISSUER, Svid(f"unix:{tmp_path}/agent.sock")).agent_token()
    assert refused.value.error == "svid_unavailable"
