"""DPoP proofs: every check of RFC 9449 section 4.3, and the table of what a correct peer refuses."""

import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopward.base64url import encode
from hopward.clock import SECOND, Instant
from hopward.dpop import (
    MAX_PROOF,
    NEWEST,
    NONCE_SECONDS,
    OLDEST,
    ONCE,
    TYPE,
    DpopProof,
    Nonces,
    Proofs,
    normal,
    prove,
    token_hash,
)
from hopward.errors import TokenError
from hopward.jwk import SigningKey
from hopward.testing.clock import NOON, FixedClock

URL = "https://proxy.example/desk/mcp"
TOKEN = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"
KEY = SigningKey.generate("ES256")
NOW = NOON // SECOND


class Seen:
    """A store of what has been seen, and until when."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Instant] = {}

    def once(self, kind: str, value: str, expires_at: Instant) -> bool:
        fresh = (kind, value) not in self.entries
        self.entries.setdefault((kind, value), expires_at)
        return fresh


def proofs(seen: Seen | None = None, nonces: Nonces | None = None, clock: FixedClock | None = None) -> Proofs:
    return Proofs((seen or Seen()).once, clock or FixedClock(), nonces)


def claims(**changes: Any) -> dict[str, Any]:
    content = {"jti": "id-1", "htm": "POST", "htu": URL, "iat": NOW, "ath": token_hash(TOKEN)} | changes
    return {name: value for name, value in content.items() if value is not None}


def raw(header: dict[str, Any], content: str | dict[str, Any], key: SigningKey = KEY) -> str:
    """A genuinely signed proof with exactly this in it."""
    text = content if isinstance(content, str) else json.dumps(content)
    signed = ".".join(encode(part.encode()) for part in (json.dumps(header), text))
    return f"{signed}.{encode(key.signature(signed.encode()))}"


def header(key: SigningKey = KEY, /, **changes: Any) -> dict[str, Any]:
    jwk = {name: value for name, value in key.public_jwk().items() if name in ("kty", "crv", "x", "y")}
    members = {"typ": TYPE, "alg": key.algorithm, "jwk": jwk} | changes
    return {name: value for name, value in members.items() if value is not None}


def proof(**changes: Any) -> str:
    return raw(header(), claims(**changes))


def checked(made: str, method: str = "POST", url: str = URL, token: str = TOKEN) -> str:
    return proofs().check(DpopProof(jwt=made, method=method, url=url), token)


def refusal(made: str, at: Proofs | None = None, **request: str) -> tuple[str, str]:
    shown = DpopProof(jwt=made, method=request.get("method", "POST"), url=request.get("url", URL))
    with pytest.raises(TokenError) as refused:
        (at or proofs()).check(shown, request.get("token", TOKEN))
    assert made[:40] not in str(refused.value) or len(made) < 40
    return refused.value.error, refused.value.message


@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_a_good_proof_names_the_thumbprint_of_its_key(alg: Any) -> None:
    key = SigningKey.generate(alg)
    made = prove(key, "POST", URL, FixedClock(), token=TOKEN)
    assert checked(made) == key.verification().thumbprint == key.kid


def test_a_proof_of_another_library_is_good() -> None:
    private = jwt.PyJWK(KEY.to_jwk())
    made = jwt.encode(claims(), private, "ES256", headers={"typ": TYPE, "jwk": header()["jwk"]})
    assert checked(made) == KEY.kid


def test_another_library_verifies_our_proof() -> None:
    made = prove(KEY, "POST", URL + "?a=1#b", FixedClock(), token=TOKEN, nonce="n-1")
    said = jwt.get_unverified_header(made)
    content = jwt.decode(made, jwt.PyJWK(said["jwk"]), ["ES256"], options={"verify_iat": False})
    assert set(said) == {"typ", "alg", "jwk"}
    assert set(said["jwk"]) == {"kty", "crv", "x", "y"}
    assert (content["htm"], content["htu"], content["nonce"]) == ("POST", URL, "n-1")
    assert content["ath"] == token_hash(TOKEN)
    assert len(content["jti"]) == 32


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (proof(htm="GET"), "another method"),
        (proof(htm="post"), "another method"),
        (proof(htm=None), "another method"),
        (proof(htm=["POST"]), "another method"),
        (proof(htu="https://proxy.example/other/mcp"), "another URL"),
        (proof(htu="https://evil.example/desk/mcp"), "another URL"),
        (proof(htu="http://proxy.example/desk/mcp"), "another URL"),
        (proof(htu="https://proxy.example:8443/desk/mcp"), "another URL"),
        (proof(htu="https://proxy.example/desk/mcp/"), "another URL"),
        (proof(htu="https://proxy.example/desk%2Fmcp"), "another URL"),
        (proof(htu="https://alice@proxy.example/desk/mcp"), "another URL"),
        (proof(htu="https://proxy.example\\@evil.example/desk/mcp"), "another URL"),
        (proof(htu="https://proxy.example/desk/\nmcp"), "another URL"),
        (proof(htu="/desk/mcp"), "another URL"),
        (proof(htu="https://["), "another URL"),
        (proof(htu=None), "another URL"),
        (proof(htu=7), "another URL"),
        (raw(header(typ="JWT"), claims()), "another type"),
        (raw(header(typ="application/dpop+jwt"), claims()), "another type"),
        (raw(header(typ="at+jwt"), claims()), "another type"),
        (raw(header(typ=None), claims()), "alg, jwk and typ"),
        (raw(header(jwk=KEY.to_jwk()), claims()), "private key"),
        (raw(header(jwk={"kty": "oct", "k": "AAAA"}), claims()), "private key"),
        (raw(header(jwk={"kty": "RSA", "n": "AQAB", "e": "AQAB"}), claims()), "not one for verifying"),
        (raw(header(jwk=None, kid=KEY.kid), claims()), "alg, jwk and typ"),
        (raw(header(jwk="https://evil.example/jwk"), claims()), "alg, jwk and typ"),
        (raw(header(jku="https://evil.example/jwks"), claims()), "alg, jwk and typ"),
        (raw(header(crit=["exp"]), claims()), "alg, jwk and typ"),
        (raw(header(alg="EdDSA"), claims()), "another algorithm"),
        (raw(header(alg="none"), claims()), "another algorithm"),
        (raw(header(), claims(), SigningKey.generate("ES256")), "not valid"),
        (proof(jti=None), "usable jti"),
        (proof(jti=""), "usable jti"),
        (proof(jti=7), "usable jti"),
        (proof(jti="x" * 257), "usable jti"),
        (proof(ath=None), "another token"),
        (proof(ath=token_hash("another")), "another token"),
        (proof(iat=None), "last minute"),
        (proof(iat=str(NOW)), "last minute"),
        (proof(iat=float(NOW)), "last minute"),
        (proof(iat=True), "last minute"),
        (proof(iat=NOW - OLDEST - 1), "last minute"),
        (proof(iat=NOW + NEWEST + 1), "last minute"),
        (proof(iat=NOW - 86_400), "last minute"),
        (proof(iat=-1), "last minute"),
        (proof(iat=10**30), "last minute"),
        (raw(header(), '{"jti":"a","jti":"b"}'), "proper JSON"),
        (raw(header(), "[]"), "JSON object"),
        (proof(x="x" * MAX_PROOF), "too long"),
        ("", "three parts"),
        ("a.b", "three parts"),
        (proof() + "A", "not"),
        (proof() + ", " + proof(), "three parts"),
    ],
)
def test_a_proof_that_is_not_for_this_request_is_refused(made: str, why: str) -> None:
    error, sentence = refusal(made)
    assert error == "invalid_dpop_proof"
    assert why in sentence


def test_a_secret_shared_with_nobody_signs_no_proof() -> None:
    """HS256, with the public key in the header as the secret."""
    told = header(alg="HS256")
    signed = ".".join(encode(json.dumps(part).encode()) for part in (told, claims()))
    for secret in (json.dumps(told["jwk"]).encode(), b"", KEY.kid.encode()):
        made = f"{signed}.{encode(hmac.digest(secret, signed.encode(), 'sha256'))}"
        assert refusal(made)[0] == "invalid_dpop_proof"


def test_a_proof_counts_once_until_it_is_too_old() -> None:
    seen, clock = Seen(), FixedClock()
    store = proofs(seen, clock=clock)
    made = proof()
    store.check(DpopProof(jwt=made, method="POST", url=URL), TOKEN)
    assert refusal(made, store) == ("invalid_dpop_proof", "The proof has been used before.")
    ((kind, _),) = seen.entries
    assert kind == ONCE
    (until,) = seen.entries.values()
    clock.advance(until - clock.now())
    assert "last minute" in refusal(made, store)[1]


def test_the_same_id_of_another_key_is_another_proof() -> None:
    store, other = proofs(), SigningKey.generate("EdDSA")
    store.check(DpopProof(jwt=proof(), method="POST", url=URL), TOKEN)
    store.check(DpopProof(jwt=raw(header(other), claims(), other), method="POST", url=URL), TOKEN)


def test_what_is_refused_is_not_remembered() -> None:
    seen, nonces = Seen(), Nonces(lambda: b"s", FixedClock())
    store = proofs(seen, nonces)
    for made in (proof(htm="GET"), proof(ath="x"), proof(), proof(nonce="old")):
        refusal(made, store)
    assert seen.entries == {}


@pytest.mark.parametrize("ahead", [-OLDEST, 0, NEWEST])
def test_a_clock_may_be_a_little_off_on_either_side(ahead: int) -> None:
    assert checked(proof(iat=NOW + ahead)) == KEY.kid


def test_a_nonce_is_demanded_told_and_rotated() -> None:
    clock = FixedClock()
    nonces = Nonces(lambda: b"secret", clock)
    store = proofs(nonces=nonces, clock=clock)
    assert store.nonce == nonces.current() != ""
    for nonce in (None, "", "made-up", 7, ["x"], nonces.current() + "A", "é"):
        assert refusal(proof(nonce=nonce), store)[0] == "use_dpop_nonce"
    first = store.nonce
    store.check(DpopProof(jwt=proof(nonce=first), method="POST", url=URL), TOKEN)
    clock.advance(NONCE_SECONDS * SECOND)
    now = NOW + NONCE_SECONDS
    assert store.nonce != first
    store.check(DpopProof(jwt=proof(nonce=first, jti="2", iat=now), method="POST", url=URL), TOKEN)
    clock.advance(NONCE_SECONDS * SECOND)
    late = proof(nonce=first, jti="3", iat=now + NONCE_SECONDS)
    assert refusal(late, store)[0] == "use_dpop_nonce"


def test_a_nonce_is_of_one_secret() -> None:
    clock = FixedClock()
    mine, other = (Nonces(lambda secret=secret: secret, clock) for secret in (b"a", b"b"))
    assert mine.accepts(mine.current())
    assert not mine.accepts(other.current())


def test_a_bad_nonce_never_hides_another_fault() -> None:
    store = proofs(nonces=Nonces(lambda: b"s", FixedClock()))
    assert refusal(proof(htm="GET"), store)[0] == "invalid_dpop_proof"


def test_without_nonces_one_that_comes_along_does_no_harm() -> None:
    assert checked(proof(nonce="of somebody else")) == KEY.kid


def test_at_the_token_endpoint_no_token_is_named() -> None:
    assert proofs().check(DpopProof(jwt=proof(ath=None), method="POST", url=URL)) == KEY.kid


@pytest.mark.parametrize(
    "htu",
    [
        f"{URL}?session=1",
        f"{URL}#part",
        "HTTPS://Proxy.Example/desk/mcp",
        "https://proxy.example:443/desk/mcp",
        "https://proxy.example/d%65sk/mcp",
    ],
)
def test_a_url_is_compared_without_query_and_in_its_normal_form(htu: str) -> None:
    assert checked(proof(htu=htu)) == KEY.kid


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://Host.example:80", "http://host.example/"),
        ("http://[::1]:8701/a", "http://[::1]:8701/a"),
        ("https://x.example/%7ea%2f", "https://x.example/~a%2F"),
        ("https://x.example/a/../b", "https://x.example/a/../b"),
    ],
)
def test_the_normal_form_of_a_url(url: str, expected: str) -> None:
    assert normal(url) == expected
    assert normal(expected) == expected


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://x.example/", "https:///x", "https://x.example:0x/", "https://é/"]
)
def test_what_is_no_url_has_no_normal_form(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of urllib, or ours
        normal(url)


@given(st.text(max_size=60))
def test_any_text_in_place_of_a_proof_is_refused(text: str) -> None:
    with pytest.raises(TokenError):
        checked(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), st.lists, max_leaves=5))
def test_any_value_in_place_of_a_url_is_refused(value: Any) -> None:
    assert refusal(proof(htu=value))[0] == "invalid_dpop_proof"
