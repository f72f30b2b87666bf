"""Who calls at the proxy: only an agent, with a token about a task, for exactly this endpoint."""

from pathlib import Path
from typing import Any

import pytest

from hopward.clock import SECOND
from hopward.errors import TokenError
from hopward.identity import Identifier
from hopward.jose import sign
from hopward.jwk import SigningKey, VerificationKey
from hopward.keys import KeyRing
from hopward.testing.clock import NOON, FixedClock

ISSUER = "https://authority.example"
DESK = "https://proxy.example/desk/mcp"


class Keys:
    """A key ring whose keys a test can take away."""

    def __init__(self) -> None:
        self.signing = SigningKey.generate("ES256")
        self.lent = {self.signing.kid: self.signing.verification()}

    def verification_keys(self) -> dict[str, VerificationKey]:
        return self.lent


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def identifier(keys: Keys, clock: FixedClock) -> Identifier:
    return Identifier(keyring=keys, issuer=ISSUER, clock=clock, size=3)


def token(keys: Keys, typ: str = "at+jwt", **changes: Any) -> str:
    content: dict[str, Any] = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": DESK,
        "client_id": "helper",
        "iat": NOON // SECOND,
        "exp": NOON // SECOND + 900,
        "jti": "tok_1",
        "scope": "desk/*",
        "txn": "task_1",
        "act": {"sub": "agent:helper"},
        "lineage": ["token:tok_0"],
    }
    content = {name: value for name, value in (content | changes).items() if value is not None}
    return sign(content, keys.signing, typ)


def test_a_genuine_token_presents_its_chain(identifier: Identifier, keys: Keys) -> None:
    chain = identifier.identify(token(keys), DESK)
    assert (chain.task, chain.subject, chain.actors, chain.scope) == (
        "task_1",
        "alice",
        ("helper",),
        ("desk/*",),
    )
    assert (chain.token, chain.key, chain.lineage) == ("tok_1", keys.signing.kid, ("token:tok_0",))
    assert (chain.issued_at, chain.expires_at) == (NOON, NOON + 900 * SECOND)


@pytest.mark.parametrize("typ", ["JWT", "client-authentication+jwt", "AT+JWT", "logout+jwt"])
def test_a_signed_text_of_another_type_is_no_access_token(
    identifier: Identifier, keys: Keys, typ: str
) -> None:
    with pytest.raises(TokenError) as refused:
        identifier.identify(token(keys, typ), DESK)
    assert refused.value.error == "wrong_type"


def test_every_hop_of_a_chain_is_presented_in_order(identifier: Identifier, keys: Keys) -> None:
    nested = {"sub": "agent:second", "act": {"sub": "agent:first"}}
    hops = ["hop_" + "1" * 24]
    chain = identifier.identify(token(keys, client_id="second", act=nested, hops=hops), DESK)
    assert (chain.actors, chain.hops) == (("first", "second"), tuple(hops))


def test_the_token_of_a_hop_calls_nothing(identifier: Identifier, keys: Keys) -> None:
    may_act = {"iss": ISSUER, "sub": "agent:second"}
    for client, nested in (
        ("second", {"sub": "agent:first"}),
        ("second", {"sub": "agent:second", "act": {"sub": "agent:first"}}),
    ):
        text = token(keys, client_id=client, act=nested, may_act=may_act, hops=["hop_" + "1" * 24])
        with pytest.raises(TokenError, match="not one an agent calls with"):
            identifier.identify(text, DESK)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"act": None},
        {"act": {"sub": "alice"}},
        {"client_id": "other"},
        {"client_id": "agent:helper"},
        {"client_id": None},
        {"act": {"sub": "agent:other", "act": {"sub": "agent:helper"}}},
        {"may_act": {"iss": ISSUER, "sub": "agent:helper"}},
        {"sub": "agent:helper"},
        {"txn": None},
        {"txn": ""},
        {"cnf": {"jkt": "x"}},
        {"exp": NOON // SECOND},
        {"iat": NOON // SECOND + 1},
        {"aud": [DESK]},
        {"scope": "a  b"},
    ],
)
def test_a_token_that_is_not_an_agents_for_a_task_presents_nothing(
    identifier: Identifier, keys: Keys, changes: dict[str, Any]
) -> None:
    with pytest.raises(TokenError):
        identifier.identify(token(keys, **changes), DESK)


