"""Tokens of other issuers: what is accepted, and every trick with a header or a key that is not."""

import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.registry import HeaderParameter

from hopward.base64url import encode
from hopward.clock import SECOND
from hopward.errors import TokenError
from hopward.foreign import ALGORITHMS, Foreign, audiences, foreign_keys, foreign_kid, verify_foreign
from hopward.keysets import AGAIN, FRESH, LARGEST, LONGEST, KeySet
from hopward.testing.clock import NOON, FixedClock

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

ISSUER, AUDIENCE, NOW = "https://idp.example", "https://desk.example/mcp", NOON // SECOND
RSA = RSAKey.generate_key(2048, {"kid": "r1", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "e1", "use": "sig", "alg": "ES256"})
KEYS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA),
    "ES256": EC,
    "ES384": ECKey.generate_key("P-384", {"kid": "e3"}),
    "ES512": ECKey.generate_key("P-521", {"kid": "e5"}),
    **dict.fromkeys(("EdDSA", "Ed25519"), OKPKey.generate_key("Ed25519", {"kid": "o1"})),
}
DOCUMENT = {"keys": [key.as_dict(private=False) for key in {key.kid: key for key in KEYS.values()}.values()]}
EXPECTED = Foreign(frozenset(ALGORITHMS), ("at+jwt",), ISSUER, AUDIENCE)
CLAIMS: dict[str, Any] = {"iss": ISSUER, "sub": "u1", "aud": AUDIENCE, "iat": NOW, "exp": NOW + 60}


REGISTRY = jws.JWSRegistry(
    header_registry={name: HeaderParameter(name, "str") for name in ("exp", "enc", "zip")},
    algorithms=[*ALGORITHMS],
    strict_check_header=False,
)


def signed(claims: object = CLAIMS, alg: str = "RS256", key: Any = None, **header: Any) -> str:
    """A token by joserfc; a header parameter None is left out."""
    key = key or KEYS[alg]
    full = {"alg": alg, "kid": key.kid, "typ": "at+jwt"} | header
    kept = {name: value for name, value in full.items() if value is not None}
    return jws.serialize_compact(kept, json.dumps(claims).encode(), key, registry=REGISTRY)


def verified(token: str, expected: Foreign = EXPECTED, document: object = DOCUMENT) -> dict[str, Any]:
    return verify_foreign(token, foreign_keys(document, expected.algorithms), expected, NOON)


def why(attempt: Callable[[], object]) -> str:
    with pytest.raises(TokenError) as refusal:
        attempt()
    return refusal.value.error


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_of_every_algorithm_is_verified(alg: str) -> None:
    token = signed(alg=alg)
    assert verified(token) == CLAIMS
    header, payload, signature = token.split(".")
    forged = encode(json.dumps(CLAIMS | {"sub": "u2"}).encode())
    assert why(lambda: verified(f"{header}.{forged}.{signature}")) == "bad_signature"
    assert why(lambda: verified(f"{header}.{payload}.{encode(b'x')}")) == "bad_signature"


@pytest.mark.parametrize("alg", sorted(set(ALGORITHMS) - {"RS256"}))
def test_an_algorithm_that_is_not_pinned_is_refused_whatever_its_key(alg: str) -> None:
    pinned = Foreign(frozenset({"RS256"}), ("at+jwt",), ISSUER, AUDIENCE)
    keys = foreign_keys(DOCUMENT, ALGORITHMS)
    assert why(lambda: verify_foreign(signed(alg=alg), keys, pinned, NOON)) == "wrong_algorithm"


def test_a_secret_made_of_the_public_key_signs_nothing() -> None:
    payload = signed().split(".")[1]
    for alg in ("HS256", "none", "NONE", "rs256"):
        header = encode(json.dumps({"alg": alg, "kid": "r1", "typ": "at+jwt"}).encode())
        secret = hmac.digest(RSA.as_pem(private=False), f"{header}.{payload}".encode(), "sha256")
        for signature in (encode(secret), ""):
            assert why(lambda: verified(f"{header}.{payload}.{signature}")) == "wrong_algorithm"  # noqa: B023


