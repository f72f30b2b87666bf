"""One test per incident of other authorities: what went wrong there does not go wrong here."""

from collections.abc import Callable

import httpx2
import pytest

from hopward import CredentialVerifier, ExchangeRefusedError, Guard, HopwardError, TokenError, selfsigned
from hopward.assertion import client_assertion
from hopward.chain import entered
from hopward.clock import SECOND
from hopward.dpop import DpopProof, Proofs, prove
from hopward.jwk import SigningKey
from hopward_authority import create_app

from .conftest import ARGUMENTS, DESK, DESK_UPSTREAM, FILES, ISSUER, Authority, MakeAuthority
from .logging_in import LoginPlace


def refused(answer: httpx2.Response, error: str) -> None:
    assert (answer.status_code, answer.json().get("error")) == (400, error), answer.text
    assert "access_token" not in answer.json()


def test_cve_2026_56668_an_exchange_gives_no_more_at_another_target(authority: Authority) -> None:
    """ZITADEL: a low-privilege token became an elevated one at another application."""
    narrow = authority.exchange("helper", scope="desk/read_ticket").json()["access_token"]
    refused(authority.exchange("helper", subject_token=narrow, resource=FILES), "invalid_request")
    refused(authority.credential(narrow, scope="desk/refund"), "invalid_scope")
    refused(
        authority.exchange("other", subject_token=authority.task_token(authority.open_task())),
        "invalid_request",
    )


@pytest.mark.parametrize("audience", ["https://elsewhere.example", f"{ISSUER}/token", DESK])
def test_ghsa_g5h5_m4hm_xjrr_an_assertion_is_for_this_issuer(authority: Authority, audience: str) -> None:
    """ZITADEL: `aud` of a presented JWT was not checked."""
    assertion = client_assertion("helper", audience, authority.keys["helper"], clock=authority.clock)
    answer = authority.post("/token", "helper", grant_type="client_credentials", client_assertion=assertion)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_ghsa_xqxv_4jc2_x56x_a_code_and_a_refresh_token_are_of_one_client(place: LoginPlace) -> None:
    """ZITADEL: they were not bound to the client."""
    refused(place.redeem(place.code(), client_id="client:other"), "invalid_grant")
    tokens = place.tokens()
    refused(place.refresh(tokens["refresh_token"], client_id="client:other"), "invalid_grant")
    assert place.refresh(tokens["refresh_token"]).status_code == 200


def test_cve_2026_27840_no_part_of_a_refresh_token_is_one(place: LoginPlace) -> None:
    """ZITADEL: a truncated opaque token was accepted."""
    token = place.tokens()["refresh_token"]
    for wrong in (token[:-1], token[1:], token + "A", token[:-1] + "=", token.upper(), token[:8]):
        refused(place.refresh(wrong), "invalid_grant")
    assert place.refresh(token).status_code == 200


def test_cve_2026_9704_an_exchange_without_its_subject_token_is_none(authority: Authority) -> None:
    """Keycloak: the subject_token was silently dropped."""
    for absent in (None, ""):
        refused(authority.exchange("helper", subject_token=absent), "invalid_request")
    refused(authority.exchange("helper", subject_token=None, subject_token_type=None), "invalid_request")


def test_keycloak_52691_a_token_with_may_act_needs_its_actor(authority: Authority) -> None:
    """Keycloak: without an actor_token it was exchanged as if it had no `may_act`."""
    task_token = authority.task_token(authority.open_task())
    refused(authority.exchange("helper", subject_token=task_token, actor_token=None), "invalid_request")
    refused(authority.credential(task_token), "invalid_request")


@pytest.mark.parametrize("target", [DESK_UPSTREAM, ISSUER, "https://elsewhere.example/mcp"])
def test_keycloak_48104_a_client_reaches_its_targets_alone(authority: Authority, target: str) -> None:
    """Keycloak: one of two ways to exchange left out the check of the target."""
    refused(authority.exchange("helper", resource=target), "invalid_target")


def test_keycloak_51000_a_token_made_for_another_client_is_no_subject_token(authority: Authority) -> None:
    """Keycloak: tokens issued to another client were accepted."""
    access = authority.access_token()
    for token in (access, authority.task_token(authority.open_task()), authority.agent_token("helper")):
        refused(authority.exchange("other", subject_token=token), "invalid_request")


def test_cve_2026_1609_a_subject_that_was_revoked_is_nobody(authority: Authority) -> None:
    """Keycloak: a grant worked for disabled users."""
    task_token, access = authority.task_token(authority.open_task()), authority.access_token()
    authority.guard.revoke("subject", "alice", by="local:carol", why="has left")
    refused(authority.exchange("helper", subject_token=task_token), "invalid_request")
    refused(authority.credential(access), "invalid_request")


def test_cve_2026_37979_a_token_is_described_to_those_it_concerns(authority: Authority) -> None:
    """Keycloak: introspection ignored the audience."""
    credential = authority.credential(authority.access_token()).json()["access_token"]
    told = {
        name: authority.post("/introspect", name, token=credential).json()["active"]
        for name in ("server:desk", "server:files", "helper", "other", "hopward-proxy")
    }
    assert told == {
        "server:desk": True,
        "server:files": False,
        "helper": False,
        "other": False,
        "hopward-proxy": True,
    }