def test_a_token_without_a_scope_reaches_nothing(identifier: Identifier, keys: Keys) -> None:
    assert identifier.identify(token(keys, scope=None), DESK).scope == ()


@pytest.mark.parametrize(
    "audience", ["https://proxy.example/files/mcp", "https://proxy.example", DESK + "/", "", ISSUER]
)
def test_a_token_for_the_base_url_fails_at_a_mounted_server(
    identifier: Identifier, keys: Keys, audience: str
) -> None:
    """Advisory rows 18 and 19; remembering a token does not make it good elsewhere."""
    text = token(keys)
    for _ in range(2):
        with pytest.raises(TokenError) as refused:
            identifier.identify(text, audience)
        assert refused.value.error == "wrong_audience"
        assert identifier.identify(text, DESK)
    for _ in range(2):
        with pytest.raises(TokenError):
            identifier.identify(token(keys, aud=audience or "x"), DESK)


def test_a_remembered_token_is_not_verified_again(identifier: Identifier, keys: Keys) -> None:
    text = token(keys)
    first = identifier.identify(text, DESK)
    stranger = SigningKey.generate("ES256")
    keys.lent = {keys.signing.kid: VerificationKey(keys.signing.kid, "ES256", stranger.verification().key)}
    assert identifier.identify(text, DESK) is first
    with pytest.raises(TokenError):
        identifier.identify(token(keys, jti="tok_2"), DESK)


def test_a_remembered_token_still_expires(identifier: Identifier, keys: Keys, clock: FixedClock) -> None:
    text = token(keys)
    assert identifier.identify(text, DESK)
    clock.advance(900 * SECOND - 1)
    assert identifier.identify(text, DESK)
    clock.advance(1)
    with pytest.raises(TokenError) as refused:
        identifier.identify(text, DESK)
    assert refused.value.error == "expired"


def test_a_remembered_token_falls_with_its_key(identifier: Identifier, keys: Keys) -> None:
    text = token(keys)
    assert identifier.identify(text, DESK)
    keys.lent = {}
    with pytest.raises(TokenError) as refused:
        identifier.identify(text, DESK)
    assert refused.value.error == "unknown_key"


def test_a_refused_token_is_not_remembered(identifier: Identifier, keys: Keys, clock: FixedClock) -> None:
    text = token(keys, iat=NOON // SECOND + 10)
    with pytest.raises(TokenError):
        identifier.identify(text, DESK)
    clock.advance(10 * SECOND)
    assert identifier.identify(text, DESK)


def test_only_so_many_tokens_are_remembered_and_the_oldest_goes_first(
    identifier: Identifier, keys: Keys
) -> None:
    texts = [token(keys, jti=f"tok_{n}") for n in range(4)]
    chains = [identifier.identify(text, DESK) for text in texts]
    assert all(
        identifier.identify(text, DESK) is chain for text, chain in list(zip(texts, chains, strict=True))[1:]
    )
    assert identifier.identify(texts[0], DESK) is not chains[0]


def test_an_altered_token_is_never_taken_for_a_remembered_one(identifier: Identifier, keys: Keys) -> None:
    text = token(keys)
    assert identifier.identify(text, DESK)
    for altered in (text + "A", text[:-1], text.swapcase(), " " + text, "", "\ud800", "a.b.c"):
        with pytest.raises(TokenError):
            identifier.identify(altered, DESK)


def test_a_key_rotated_by_another_process_identifies_at_once(tmp_path: Path, clock: FixedClock) -> None:
    ring = KeyRing.create(tmp_path / "keys", "EdDSA", clock=clock)
    other = KeyRing.open(tmp_path / "keys", clock=clock)
    identifier = Identifier(keyring=other, issuer=ISSUER, clock=clock)
    ring.rotate(keep=3600)
    borrowed = Keys()
    borrowed.signing = ring.signing
    assert identifier.identify(token(borrowed), DESK).key == ring.signing.kid