def test_a_key_with_an_algorithm_of_its_own_serves_no_other() -> None:
    document = {"keys": [RSA.as_dict(private=False, alg="RS256")]}
    assert verified(signed(alg="RS256"), document=document) == CLAIMS
    assert why(lambda: verified(signed(alg="PS256"), document=document)) == "wrong_algorithm"


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": ECKey.generate_key("P-256").as_dict(private=False)},
        {"x5c": ["MIIB"]},
    ],
)
def test_a_key_that_a_header_brings_or_points_to_is_ignored(header: dict[str, Any]) -> None:
    assert verified(signed(**header)) == CLAIMS
    other = RSAKey.generate_key(2048, {"kid": "r1"})
    assert why(lambda: verified(signed(key=other, **header))) == "bad_signature"


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ({"crit": ["exp"], "exp": "1"}, "unsupported_header"),
        ({"zip": "DEF"}, "unsupported_header"),
        ({"enc": "A256GCM"}, "unsupported_header"),
        ({"kid": None}, "unsupported_header"),
        ({"kid": "../r1"}, "unknown_key"),
        ({"kid": "e1"}, "wrong_algorithm"),
        ({"typ": "JWT"}, "wrong_type"),
        ({"typ": None}, "wrong_type"),
        ({"typ": "logout+jwt"}, "wrong_type"),
        ({"typ": "application/at+jwt"}, ""),
        ({"typ": "AT+JWT"}, ""),
    ],
)
def test_a_header_says_what_it_must_and_nothing_that_is_not_understood(
    header: dict[str, Any], error: str
) -> None:
    if error:
        assert why(lambda: verified(signed(**header))) == error
    else:
        assert verified(signed(**header)) == CLAIMS


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"iss": "https://idp.example/"}, "wrong_issuer"),
        ({"iss": ["https://idp.example"]}, "bad_claim"),
        ({"aud": "https://desk.example"}, "wrong_audience"),
        ({"aud": [AUDIENCE, "https://other.example"]}, ""),
        ({"aud": [AUDIENCE, 7]}, "bad_claim"),
        ({"aud": []}, "wrong_audience"),
        ({"sub": ""}, "bad_claim"),
        ({"exp": NOW}, "expired"),
        ({"exp": NOW + 0.5}, "bad_claim"),
        ({"exp": "9999999999"}, "bad_claim"),
        ({"exp": True}, "bad_claim"),
        ({"iat": NOW + 31}, "not_yet_valid"),
        ({"iat": NOW + 30}, ""),
        ({"nbf": NOW + 31}, "not_yet_valid"),
    ],
)
def test_each_claim_is_checked(changed: dict[str, Any], error: str) -> None:
    token = signed(CLAIMS | changed)
    if error:
        assert why(lambda: verified(token)) == error
    else:
        assert verified(token) == CLAIMS | changed


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat"])
def test_a_token_without_a_required_claim_is_refused(name: str) -> None:
    claims = {key: value for key, value in CLAIMS.items() if key != name}
    assert why(lambda: verified(signed(claims))) == "bad_claim"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c.d.e",
        "é.b.c",
        "x" * 20_000,
        signed() + "=",
        signed()[:-1] + "!",
        signed([CLAIMS]),
    ],
)
def test_what_is_no_strict_compact_jws_of_an_object_is_malformed(token: str) -> None:
    assert why(lambda: verified(token)) == "malformed"


def test_a_claim_that_stands_twice_is_refused() -> None:
    payload = json.dumps(CLAIMS)[:-1] + ', "sub": "u2"}'
    token = jws.serialize_compact({"alg": "RS256", "kid": "r1", "typ": "at+jwt"}, payload.encode(), RSA)
    assert why(lambda: verified(token)) == "malformed"


def test_the_kid_of_a_token_is_read_before_it_is_verified() -> None:
    assert foreign_kid(signed()) == "r1"
    assert [foreign_kid(token) for token in ("", "a.b.c", signed(kid=None))] == ["", "", ""]


