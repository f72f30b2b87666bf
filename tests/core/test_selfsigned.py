"""The proxy's own subject token: what it says, and every way in which another token is not one."""

from typing import Any

import msgspec
import pytest

from hopward import selfsigned
from hopward.base64url import decode
from hopward.clock import SECOND
from hopward.errors import TokenError
from hopward.jose import Expected, sign, unverified_kid, verify
from hopward.jwk import SigningKey
from hopward.model import Chain
from hopward.testing.clock import NOON, FixedClock

ISSUER = "https://authority.example"
KEY = SigningKey.generate("ES256")
NOW = NOON // SECOND
CHAIN = Chain(
    task="task_1",
    subject="alice",
    actors=("helper",),
    issued_at=NOON - SECOND,
    expires_at=NOON + 3600 * SECOND,
    scope=("desk/*",),
)


def claims(**changes: Any) -> dict[str, Any]:
    content = {
        "iss": "hopward-proxy",
        "sub": "alice",
        "aud": ISSUER,
        "txn": "task_1",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "session-1",
    }
    return {name: value for name, value in (content | changes).items() if value is not None}


def test_a_session_token_is_read_back_as_the_task_and_its_subject() -> None:
    token = selfsigned.write(CHAIN, ISSUER, KEY, FixedClock())
    session = selfsigned.read(token, KEY.verification(), ISSUER, NOON)
    assert (session.task, session.subject, session.key) == ("task_1", "alice", KEY.kid)
    assert session.expires_at == NOON + 60 * SECOND
    assert session.chain.actors == session.chain.scope == ()
    assert unverified_kid(token) == KEY.kid


def test_a_session_token_names_the_hops_of_its_chain_and_none_where_there_are_none() -> None:
    hops = ("hop_" + "1" * 24, "hop_" + "2" * 24)
    handed = msgspec.structs.replace(CHAIN, actors=("helper", "other", "third"), hops=hops)
    for chain in (CHAIN, handed):
        token = selfsigned.write(chain, ISSUER, KEY, FixedClock())
        session = selfsigned.read(token, KEY.verification(), ISSUER, NOON)
        assert session.hops == session.chain.hops == chain.hops
        assert b"hops" in decode(token.split(".")[1]) or not chain.hops


def test_a_session_token_names_the_keys_that_a_carried_chain_was_signed_with() -> None:
    for lineage in ((), ("key:a", "key:b")):
        carried = msgspec.structs.replace(CHAIN, lineage=lineage)
        token = selfsigned.write(carried, ISSUER, KEY, FixedClock())
        session = selfsigned.read(token, KEY.verification(), ISSUER, NOON)
        assert session.lineage == session.chain.lineage == lineage


def test_a_session_token_does_not_outlive_its_chain() -> None:
    chain = msgspec.structs.replace(CHAIN, expires_at=NOON + 9 * SECOND)
    token = selfsigned.write(chain, ISSUER, KEY, FixedClock())
    assert selfsigned.read(token, KEY.verification(), ISSUER, NOON).expires_at == NOON + 9 * SECOND


def test_every_session_token_has_an_id_of_its_own() -> None:
    tokens = [selfsigned.write(CHAIN, ISSUER, KEY, FixedClock()) for _ in range(20)]
    assert len({selfsigned.read(one, KEY.verification(), ISSUER, NOON).id for one in tokens}) == 20


def test_a_session_token_is_never_taken_for_an_access_token_or_an_assertion() -> None:
    token = selfsigned.write(CHAIN, ISSUER, KEY, FixedClock())
    for types in (("at+jwt",), ("client-authentication+jwt", "JWT")):
        expected = Expected(types=types, issuer="hopward-proxy", audience=ISSUER)
        with pytest.raises(TokenError) as refused:
            verify(token, {KEY.kid: KEY.verification()}, expected, NOON)
        assert refused.value.error == "wrong_type"


def test_claims_as_they_should_be_are_accepted() -> None:
    token = sign(claims(), KEY, selfsigned.TYPE)
    assert selfsigned.read(token, KEY.verification(), ISSUER, NOON).id == "session-1"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"iss": "helper"}, "wrong_issuer"),
        ({"iss": ISSUER}, "wrong_issuer"),
        ({"aud": "https://other.example"}, "wrong_audience"),
        ({"aud": f"{ISSUER}/token"}, "wrong_audience"),
        ({"aud": [ISSUER]}, "bad_claim"),
        ({"sub": None}, "bad_claim"),
        ({"sub": ""}, "bad_claim"),
        ({"txn": None}, "bad_claim"),
        ({"txn": ""}, "bad_claim"),
        ({"txn": 7}, "bad_claim"),
        ({"jti": None}, "bad_claim"),
        ({"exp": NOW + 61}, "bad_claim"),
        ({"exp": NOW}, "bad_claim"),
        ({"iat": NOW - 60, "exp": NOW}, "expired"),
        ({"iat": NOW + 6, "exp": NOW + 60}, "not_yet_valid"),
        ({"act": {"sub": "agent:helper"}}, "bad_claim"),
        ({"scope": "desk/*"}, "bad_claim"),
        ({"nbf": NOW}, "bad_claim"),
        ({"hops": []}, "bad_claim"),
        ({"hops": ["hop_1"]}, "bad_claim"),
        ({"hops": "hop_" + "1" * 24}, "bad_claim"),
        ({"lineage": "key:k"}, "bad_claim"),
        ({"lineage": ["k"]}, "bad_claim"),
        ({"cnf": {"jkt": "x"}}, "bad_claim"),
    ],
)
def test_a_token_that_says_anything_else_is_refused(changes: dict[str, Any], error: str) -> None:
    token = sign(claims(**changes), KEY, selfsigned.TYPE)
    with pytest.raises(TokenError) as refused:
        selfsigned.read(token, KEY.verification(), ISSUER, NOON)
    assert refused.value.error == error


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "client-authentication+jwt", "txntoken+jwt"])
def test_a_token_of_another_type_is_refused(typ: str) -> None:
    with pytest.raises(TokenError) as refused:
        selfsigned.read(sign(claims(), KEY, typ), KEY.verification(), ISSUER, NOON)
    assert refused.value.error == "wrong_type"


def test_a_token_signed_by_another_key_is_refused() -> None:
    other = SigningKey.generate("ES256")
    forged = SigningKey(KEY.kid, "ES256", other.private)
    for key, error in ((other, "unknown_key"), (forged, "bad_signature")):
        with pytest.raises(TokenError) as refused:
            selfsigned.read(sign(claims(), key, selfsigned.TYPE), KEY.verification(), ISSUER, NOON)
        assert refused.value.error == error
