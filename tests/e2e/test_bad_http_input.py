"""What no caller should send, over the real HTTP proxy: answered clearly, never passed on, and survived."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from .project import Project
from .served import Caller, Serve, ended, served
from .test_bad_input import ANSWERED, UNANSWERED, call
from .wire import told


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with served(tmp_path_factory.mktemp("bad-http-input")) as project, ended(Serve(project)):
        yield project


@pytest.fixture(scope="module")
def token(project: Project) -> str:
    return project.token(project.open_task())


@pytest.fixture
def caller(project: Project, token: str) -> Iterator[Caller]:
    with closing(Caller(project.endpoint(), token)) as caller:
        yield caller


def serves_on(project: Project, token: str, before: int) -> None:
    """A good call still works, and is the only thing that the server has been sent meanwhile."""
    with closing(Caller(project.endpoint(), token)) as caller:
        decision = told(caller.call("note"))["decision"]
    assert set(project.decision(decision)) == {"decision", "credential", "outcome"}
    sent = [one["message"].get("params", {}).get("name") for one in project.received()[before:]]
    assert sent == ["note"]


@pytest.mark.parametrize("what", ANSWERED)
def test_a_bad_body_gets_an_error_and_the_proxy_serves_on(
    project: Project, caller: Caller, token: str, what: str
) -> None:
    line, code, named = ANSWERED[what]
    before = len(project.received())
    status, body = caller.post(line)
    answer = json.loads(body)
    assert (answer["error"]["code"], answer["id"]) == (code, named)
    too_large = "larger than" in answer["error"]["message"]
    assert status == (413 if too_large else 400 if code in (-32700, -32600) else 200)
    serves_on(project, token, before)


@pytest.mark.parametrize("what", [what for what in UNANSWERED if "line" not in what])
def test_a_body_that_is_owed_no_answer_is_dropped_and_the_proxy_serves_on(
    project: Project, caller: Caller, token: str, what: str
) -> None:
    before = len(project.received())
    status, body = caller.post(UNANSWERED[what])
    assert (status, body) == (202, b"")
    serves_on(project, token, before)


@pytest.mark.parametrize("body", [b"", b" \t\r\n"], ids=["no body", "a blank body"])
def test_a_body_without_a_message_gets_an_error(
    project: Project, caller: Caller, token: str, body: bytes
) -> None:
    before = len(project.received())
    status, answer = caller.post(body)
    assert (status, json.loads(answer)["error"]["code"]) == (400, -32700)
    serves_on(project, token, before)


HEADERS = {
    "another content type": ({"Content_Type": "text/plain"}, 415),
    "an unknown protocol version": ({"MCP_Protocol_Version": "1999-01-01"}, 400),
    "a method in the header that is not the body's": ({"Mcp_Method": "tools/list"}, 400),
    "a name in the header that is not the body's": ({"Mcp_Name": "erase"}, 400),
    "the modern era without its headers": ({"MCP_Protocol_Version": "2026-07-28"}, 400),
    "another site's origin": ({"Origin": "https://attacker.example"}, 403),
    "another host": ({"Host": "attacker.example"}, 403),
    "a session that does not exist": ({"Mcp_Session_Id": "made-up"}, 404),
    "no token": ({"Authorization": ""}, 401),
    "another scheme": ({"Authorization": "Basic YTpi"}, 401),
    "a token of nobody": ({"Authorization": "Bearer e30.e30.e30"}, 401),
}
"""What is wrong: the headers, and the status."""


@pytest.mark.parametrize("what", HEADERS)
def test_a_good_body_under_bad_headers_is_refused_and_the_proxy_serves_on(
    project: Project, caller: Caller, token: str, what: str
) -> None:
    headers, expected = HEADERS[what]
    before = len(project.received())
    status, _ = caller.post(call(), **headers)
    assert status == expected
    serves_on(project, token, before)


def test_a_token_with_another_signature_is_refused(project: Project, token: str) -> None:
    header, claims, _ = token.split(".")
    with closing(Caller(project.endpoint(), f"{header}.{claims}.{'A' * 86}")) as forged:
        assert forged.post(call())[0] == 401


def test_after_all_of_it_the_log_verifies(project: Project) -> None:
    assert project.hopward("log", "verify").startswith("The decision log verifies")
