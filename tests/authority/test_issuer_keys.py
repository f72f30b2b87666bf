"""The keys of issuers, fetched: from where, how often, and what an issuer's answers cannot bring about."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hopward import ConfigError
from hopward.clock import SECOND
from hopward.errors import TokenError
from hopward.keysets import AGAIN, FRESH, LONGEST
from hopward.testing.clock import NOON, FixedClock
from hopward.testing.platform import Platform
from hopward.wiring import Guard
from hopward.workloads import OIDC, SPIFFE
from hopward_authority.issuer_keys import LARGEST, IssuerKeys

from .conftest import ISSUER, MakeAuthority

NOW = NOON // SECOND
CLUSTER = "https://cluster.example"
JWKS = "https://keys.example/jwks"
METADATA = "https://cluster.example/.well-known/openid-configuration"
BUNDLE = "https://bundles.example/prod.json"
EXTRA = f"""\
[identity.issuers.cluster]
issuer = "{CLUSTER}"
algorithms = ["ES256"]
discovery = true

[identity.issuers.ci]
issuer = "https://ci.example"
algorithms = ["ES256"]
jwks_uri = "https://ci.example/keys"

[identity.trust_domains."prod.example"]
algorithms = ["ES256"]
bundle_url = "{BUNDLE}"

"""


class Web:
    """Everything that can be fetched, and what was."""

    def __init__(self) -> None:
        self.platform, self.prod = Platform(), Platform(use="jwt-svid")
        self.fetched: list[str] = []
        self.answers: dict[str, Callable[[], httpx2.Response]] = {
            METADATA: lambda: httpx2.Response(200, json={"issuer": CLUSTER, "jwks_uri": JWKS}),
            JWKS: lambda: httpx2.Response(200, json=self.platform.jwks()),
            "https://ci.example/keys": lambda: httpx2.Response(200, json=self.platform.jwks()),
            BUNDLE: lambda: httpx2.Response(200, json=self.prod.jwks()),
        }

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(0)
        self.fetched.append(str(request.url))
        assert "authorization" not in request.headers
        found = self.answers.get(str(request.url))
        return found() if found else httpx2.Response(404)


class Keys:
    """The keys of an authority's issuers, and the time."""

    def __init__(self, guard: Guard, clock: FixedClock, web: Web) -> None:
        self.guard, self.clock, self.web = guard, clock, web
        self.keys = IssuerKeys(guard, httpx2.MockTransport(web.answer))

    def token(self, **said: Any) -> str:
        claims: dict[str, Any] = {"iss": CLUSTER, "sub": "x", "aud": ISSUER}
        now = self.clock.now() // SECOND
        return self.web.platform.token(claims | {"iat": now, "exp": now + 60, "jti": "1"} | said)

    async def why(self, token: str, how: str = OIDC) -> str:
        """Why a token proves nobody, after what it takes to know was fetched."""
        await self.keys.prepare(how, token)
        with pytest.raises(TokenError) as refused:
            self.guard.workloads.authenticate(how, token, "10.0.0.1")
        return refused.value.error


KNOWN = "unknown_workload"
"""The token is genuine; only that no agent is bound to what it names."""


@pytest.fixture
def keys(make_authority: MakeAuthority) -> Keys:
    made = make_authority(extra=EXTRA)
    return Keys(made.guard, made.clock, Web())


async def test_keys_come_from_where_the_issuers_own_metadata_says(keys: Keys) -> None:
    assert await keys.why(keys.token()) == KNOWN
    assert keys.web.fetched == [METADATA, JWKS]


async def test_keys_come_from_the_configured_address(keys: Keys) -> None:
    assert await keys.why(keys.token(iss="https://ci.example")) == KNOWN
    assert keys.web.fetched == ["https://ci.example/keys"]


async def test_a_bundle_comes_from_the_configured_address(keys: Keys) -> None:
    token = keys.web.prod.token({"sub": "spiffe://prod.example/x", "aud": ISSUER, "exp": NOW + 60}, typ="JWT")
    assert await keys.why(token, SPIFFE) == KNOWN
    assert keys.web.fetched == [BUNDLE]


async def test_keys_that_are_known_are_not_fetched_again(keys: Keys) -> None:
    for _ in range(3):
        assert await keys.why(keys.token()) == KNOWN
    assert len(keys.web.fetched) == 2
    keys.clock.advance(FRESH)
    assert await keys.why(keys.token()) == KNOWN
    assert len(keys.web.fetched) == 4


async def test_a_new_key_is_fetched_when_a_token_names_it(keys: Keys) -> None:
    assert await keys.why(keys.token()) == KNOWN
    keys.web.platform.rotate("k2")
    keys.clock.advance(AGAIN)
    assert await keys.why(keys.token()) == KNOWN
    assert len(keys.web.fetched) == 4


async def test_nobody_can_make_it_fetch_by_sending_tokens(keys: Keys) -> None:
    assert await keys.why(keys.token()) == KNOWN
    keys.clock.advance(AGAIN)
    mallory = Platform("mallory")
    for kid in range(50):
        mallory.rotate(f"m{kid}")
        claims = {"iss": CLUSTER, "sub": "x", "aud": ISSUER, "iat": NOW, "exp": NOW + 60}
        assert await keys.why(mallory.token(claims)) == "unknown_key"
    assert len(keys.web.fetched) == 4, "once more, for all of them"


