"""The resource server's side: a credential opens the one call it was minted for, once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hopward.canonical import digest
from hopward.chain import entered
from hopward.clock import SECOND
from hopward.errors import TokenError
from hopward.jose import sign
from hopward.jwk import SigningKey
from hopward.model import ToolCall
from hopward.testing.clock import NOON
from hopward.testing.installation import (
    DESK,
    DESK_UPSTREAM,
    FILES_UPSTREAM,
    ISSUER,
    Installation,
    an_installation,
)
from hopward.verifier import CredentialVerifier
from hopward.wire import ExchangeForm

ARGUMENTS: dict[str, Any] = {"ticket": 7, "amount": 20}
CALL = ToolCall(server="desk", tool="refund", arguments=ARGUMENTS)
DETAILS = {
    "type": "hopward_tool_call",
    "server": "desk",
    "tool": "refund",
    "arguments_digest": digest(ARGUMENTS),
}
NESTED: dict[str, Any] = {}
for _ in range(5_000):
    NESTED = {"in": NESTED}


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    return an_installation(tmp_path)


@pytest.fixture
def desk(place: Installation) -> CredentialVerifier:
    return CredentialVerifier(ISSUER, DESK_UPSTREAM, place.issuer.jwks(), clock=place.clock)


def minted(place: Installation, call: ToolCall = CALL) -> str:
    task = place.open_task()
    credential = place.issuer.plan(call, entered(task), task, place.clock.now())
    return place.issuer.mint(credential, "dec_1", call)


def forged(place: Installation, *, key: SigningKey | None = None, typ: str = "at+jwt", **changes: Any) -> str:
    """Signed with the right key, as by an authority that errs, or with a given one."""
    content: dict[str, Any] = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": DESK_UPSTREAM,
        "client_id": "hopward-proxy",
        "iat": NOON // SECOND,
        "exp": NOON // SECOND + 60,
        "jti": "tok_forged",
        "scope": "desk/refund",
        "txn": "task_1",
        "act": {"sub": "agent:helper"},
        "authorization_details": [DETAILS],
    }
    content = {name: value for name, value in (content | changes).items() if value is not None}
    return sign(content, key or place.keyring.signing, typ)


def refusal(verifier: CredentialVerifier, token: str, tool: str = "refund", arguments: Any = None) -> str:
    with pytest.raises(TokenError) as refused:
        verifier.verify(token, tool=tool, arguments=ARGUMENTS if arguments is None else arguments)
    return refused.value.error


def test_a_credential_opens_the_call_it_was_minted_for(place: Installation, desk: CredentialVerifier) -> None:
    claims = desk.verify(minted(place), tool="refund", arguments=ARGUMENTS)
    assert (claims["sub"], claims["act"], claims["decision"]) == ("alice", {"sub": "agent:helper"}, "dec_1")
    assert desk.verify(forged(place), tool="refund", arguments=ARGUMENTS)["jti"] == "tok_forged"


def test_a_credential_tells_the_server_everyone_who_handed_the_work_on(
    place: Installation, desk: CredentialVerifier
) -> None:
    nested = {"sub": "agent:other", "act": {"sub": "agent:helper"}}
    hops = ["hop_" + "1" * 24]
    claims = desk.verify(forged(place, act=nested, hops=hops), tool="refund", arguments=ARGUMENTS)
    assert (claims["act"], claims["hops"]) == (nested, hops)
    for wrong in ([], ["x"], "x"):
        assert refusal(desk, forged(place, hops=wrong)) == "bad_claim"


def test_a_credential_opens_its_call_once(place: Installation, desk: CredentialVerifier) -> None:
    token = minted(place)
    assert desk.verify(token, tool="refund", arguments=ARGUMENTS)
    assert refusal(desk, token) == "replayed"
    assert desk.verify(minted(place), tool="refund", arguments=ARGUMENTS)


@pytest.mark.parametrize(
    "arguments",
    [
        {"ticket": 7, "amount": 2000},
        {"ticket": 7},
        {},
        {"ticket": 7, "amount": 20, "note": ""},
        {"ticket": "7", "amount": 20},
        {"ticket": 7, "amount": 20.5},
        {"Ticket": 7, "amount": 20},
        {"ticket": 7, "amount": float("nan")},
        {"ticket": 7, "amount": {1, 2}},
        {"ticket": 7, "amount": "\ud800"},
        NESTED,
    ],
)
def test_a_credential_for_other_arguments_is_refused_and_stays_unused(
    place: Installation, desk: CredentialVerifier, arguments: Mapping[str, Any]
) -> None:
    token = minted(place)
    assert refusal(desk, token, arguments=arguments) == "wrong_arguments"
    assert desk.verify(token, tool="refund", arguments={"amount": 20, "ticket": 7})


@pytest.mark.parametrize("tool", ["delete", "Refund", "desk/refund", "refun", "refund*", "*", ""])
def test_a_credential_for_another_tool_is_refused_and_stays_unused(
    place: Installation, desk: CredentialVerifier, tool: str
) -> None:
    token = minted(place)
    assert refusal(desk, token, tool) == "wrong_tool"
    assert desk.verify(token, tool="refund", arguments=ARGUMENTS)


def test_the_agents_own_tokens_open_nothing(place: Installation, desk: CredentialVerifier) -> None:
    task = place.open_task()
    subject = place.issuer.task_token(task, place.ledger).token
    actor = place.issuer.agent_token("helper", place.ledger).token
    form = ExchangeForm(subject_token=subject, actor_token=actor, target=DESK)
    held = place.issuer.exchange(form, place.issuer.clients["helper"], place.ledger).token
    for token in (subject, actor, held):
        assert refusal(desk, token) == "wrong_audience"


def test_a_credential_of_another_server_opens_nothing_here(
    place: Installation, desk: CredentialVerifier
) -> None:
    files = CredentialVerifier(ISSUER, FILES_UPSTREAM, place.issuer.jwks(), clock=place.clock)
    call = ToolCall(server="files", tool="refund", arguments=ARGUMENTS)
    assert refusal(desk, minted(place, call)) == "wrong_audience"
    assert files.verify(minted(place, call), tool="refund", arguments=ARGUMENTS)
    assert refusal(files, minted(place)) == "wrong_audience"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": [DESK_UPSTREAM]},
        {"aud": DESK_UPSTREAM + "/"},
        {"exp": NOON // SECOND + 61},
        {"exp": NOON // SECOND},
        {"iat": NOON // SECOND + 6},
        {"scope": "desk/*"},
        {"scope": "desk/refund desk/delete"},
        {"scope": "other/refund"},
        {"scope": "refund"},
        {"scope": None},
        {"authorization_details": None},
        {"authorization_details": []},
        {"authorization_details": [{"type": "hopward_tool_call"}]},
        {"client_id": None},
        {"jti": None},
        {"cnf": {"jkt": "x"}},
        {"act": {"sub": "alice"}},
        {"typ": "JWT"},
        {"typ": "client-authentication+jwt"},
        {"authorization_details": [DETAILS | {"tool": "delete"}]},
        {"authorization_details": [DETAILS | {"server": "other"}]},
    ],
)
def test_an_authority_that_errs_does_not_open_the_server(
    place: Installation, desk: CredentialVerifier, changes: dict[str, Any]
) -> None:
    refusal(desk, forged(place, **changes))
    assert desk.verify(forged(place), tool="refund", arguments=ARGUMENTS)


def test_a_credential_is_over_after_its_minute(place: Installation, desk: CredentialVerifier) -> None:
    token = minted(place)
    place.clock.advance(60 * SECOND)
    assert refusal(desk, token) == "expired"


def test_a_servers_clock_may_be_a_little_behind(place: Installation, desk: CredentialVerifier) -> None:
    token = minted(place)
    place.clock.set(NOON - 5 * SECOND)
    assert desk.verify(token, tool="refund", arguments=ARGUMENTS)
    assert refusal(desk, token) == "replayed"


def test_used_credentials_are_remembered_until_they_expire_and_no_longer(place: Installation) -> None:
    small = CredentialVerifier(ISSUER, DESK_UPSTREAM, place.issuer.jwks(), clock=place.clock, size=3)
    tokens = [minted(place) for _ in range(4)]
    for token in tokens[:3]:
        assert small.verify(token, tool="refund", arguments=ARGUMENTS)
    assert refusal(small, tokens[3]) == "overloaded"
    assert refusal(small, tokens[0]) == "replayed"
    place.clock.advance(60 * SECOND)
    for _ in range(3):
        assert small.verify(minted(place), tool="refund", arguments=ARGUMENTS)
    assert refusal(small, tokens[0]) == "expired"


class Authority:
    """Where a server fetches the keys; counts how often it does."""

    def __init__(self, place: Installation) -> None:
        self._place = place
        self.fetched = 0

    def __call__(self) -> dict[str, Any]:
        self.fetched += 1
        return self._place.issuer.jwks()


def test_a_key_rotated_right_after_the_start_is_found_at_once(place: Installation) -> None:
    authority = Authority(place)
    desk = CredentialVerifier(ISSUER, DESK_UPSTREAM, authority, clock=place.clock)
    place.keyring.rotate(keep=60)
    assert desk.verify(minted(place), tool="refund", arguments=ARGUMENTS)
    assert authority.fetched == 2


def test_unknown_keys_make_a_server_fetch_every_ten_seconds_at_most(place: Installation) -> None:
    authority = Authority(place)
    desk = CredentialVerifier(ISSUER, DESK_UPSTREAM, authority, clock=place.clock)
    unknown = sign({}, place.keys["helper"], "at+jwt")
    for fetched in (2, 3):
        for _ in range(5):
            assert refusal(desk, "x.y.z") == "malformed"
            assert refusal(desk, unknown) == "unknown_key"
        place.keyring.rotate(keep=60)
        token = minted(place)
        place.clock.advance(10 * SECOND - 1)
        assert refusal(desk, token) == "unknown_key"
        assert authority.fetched == fetched
        place.clock.advance(1)
    assert desk.verify(token, tool="refund", arguments=ARGUMENTS)
    assert authority.fetched == 4


def test_a_look_at_stale_keys_counts_as_one_for_an_unknown_key(place: Installation) -> None:
    authority = Authority(place)
    desk = CredentialVerifier(ISSUER, DESK_UPSTREAM, authority, clock=place.clock)
    place.clock.advance(300 * SECOND)
    assert refusal(desk, sign({}, place.keys["helper"], "at+jwt")) == "unknown_key"
    assert authority.fetched == 2


def test_a_key_withdrawn_by_the_authority_stops_counting_within_minutes(place: Installation) -> None:
    desk = CredentialVerifier(ISSUER, DESK_UPSTREAM, place.issuer.jwks, clock=place.clock)
    leaked = place.keyring.signing
    place.keyring.drop(leaked.kid)
    place.clock.advance(300 * SECOND)
    content = {"iat": NOON // SECOND + 300, "exp": NOON // SECOND + 360}
    assert refusal(desk, forged(place, key=leaked, **content)) == "unknown_key"


def test_a_clock_set_back_does_not_put_off_the_next_look_at_the_keys(place: Installation) -> None:
    desk = CredentialVerifier(ISSUER, DESK_UPSTREAM, place.issuer.jwks, clock=place.clock)
    leaked = place.keyring.signing
    place.keyring.drop(leaked.kid)
    place.clock.advance(-SECOND)
    assert refusal(desk, forged(place, key=leaked)) == "unknown_key"


def test_a_fetch_that_fails_fails_the_call_at_hand(place: Installation) -> None:
    answers = [place.issuer.jwks()]
    desk = CredentialVerifier(ISSUER, DESK_UPSTREAM, lambda: answers.pop(), clock=place.clock)
    place.clock.advance(300 * SECOND)
    with pytest.raises(IndexError):
        desk.verify(minted(place), tool="refund", arguments=ARGUMENTS)


def test_a_clock_set_back_makes_no_credential_unused_again(
    place: Installation, desk: CredentialVerifier
) -> None:
    first, second = minted(place), minted(place)
    assert desk.verify(first, tool="refund", arguments=ARGUMENTS)
    place.clock.advance(60 * SECOND)
    assert desk.verify(minted(place), tool="refund", arguments=ARGUMENTS)
    place.clock.set(NOON)
    assert refusal(desk, first) == "replayed"
    assert refusal(desk, second) == "replayed"
    place.clock.advance(SECOND)
    assert desk.verify(minted(place), tool="refund", arguments=ARGUMENTS)


@pytest.mark.parametrize(
    ("issuer", "audience"), [("", DESK_UPSTREAM), (ISSUER, ""), (" ", DESK_UPSTREAM), (ISSUER, "\t")]
)
def test_an_unset_audience_or_issuer_refuses_to_start(
    place: Installation, issuer: str, audience: str
) -> None:
    """Advisory row 29 (CVE-2026-55689)."""
    with pytest.raises(TokenError, match="needs an issuer and an audience"):
        CredentialVerifier(issuer, audience, place.issuer.jwks())


def test_without_a_usable_key_there_is_no_verifier(place: Installation) -> None:
    documents: list[dict[str, Any]] = [
        {"keys": []},
        {},
        {"keys": [{"kty": "RSA"}]},
        {"keys": [place.keyring.signing.to_jwk()]},
    ]
    for document in documents:
        with pytest.raises(TokenError):
            CredentialVerifier(ISSUER, DESK_UPSTREAM, document)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "Bearer x", "é"])
def test_what_is_no_token_opens_nothing(desk: CredentialVerifier, token: str) -> None:
    assert refusal(desk, token) == "malformed"
