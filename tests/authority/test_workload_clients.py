"""POST /token by agents that are workloads: no key of their own here, but a token of their platform."""

import json
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from hopward import ConfigError
from hopward.clock import SECOND
from hopward.testing.clock import NOON
from hopward.testing.platform import Platform

from .conftest import ACCESS_TOKEN, ASSERTION, DESK, EXCHANGE, ISSUER, MakeAuthority

SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
NOW = NOON // SECOND
ISSUERS = """\
[identity.issuers.cluster]
issuer = "https://cluster.example"
algorithms = ["ES256"]
jwks_file = "cluster.json"

[identity.trust_domains."prod.example"]
algorithms = ["ES256"]
bundle_file = "prod.json"

"""
IDENTITIES = {
    "helper": '{ issuer = "cluster", subject = "system:serviceaccount:a:helper" }',
    "other": '{ spiffe_id = "spiffe://prod.example/other" }',
}


class Workloads:
    """An authority whose agents helper and other are workloads, and the platforms that say so."""

    def __init__(self, make: MakeAuthority) -> None:
        made = make()
        text = made.config.read_text("utf-8").replace("[proxy]", f"{ISSUERS}[proxy]")
        for agent, identity in IDENTITIES.items():
            found = rf"(?s)(\[agents\.{agent}\]\n.*?\n)key = [^\n]*\n"
            text = re.sub(found, rf"\g<1>identity = {identity}\n", text, count=1)
        made.config.write_text(text, "utf-8")
        self.platforms = {"helper": Platform(), "other": Platform(use="jwt-svid")}
        for file, agent in (("cluster.json", "helper"), ("prod.json", "other")):
            jwks = json.dumps(self.platforms[agent].jwks())
            (made.config.parent / file).write_text(jwks, "utf-8")
        self.authority = made.restarted()
        self.jti = 0

    def token(self, agent: str, **said: Any) -> str:
        """A fresh token of an agent's platform."""
        self.jti += 1
        claims: dict[str, Any] = {"aud": [ISSUER], "iat": NOW, "exp": NOW + 60, "jti": str(self.jti)}
        if agent == "helper":
            claims |= {"iss": "https://cluster.example", "sub": "system:serviceaccount:a:helper"}
        else:
            claims |= {"sub": "spiffe://prod.example/other"}
        return self.platforms[agent].token(claims | said)

    def post(self, agent: str, token: str | None = None, **parameters: Any) -> httpx2.Response:
        """A form from an agent; without `token` it brings a fresh one."""
        form = {
            "client_assertion_type": ASSERTION if agent == "helper" else SPIFFE,
            "client_assertion": token or self.token(agent),
            "grant_type": "client_credentials",
        } | parameters
        kept = {name: value for name, value in form.items() if value is not None}
        return self.authority.http.post("/token", data=kept)


@pytest.fixture
def workloads(make_authority: MakeAuthority) -> Workloads:
    return Workloads(make_authority)


@pytest.mark.parametrize("agent", ["helper", "other"])
def test_a_workload_gets_its_agents_token_and_exchanges_its_task(workloads: Workloads, agent: str) -> None:
    authority = workloads.authority
    answer = workloads.post(agent)
    assert answer.status_code == 200, answer.text
    own = answer.json()["access_token"]
    assert authority.claims(own)["sub"] == f"agent:{agent}"
    task = authority.open_task(agent)
    exchanged = workloads.post(
        agent,
        grant_type=EXCHANGE,
        subject_token=authority.task_token(task),
        subject_token_type=ACCESS_TOKEN,
        actor_token=own,
        actor_token_type=ACCESS_TOKEN,
        resource=DESK,
    )
    assert exchanged.status_code == 200, exchanged.text
    chain = authority.guard.identify(exchanged.json()["access_token"], DESK)
    assert (chain.task, chain.actors) == (task.id, (agent,))


@pytest.mark.parametrize("agent", ["helper", "other"])
def test_what_a_workload_gets_is_over_when_its_own_token_is(workloads: Workloads, agent: str) -> None:
    authority = workloads.authority
    own = workloads.post(agent).json()
    assert own["expires_in"] == 60
    task = authority.open_task(agent)
    exchanged = workloads.post(
        agent,
        grant_type=EXCHANGE,
        subject_token=authority.task_token(task),
        subject_token_type=ACCESS_TOKEN,
        actor_token=own["access_token"],
        actor_token_type=ACCESS_TOKEN,
        resource=DESK,
    )
    assert authority.claims(exchanged.json()["access_token"])["exp"] == NOW + 60