def test_cve_2026_8922_the_latest_of_all_cut_offs_counts(authority: Authority) -> None:
    """Keycloak: one cut-off was ignored where another was set."""
    authority.guard.revoke("subject", "alice", by="local:carol", why="an older cut-off")
    authority.clock.advance(5 * SECOND)
    access = authority.access_token()
    assert authority.post("/introspect", "helper", token=access).json()["active"]
    authority.guard.revoke("agent", "helper", by="local:carol", why="a newer one")
    assert authority.post("/introspect", "helper", token=access).json() == {"active": False}
    refused(authority.credential(access), "invalid_request")


def test_cve_2026_9802_a_used_refresh_token_stays_used_after_a_restart(place: LoginPlace) -> None:
    """Keycloak: it counted again after one."""
    first = place.tokens()["refresh_token"]
    assert place.refresh(first).status_code == 200
    config = place.guard.settings.root / "hopward.toml"
    place.guard.close()
    guard = Guard.open(config, clock=place.clock)
    again = LoginPlace(guard, place.clock, create_app(guard), place.key)
    refused(again.refresh(first), "invalid_grant")
    guard.close()


def test_cve_2026_4282_what_counts_once_counts_as_one_kind(authority: Authority, place: LoginPlace) -> None:
    """Keycloak: a single-use store without namespaces let codes be forged."""
    later = authority.clock.now() + SECOND
    kinds = ("client_assertion", "session_token", "chain_proof", "dpop_proof")
    assert [authority.guard.ledger.seen_once(kind, "x", later) for kind in kinds] == [True] * 4
    code, refresh_token = place.code(), place.tokens()["refresh_token"]
    refused(place.refresh(code), "invalid_grant")
    refused(place.redeem(refresh_token), "invalid_grant")


@pytest.mark.parametrize("scope", ["*", "desk/* files/*", "files/read_ticket", "desk/method:*"])
def test_ghsa_75p6_52g3_rqc8_an_exchange_never_widens_the_scope(authority: Authority, scope: str) -> None:
    """Keycloak: privilege escalation by exchange."""
    narrow = authority.exchange("helper", scope="desk/read_ticket").json()["access_token"]
    refused(authority.credential(narrow, scope=scope), "invalid_scope")


def test_cve_2025_55241_an_actor_of_another_tenant_is_refused_and_recorded(
    authority: Authority, make_authority: MakeAuthority
) -> None:
    """Entra: actor tokens of any tenant counted, and nothing was logged."""
    elsewhere = make_authority(issuer="https://elsewhere.example")
    refused(authority.exchange("helper", actor_token=elsewhere.agent_token("helper")), "invalid_request")
    twin = make_authority()
    refused(authority.exchange("helper", actor_token=twin.agent_token("helper")), "invalid_request")
    assert [row.reason for row in authority.rows("refusal")][-2:] == ["invalid_request"] * 2


def takers(authority: Authority) -> dict[str, Callable[[str], object]]:
    """Every place that takes a token of some kind; each raises, or answers with an error, for another one."""
    guard, clock = authority.guard, authority.clock
    verifier = CredentialVerifier(ISSUER, DESK_UPSTREAM, guard.issuer.jwks(), clock=clock)
    proxy_key = authority.keys["hopward-proxy"].verification()

    def authenticate(token: str) -> object:
        form = {"grant_type": "client_credentials", "client_assertion": token}
        return authority.post("/token", "helper", **form).raise_for_status()

    def proof(token: str) -> object:
        shown = DpopProof(jwt=token, method="POST", url=f"{ISSUER}/token")
        return Proofs(guard.ledger.seen_once, clock).check(shown)

    return {
        "subject": lambda token: authority.exchange("helper", subject_token=token).raise_for_status(),
        "actor": lambda token: authority.exchange("helper", actor_token=token).raise_for_status(),
        "caller": lambda token: guard.identify(token, DESK),
        "proxy's subject": lambda token: authority.credential(token).raise_for_status(),
        "call": lambda token: verifier.verify(token, tool="refund", arguments=ARGUMENTS),
        "client": authenticate,
        "proof": proof,
        "session": lambda token: selfsigned.read(token, proxy_key, ISSUER, clock.now()),
    }


def test_no_kind_of_token_is_ever_taken_for_another(authority: Authority) -> None:
    """Cross-JWT confusion (RFC 8725 section 3.12): every kind at every place that takes one."""
    task = authority.open_task()
    made: dict[str, Callable[[], str]] = {
        "subject": lambda: authority.task_token(task),
        "actor": authority.agent_token,
        "caller": authority.access_token,
        "call": lambda: authority.credential(authority.access_token()).json()["access_token"],
        "client": lambda: authority.assertion("helper"),
        "proof": lambda: prove(SigningKey.generate("ES256"), "POST", f"{ISSUER}/token", authority.clock),
        "session": lambda: selfsigned.write(
            entered(task), ISSUER, authority.keys["hopward-proxy"], authority.clock
        ),
    }
    taken: set[tuple[str, str]] = set()
    for kind, make in made.items():
        for place, take in takers(authority).items():
            try:
                take(make())
            except (TokenError, ExchangeRefusedError, HopwardError, httpx2.HTTPStatusError):
                continue
            taken.add((kind, place))
    assert taken == {(kind, kind) for kind in made} | {("caller", "proxy's subject")}
