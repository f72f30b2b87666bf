"""A security event ends what its subject has begun: real processes, a transmitter that is nothing of ours."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from .project import HOPWARD, Project, recorded
from .running import PATIENCE, Running
from .served import free_port
from .wire import Wire, refusal, told

EVENTS = """
[events.sources.idp]
issuer = "https://idp.example"
audience = "https://hopward.example/events/idp"
jwks_file = "idp.jwks.json"

[events.sources.idp.subjects]
same = ["email"]
"""


class Served:
    """`hopward authority serve` of a project, and a transmitter that pushes to it."""

    def __init__(self, project: Project, stack: ExitStack) -> None:
        self.project, self.port = project, free_port()
        self.key: RSAPrivateKey = generate_private_key(65537, 2048)
        public = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        path = project.folder / "idp.jwks.json"
        path.write_text(json.dumps({"keys": [{**public, "kid": "k1", "alg": "RS256", "use": "sig"}]}))
        path.chmod(0o644)
        project.change('issuer = "http://127.0.0.1:8700"\n', self.addresses())
        with project.config.open("a") as file:
            file.write(EVENTS)
        self.running = Running([str(HOPWARD), "authority", "serve"], project.folder)
        stack.callback(self.running.end)
        self.running.wait_for("listens on .*\n")

    def addresses(self) -> str:
        return f'issuer = "http://127.0.0.1:{self.port}"\nlisten = "127.0.0.1:{self.port}"\n'

    def push(self, kind: str, email: str, jti: str, **payload: Any) -> int:
        claims = {
            "iss": "https://idp.example",
            "aud": "https://hopward.example/events/idp",
            "iat": int(time.time()),
            "jti": jti,
            "sub_id": {"format": "email", "email": email},
            "events": {f"https://schemas.openid.net/secevent/{kind}": payload},
        }
        headers = {"typ": "secevent+jwt", "kid": "k1"}
        body = jwt.encode(claims, self.key, algorithm="RS256", headers=headers)
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("POST", "/events/idp", body, {"Content-Type": "application/secevent+jwt"})
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return recorded(tmp_path)


@pytest.fixture
def served(project: Project) -> Iterator[Served]:
    with ExitStack() as stack:
        yield Served(project, stack)


def test_the_next_call_of_the_subject_of_a_pushed_event_is_refused_and_others_go_on(
    project: Project, served: Served
) -> None:
    with ExitStack() as stack:
        wires = [Wire(project, options=["--subject", who]) for who in ("wendy@x.example", "bob@x.example")]
        for wire in wires:
            stack.callback(wire.end)
            wire.greet()
            told(wire.call("note", note="before"))
        assert served.push("caep/event-type/session-revoked", "wendy@x.example", "e1") == 202
        assert refusal(wires[0].call("note", note="after"))["reason"] == "subject_revoked"
        told(wires[1].call("note", note="after"))
    assert len(project.calls_received()) == 3
    (row,) = project.rows(kind="event")
    assert row.record["done"] == ["revoked subject wendy@x.example"]
    project.hopward("log", "verify")


def test_a_disabled_account_gets_no_session_until_a_person_releases_it(
    project: Project, served: Served
) -> None:
    wendy = ["--subject", "wendy@x.example"]
    project.hopward("task", "open", "--workflow", "trying", *wendy)
    assert served.push("risc/event-type/account-disabled", "wendy@x.example", "e1") == 202
    project.hopward("task", "open", "--workflow", "trying", *wendy, status=1)
    assert served.push("risc/event-type/account-enabled", "wendy@x.example", "e2") == 202
    project.hopward("task", "open", "--workflow", "trying", *wendy, status=1)
    project.hopward("release", "subject", "wendy@x.example", "--why", "she is back")
    project.hopward("task", "open", "--workflow", "trying", *wendy)
    assert "idp was heard" not in project.hopward("doctor")