async def test_requests_that_wait_for_the_same_keys_wait_for_one_fetch(keys: Keys) -> None:
    tokens = [keys.token(jti=str(number)) for number in range(20)]
    assert await asyncio.gather(*map(keys.why, tokens)) == [KNOWN] * 20
    assert keys.web.fetched == [METADATA, JWKS]


async def test_a_token_of_nobody_that_is_known_fetches_nothing(keys: Keys) -> None:
    for said in ({"iss": "https://evil.example"}, {"iss": f"{CLUSTER}.evil.example"}, {"iss": None}):
        assert await keys.why(keys.token(**said)) == "wrong_issuer"
    token = Platform().token({"iss": CLUSTER}, jku="https://evil.example/keys")
    assert await keys.why(token) != KNOWN
    assert set(keys.web.fetched) <= {METADATA, JWKS}


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": CLUSTER + "/", "jwks_uri": JWKS},
        {"issuer": "https://evil.example", "jwks_uri": JWKS},
        {"jwks_uri": JWKS},
        {"issuer": CLUSTER},
        {"issuer": CLUSTER, "jwks_uri": "http://keys.example/jwks"},
        {"issuer": CLUSTER, "jwks_uri": "http://127.0.0.1/jwks"},
        {"issuer": CLUSTER, "jwks_uri": "file:///etc/passwd"},
        {"issuer": CLUSTER, "jwks_uri": ["https://keys.example/jwks"]},
        {"issuer": CLUSTER, "jwks_uri": "https://[::1/jwks"},
        [CLUSTER, JWKS],
        "text",
    ],
)
async def test_metadata_that_is_not_the_issuers_own_leads_nowhere(keys: Keys, document: Any) -> None:
    keys.web.answers[METADATA] = lambda: httpx2.Response(200, json=document)
    assert await keys.why(keys.token()) == "keys_unavailable"
    assert keys.web.fetched == [METADATA]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx2.Response(302, headers={"Location": "https://ci.example/keys"}),
        lambda: httpx2.Response(500),
        lambda: httpx2.Response(200, text="not json"),
        lambda: httpx2.Response(200, json={"keys": []}),
        lambda: httpx2.Response(200, content=b" " * (LARGEST + 1)),
    ],
)
async def test_an_answer_that_cannot_be_used_leaves_what_was_known(
    keys: Keys, answer: Callable[[], httpx2.Response], caplog: pytest.LogCaptureFixture
) -> None:
    assert await keys.why(keys.token()) == KNOWN
    keys.web.answers[JWKS] = answer
    keys.clock.advance(FRESH)
    with caplog.at_level(logging.WARNING, "hopward.authority"):
        assert await keys.why(keys.token()) == KNOWN
    assert "The keys of issuer cluster cannot be had at the moment" in caplog.text
    assert "https://ci.example/keys" not in keys.web.fetched
    keys.clock.advance(LONGEST)
    assert await keys.why(keys.token()) == "keys_unavailable"


async def test_an_issuer_that_cannot_be_reached_is_not_asked_at_once_again(keys: Keys) -> None:
    def unreachable() -> httpx2.Response:
        raise httpx2.ConnectError("no")

    assert await keys.why(keys.token()) == KNOWN
    keys.web.answers[METADATA] = unreachable
    keys.clock.advance(FRESH)
    for _ in range(5):
        assert await keys.why(keys.token()) == KNOWN
    assert keys.web.fetched.count(METADATA) == 2


async def test_a_certificate_file_that_is_missing_leaves_the_issuer_unknown(
    make_authority: MakeAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    extra = EXTRA.replace("discovery = true", 'discovery = true\nca_file = "missing.pem"')
    made = make_authority(extra=extra)
    keys = Keys(made.guard, made.clock, Web())
    assert await keys.why(keys.token()) == "keys_unavailable"
    assert "ca_file cannot be read" in caplog.text
    assert keys.web.fetched == []


async def test_a_workload_api_that_is_not_there_leaves_the_trust_domain_unknown(
    make_authority: MakeAuthority, tmp_path: Path
) -> None:
    pytest.importorskip("spiffe")
    address = f'workload_api = "unix:{tmp_path}/agent.sock"'
    made = make_authority(extra=EXTRA.replace(f'bundle_url = "{BUNDLE}"', address))
    keys = Keys(made.guard, made.clock, Web())
    token = keys.web.prod.token({"sub": "spiffe://prod.example/x", "aud": ISSUER, "exp": NOW + 60}, typ="JWT")
    assert await keys.why(token, SPIFFE) == "keys_unavailable"


def test_a_file_that_can_be_used_no_more_is_told(make_authority: MakeAuthority) -> None:
    made = make_authority()
    extra = EXTRA.replace(f'bundle_url = "{BUNDLE}"', 'bundle_file = "prod.json"')
    made.config.write_text(made.config.read_text("utf-8").replace("[proxy]", f"{extra}[proxy]"), "utf-8")
    (made.config.parent / "prod.json").write_text(json.dumps({"keys": []}), "utf-8")
    with pytest.raises(ConfigError, match=r"prod\.json cannot be used for trust domain prod\.example"):
        made.restarted()