def test_keys_for_other_purposes_and_of_unknown_kinds_are_left_out() -> None:
    encryption = RSA.as_dict(private=False, use="enc", kid="enc")
    unknown = {"kty": "AKP", "kid": "pq", "alg": "ML-DSA-44"}
    svid = EC.as_dict(private=False, use="jwt-svid", kid="svid")
    document = {"keys": [encryption, unknown, svid, RSA.as_dict(private=False)]}
    assert foreign_keys(document, ALGORITHMS).keys() == {"r1"}
    assert foreign_keys(document, ALGORITHMS, ("jwt-svid",)).keys() == {"svid"}
    assert foreign_keys(document, ("ES256",)) == {}


def weak() -> dict[str, Any]:
    numbers = generate_private_key(65537, 1024).public_key().public_numbers()  # noqa: S505 - that it is refused
    n = encode(numbers.n.to_bytes(128, "big"))
    return {"kty": "RSA", "kid": "weak", "n": n, "e": "AQAB"}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"keys": {}},
        {"keys": ["r1"]},
        {"keys": [weak()]},
        {"keys": [RSA.as_dict(private=False) | {"e": "Aw"}]},
        {"keys": [RSA.as_dict(private=True)]},
        {"keys": [EC.as_dict(private=False) | {"x": "AA"}]},
        {"keys": [EC.as_dict(private=False) | {"y": EC.as_dict(private=False)["x"]}]},
        {"keys": [RSA.as_dict(private=False), RSA.as_dict(private=False)]},
    ],
)
def test_a_document_with_a_bad_key_is_refused_whole(document: object) -> None:
    assert why(lambda: foreign_keys(document, ALGORITHMS)) in ("unusable_key", "private_key")


def test_several_audiences_are_told_apart_from_one() -> None:
    assert audiences({"aud": "a"}) == ("a",)
    assert audiences({"aud": ["a", "b"]}) == ("a", "b")
    assert audiences({}) == ()


def body(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def test_keys_count_from_the_first_document_until_it_is_too_old() -> None:
    clock = FixedClock()
    cache = KeySet(("RS256",), clock)
    assert why(lambda: cache.keys) == "keys_unavailable"
    assert cache.due()
    cache.take(body(RSA))
    assert cache.keys.keys() == {"r1"}
    assert not cache.due("r1")
    clock.advance(FRESH)
    assert cache.due("r1")
    cache.failed()
    assert not cache.due("r1")
    assert cache.keys.keys() == {"r1"}
    clock.advance(LONGEST - FRESH)
    assert cache.due()
    assert why(lambda: cache.keys) == "keys_unavailable"


def test_an_unknown_kid_is_looked_for_once_in_ten_seconds_however_many_ask() -> None:
    clock = FixedClock()
    cache = KeySet(("RS256",), clock)
    cache.take(body(RSA))
    assert not cache.due("new")
    clock.advance(AGAIN)
    assert cache.due("new")
    cache.take(body(RSA))
    assert not any(cache.due(f"guess-{number}") for number in range(100))
    clock.advance(AGAIN)
    cache.take(body(RSAKey.generate_key(2048, {"kid": "new"})))
    assert cache.keys.keys() == {"new"}


@pytest.mark.parametrize("answer", [b"", b"<html>", b'{"keys": []}', body(EC), b" " * (LARGEST + 1)])
def test_a_document_that_is_no_use_leaves_the_last_one_in_place(answer: bytes) -> None:
    clock = FixedClock()
    cache = KeySet(("RS256",), clock)
    cache.take(body(RSA))
    clock.advance(FRESH)
    assert why(lambda: cache.take(answer)) == "unusable_key"
    assert cache.keys.keys() == {"r1"}
    assert not cache.due()


def test_a_clock_that_is_set_back_makes_no_key_younger() -> None:
    clock = FixedClock()
    cache = KeySet(("RS256",), clock)
    cache.take(body(RSA))
    clock.advance(-SECOND)
    assert cache.due()
    assert why(lambda: cache.keys) == "keys_unavailable"
