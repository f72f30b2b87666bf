"""Client authentication by private_key_jwt: the owner of the key, the sole audience, once."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest

from hopward.assertion import ClientAuthenticator, client_assertion
from hopward.clock import SECOND, Instant
from hopward.errors import TokenError
from hopward.issuer import Issuer
from hopward.jose import sign
from hopward.jwk import SigningKey
from hopward.testing.clock import NOON
from hopward.testing.installation import ISSUER, Installation, an_installation
from hopward.workload import FormerKey

NOW = NOON // SECOND


def never(_kid: str) -> bool:
    return False


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    return an_installation(tmp_path)


@pytest.fixture
def clients(place: Installation) -> ClientAuthenticator:
    return ClientAuthenticator(place.issuer, place.ledger.seen_once, never)


def assertion(
    place: Installation, key: str = "helper", typ: str = "client-authentication+jwt", **changes: Any
) -> str:
    content: dict[str, Any] = {
        "iss": "helper",
        "sub": "helper",
        "aud": ISSUER,
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "a1",
    }
    content = {name: value for name, value in (content | changes).items() if value is not None}
    return sign(content, place.keys[key], typ)


def refusal(clients: ClientAuthenticator, text: str) -> str:
    with pytest.raises(TokenError) as refused:
        clients.authenticate(text)
    return refused.value.error


def test_a_client_is_known_by_its_own_key(place: Installation, clients: ClientAuthenticator) -> None:
    for name, key in (
        ("helper", place.keys["helper"]),
        ("other", place.keys["other"]),
        ("hopward-proxy", place.keyring.proxy),
    ):
        text = client_assertion(name, ISSUER, key, clock=place.clock)
        assert clients.authenticate(text) == place.issuer.clients[name]


def test_an_assertion_made_with_another_library_is_good(
    place: Installation, clients: ClientAuthenticator
) -> None:
    key = place.keys["helper"]
    content = {"iss": "helper", "sub": "helper", "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": "x"}
    text = jwt.encode(content, jwt.PyJWK(key.to_jwk()), "ES256", headers={"kid": key.kid})
    assert clients.authenticate(text).id == "helper"


@pytest.mark.parametrize(
    "aud",
    [
        None,
        ISSUER + "/token",
        ISSUER + "/",
        [ISSUER],
        [ISSUER, "https://elsewhere.example"],
        "https://elsewhere.example",
        "",
    ],
)
def test_a_client_assertion_has_the_issuer_as_its_sole_audience(
    place: Installation, clients: ClientAuthenticator, aud: Any
) -> None:
    """The audience injection of draft-ietf-oauth-rfc7523bis-07."""
    assert refusal(clients, assertion(place, aud=aud)) in ("wrong_audience", "bad_claim")


def test_an_assertion_is_good_once_and_in_one_process_only(
    place: Installation, clients: ClientAuthenticator
) -> None:
    text = assertion(place)
    assert clients.authenticate(text)
    assert refusal(clients, text) == "replayed"
    again = place.restarted()
    restarted = ClientAuthenticator(again.issuer, again.ledger.seen_once, never)
    assert refusal(restarted, text) == "replayed"
    assert restarted.authenticate(assertion(place, jti="a2"))


def test_a_used_assertion_stays_used_when_it_is_signed_again(
    place: Installation, clients: ClientAuthenticator
) -> None:
    assert clients.authenticate(assertion(place))
    assert refusal(clients, assertion(place, exp=NOW + 100)) == "replayed"
    assert refusal(clients, assertion(place, typ="JWT")) == "replayed"


def test_equal_ids_of_two_clients_do_not_get_in_each_others_way(
    place: Installation, clients: ClientAuthenticator
) -> None:
    """Advisory row 55: the store of used values is namespaced by kind and client."""
    assert clients.authenticate(assertion(place)).id == "helper"
    assert clients.authenticate(assertion(place, "other", iss="other", sub="other")).id == "other"
    kinds: list[tuple[str, str]] = []

    def once(kind: str, value: str, expires_at: Instant) -> bool:
        kinds.append((kind, value))
        return expires_at == (NOW + 60) * SECOND

    assert ClientAuthenticator(place.issuer, once, never).authenticate(assertion(place))
    assert kinds == [("client_assertion", "helper a1")]


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "other"},
        {"sub": "other"},
        {"iss": "other", "sub": "other"},
        {"iss": "agent:helper", "sub": "agent:helper"},
        {"iss": ISSUER},
        {"iss": None},
        {"sub": None},
        {"jti": None},
        {"jti": 7},
        {"exp": None},
        {"iat": None},
        {"exp": NOW},
        {"exp": NOW + 301},
        {"exp": NOW + 10**9},
        {"iat": NOW + 6, "exp": NOW + 60},
        {"nbf": NOW + 6},
    ],
)
def test_an_assertion_about_another_client_or_time_is_refused(
    place: Installation, clients: ClientAuthenticator, changes: dict[str, Any]
) -> None:
    refusal(clients, assertion(place, **changes))
    assert clients.authenticate(assertion(place))


def test_an_assertion_lives_at_most_five_minutes(place: Installation, clients: ClientAuthenticator) -> None:
    assert clients.authenticate(assertion(place, exp=NOW + 300))
    place.clock.advance(60 * SECOND)
    assert refusal(clients, assertion(place, jti="a2")) == "expired"


@pytest.mark.parametrize("typ", ["at+jwt", "dpop+jwt", "", "jwt"])
def test_a_token_of_another_type_is_no_assertion(
    place: Installation, clients: ClientAuthenticator, typ: str
) -> None:
    assert refusal(clients, assertion(place, typ=typ)) in ("wrong_type", "unsupported_header")


def test_a_token_the_authority_minted_is_no_assertion(
    place: Installation, clients: ClientAuthenticator
) -> None:
    assert refusal(clients, place.issuer.agent_token("helper", place.ledger).token) == "unknown_key"
    content = {"iss": "helper", "sub": "helper", "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": "x"}
    assert refusal(clients, sign(content, place.keyring.signing, "JWT")) == "unknown_key"


def test_a_stranger_with_a_known_kid_is_still_a_stranger(
    place: Installation, clients: ClientAuthenticator
) -> None:
    stranger = SigningKey.generate("ES256")
    posing = SigningKey(place.keys["helper"].kid, "ES256", stranger.private)
    content = {"iss": "helper", "sub": "helper", "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": "x"}
    assert refusal(clients, sign(content, posing, "JWT")) == "bad_signature"
    assert refusal(clients, sign(content, stranger, "JWT")) == "unknown_key"


def test_two_clients_with_one_key_refuse_to_start(place: Installation) -> None:
    shared = place.settings.agents["helper"]
    settings = msgspec.structs.replace(place.settings, agents={"helper": shared, "other": shared})
    issuer = Issuer(settings=settings, keyring=place.keyring, clock=place.clock)
    with pytest.raises(TokenError, match="same key"):
        ClientAuthenticator(issuer, place.ledger.seen_once, never)


@pytest.mark.parametrize("text", ["", "x", "..", "a.b.c", "é.é.é", "\x00"])
def test_what_is_no_token_is_no_assertion(clients: ClientAuthenticator, text: str) -> None:
    assert refusal(clients, text) == "malformed"


def test_a_revoked_key_lets_nobody_in_and_uses_nothing_up(place: Installation) -> None:
    text, asked = assertion(place), list[str]()

    def revoked(kid: str) -> bool:
        asked.append(kid)
        return True

    assert refusal(ClientAuthenticator(place.issuer, place.ledger.seen_once, revoked), text) == "key_revoked"
    assert asked == [place.keys["helper"].kid]
    assert ClientAuthenticator(place.issuer, place.ledger.seen_once, never).authenticate(text)


def test_a_key_that_another_takes_over_from_counts_beside_it_until_it_ends(place: Installation) -> None:
    new, old, clock = SigningKey.generate("ES256"), place.keys["helper"], place.clock
    until = datetime.fromtimestamp(NOW + 3_600, UTC)
    changed = msgspec.structs.replace(
        place.settings.agents["helper"],
        key=new.public_jwk(),
        former_key=FormerKey(jwk=old.public_jwk(), until=until),
    )
    settings = msgspec.structs.replace(place.settings, agents={**place.settings.agents, "helper": changed})
    issuer = Issuer(settings=settings, keyring=place.keyring, clock=clock)
    clients = ClientAuthenticator(issuer, place.ledger.seen_once, lambda _: False)
    for key in (new, old, new):
        assert clients.authenticate(client_assertion("helper", ISSUER, key, clock=clock)).id == "helper"
    clock.set((NOW + 3_599) * SECOND)
    assert clients.authenticate(client_assertion("helper", ISSUER, old, clock=clock)).id == "helper"
    clock.set((NOW + 3_600) * SECOND)
    assert refusal(clients, client_assertion("helper", ISSUER, old, clock=clock)) == "expired"
    assert clients.authenticate(client_assertion("helper", ISSUER, new, clock=clock)).id == "helper"