def test_an_agent_that_is_a_workload_has_no_other_way_in(workloads: Workloads) -> None:
    answer = workloads.authority.post("/token", "helper", grant_type="client_credentials")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_an_agent_with_a_key_authenticates_as_before(workloads: Workloads) -> None:
    answer = workloads.authority.post("/token", "third", grant_type="client_credentials")
    assert answer.status_code == 200, answer.text


def test_the_client_id_may_be_named_and_is_the_agents(workloads: Workloads) -> None:
    assert workloads.post("helper", client_id="helper").status_code == 200
    refused = workloads.post("helper", client_id="other")
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_a_task_of_another_agent_is_not_exchanged_by_a_workload(workloads: Workloads) -> None:
    """Neither with its own agent token nor with that agent's (RFC 8693: no splicing)."""
    authority = workloads.authority
    theirs = authority.task_token(authority.open_task("third"))
    for actor in (workloads.post("helper").json()["access_token"], authority.agent_token("third")):
        answer = workloads.post(
            "helper",
            grant_type=EXCHANGE,
            subject_token=theirs,
            subject_token_type=ACCESS_TOKEN,
            actor_token=actor,
            actor_token_type=ACCESS_TOKEN,
            resource=DESK,
        )
        assert answer.status_code == 400, answer.text


def test_a_replayed_token_is_refused_and_the_log_says_so(workloads: Workloads) -> None:
    token = workloads.token("helper")
    assert workloads.post("helper", token).status_code == 200
    answer = workloads.post("helper", token)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    row = workloads.authority.rows("refusal")[-1]
    assert row.reason == "replayed"
    assert token not in workloads.authority.log_text()


def test_a_svid_that_comes_from_a_second_address_is_refused_and_the_log_says_so(workloads: Workloads) -> None:
    token = workloads.token("other")
    assert workloads.post("other", token).status_code == 200
    assert workloads.post("other", token).status_code == 200
    authority = workloads.authority
    here = authority.http
    authority.http = TestClient(here.app, base_url=ISSUER, client=("192.0.2.7", 5000))
    for _ in range(2):
        answer = workloads.post("other", token)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert authority.rows("refusal")[-1].reason == "seen_twice"
    assert workloads.post("other").status_code == 200, "a token of its own is good there"
    authority.http = here
    assert workloads.post("other", token).status_code == 401, "nobody knows which of the two is the agent"
    assert token not in authority.log_text()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-8] + "AAAAAAAA",
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: "e30." + token.partition(".")[2],
        lambda token: token + ".",
    ],
)
@pytest.mark.parametrize("agent", ["helper", "other"])
def test_a_token_that_is_not_genuine_is_refused(
    workloads: Workloads, agent: str, spoil: Callable[[str], str]
) -> None:
    form = {"client_assertion": spoil(workloads.token(agent))}
    answer = workloads.post(agent, **form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), answer.text


def test_a_workload_only_has_the_form_that_is_for_it(workloads: Workloads) -> None:
    """An OIDC token as a JWT-SVID, a JWT-SVID as a plain assertion."""
    for agent, how in (("helper", SPIFFE), ("other", ASSERTION)):
        answer = workloads.post(agent, client_assertion_type=how)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), answer.text


def test_the_metadata_says_how_workloads_authenticate(
    workloads: Workloads, make_authority: MakeAuthority
) -> None:
    path = "/.well-known/oauth-authorization-server"
    document = workloads.authority.http.get(path).json()
    assert document["token_endpoint_auth_methods_supported"] == ["private_key_jwt", "spiffe_jwt"]
    without = make_authority().http.get(path).json()
    assert without["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]


def test_without_the_file_of_keys_the_authority_does_not_start(workloads: Workloads) -> None:
    (workloads.authority.config.parent / "prod.json").unlink()
    with pytest.raises(ConfigError, match=r"prod\.json"):
        workloads.authority.restarted()


def test_no_key_that_is_known_answers_that_the_authority_cannot_now(workloads: Workloads) -> None:
    """An hour after the last good look: not that the workload is unknown, but that it may try again."""
    (workloads.authority.config.parent / "cluster.json").write_text("{}", "utf-8")
    workloads.authority.clock.advance(4_000 * SECOND)
    answer = workloads.post("helper", workloads.token("helper", iat=NOW + 3_990, exp=NOW + 4_050))
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
