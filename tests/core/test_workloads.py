"""Agents that authenticate as workloads: who is known by which token, and every trick that is refused."""

import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hopward.base64url import decode, encode
from hopward.clock import SECOND
from hopward.errors import ConfigError, TokenError
from hopward.keysets import AGAIN, FRESH, LONGEST
from hopward.testing.clock import NOON
from hopward.testing.installation import ISSUER, an_installation
from hopward.testing.platform import Platform
from hopward.testing.trust_domain import HOUR, TrustDomain
from hopward.workload import (
    AgentIdentity,
    IdentitySettings,
    IssuerSettings,
    MtlsSettings,
    TrustDomainSettings,
)
from hopward.workloads import OIDC, SPIFFE, Workloads

NOW = NOON // SECOND
CLUSTER = "https://cluster.example"
SERVICE_ACCOUNT = "system:serviceaccount:desk:helper"
SVID = "spiffe://prod.example/agent/helper"
IDENTITIES = {
    "helper": AgentIdentity(issuer="cluster", subject=SERVICE_ACCOUNT),
    "other": AgentIdentity(issuer="ci", subject="repo:desk/other", claims={"environment": "prod"}),
    "third": AgentIdentity(spiffe_id=SVID),
}
IDENTITY = IdentitySettings(
    issuers={
        "cluster": IssuerSettings(issuer=CLUSTER, algorithms=("ES256",), jwks_file="cluster.json"),
        "ci": IssuerSettings(
            issuer="https://ci.example", algorithms=("RS256",), jwks_file="ci.json", longest_seconds=600
        ),
    },
    trust_domains={
        "prod.example": TrustDomainSettings(algorithms=("ES256",), bundle_file="prod.json"),
        "test.example": TrustDomainSettings(algorithms=("ES256",), bundle_file="test.json"),
    },
)


class World:
    """Two issuers and two trust domains, and an authority to which all of them are known."""

    def __init__(self, folder: Path) -> None:
        self.place = an_installation(folder, tuple(IDENTITIES))
        self.cluster, self.ci = Platform(), Platform(algorithm="RS256")
        self.prod, self.test = Platform(use="jwt-svid"), Platform(use="jwt-svid")
        self.write()
        self.workloads = self.opened()
        self.workloads.read_files()

    def write(self) -> None:
        """Publish the keys of all of them, as they are now."""
        for name in ("cluster", "ci", "prod", "test"):
            path = self.place.settings.root / f"{name}.json"
            path.write_text(json.dumps(getattr(self, name).jwks()), "utf-8")

    def opened(self, **changes: Any) -> Workloads:
        """What a new process knows."""
        settings = self.place.settings
        agents = {
            name: msgspec.structs.replace(agent, key={}, identity=IDENTITIES[name])
            for name, agent in settings.agents.items()
        }
        identity = msgspec.structs.replace(IDENTITY, **changes)
        known = msgspec.structs.replace(settings, agents=agents, identity=identity)
        return Workloads(known, self.place.ledger, self.place.clock)

    def oidc(
        self, platform: Platform | None = None, header: dict[str, Any] | None = None, **said: Any
    ) -> str:
        """A service account's token from the cluster; `said` changes its claims."""
        claims = {
            "iss": CLUSTER,
            "sub": SERVICE_ACCOUNT,
            "aud": [ISSUER],
            "iat": NOW,
            "exp": NOW + 600,
            "jti": "j1",
        }
        return (platform or self.cluster).token(claims | said, **(header or {}))

    def svid(
        self, platform: Platform | None = None, header: dict[str, Any] | None = None, **said: Any
    ) -> str:
        """A JWT-SVID from the trust domain of production; `said` changes its claims."""
        claims = {"sub": SVID, "aud": [ISSUER], "iat": NOW, "exp": NOW + 60}
        return (platform or self.prod).token(claims | said, **({"typ": "JWT"} | (header or {})))

    def known(self, token: str, how: str = OIDC, place: str = "10.0.0.1") -> str:
        """The agent that a token proves."""
        return self.workloads.authenticate(how, token, place).agent

    def why(self, token: str, how: str = OIDC, place: str = "10.0.0.1") -> str:
        """Why a token proves nobody."""
        with pytest.raises(TokenError) as refused:
            self.known(token, how, place)
        return refused.value.error


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_service_account_is_the_agent_bound_to_it(world: World) -> None:
    assert world.known(world.oidc()) == "helper"
    assert world.known(world.oidc(aud=ISSUER, jti="j2")) == "helper"


def test_a_job_of_a_repository_is_the_agent_bound_to_it_with_all_the_claims_demanded(world: World) -> None:
    job = {"iss": "https://ci.example", "sub": "repo:desk/other", "environment": "prod"}
    assert world.known(world.oidc(world.ci, {"typ": "JWT", "x5t": "abc"}, **job)) == "other"
    assert world.why(world.oidc(world.ci, **(job | {"environment": "staging", "jti": "j2"}))) == "bad_claim"
    assert world.why(world.oidc(world.ci, **(job | {"environment": None, "jti": "j2"}))) == "bad_claim"
    assert world.why(world.oidc(world.ci, **(job | {"environment": ["prod"], "jti": "j2"}))) == "bad_claim"


def test_a_svid_is_the_agent_bound_to_its_spiffe_id(world: World) -> None:
    for typ in (None, "JWT", "JOSE"):
        assert world.known(world.svid(header={"typ": typ}), SPIFFE) == "third"


@pytest.mark.parametrize(
    "aud",
    [
        None,
        [],
        "https://elsewhere.example",
        [ISSUER, "https://elsewhere.example"],
        [ISSUER, ISSUER],
        ISSUER + "/",
        ISSUER + "/token",
        [ISSUER.upper()],
        [[ISSUER]],
        {"aud": ISSUER},
        7,
    ],
)
def test_a_token_is_for_this_authority_and_for_nobody_else(world: World, aud: Any) -> None:
    assert world.why(world.oidc(aud=aud)) in ("wrong_audience", "bad_claim")
    assert world.why(world.svid(aud=aud), SPIFFE) in ("wrong_audience", "bad_claim")


@pytest.mark.parametrize(
    "sub",
    [
        "spiffe://prod.example/agent/helper/",
        "spiffe://prod.example/agent/helper/x",
        "spiffe://prod.example/agent/help",
        "spiffe://prod.example/agent",
        "spiffe://prod.example/agent/./helper",
        "spiffe://prod.example/agent/x/../helper",
        "spiffe://prod.example//agent/helper",
        "spiffe://prod.example/agent%2Fhelper",
        "spiffe://prod.example/Agent/helper",
        "spiffe://prod.example:443/agent/helper",
        "spiffe://user@prod.example/agent/helper",
        "spiffe://prod.example/agent/helper?x=1",
        "spiffe://prod.example/agent/helper#x",
        "spiffe://PROD.example/agent/helper",
        "SPIFFE://prod.example/agent/helper",
        "spiffe://prod.example.evil.example/agent/helper",
        "spiffe://evil.example/prod.example/agent/helper",
        "https://prod.example/agent/helper",
        "/agent/helper",
        "agent/helper",
        "",
        None,
        ["spiffe://prod.example/agent/helper"],
    ],
)
def test_only_exactly_the_spiffe_id_is_the_agent(world: World, sub: Any) -> None:
    """Whatever the trust domain's own key signs: trust domain and path are compared as they are written."""
    why = world.why(world.svid(sub=sub), SPIFFE)
    assert why in ("wrong_issuer", "unknown_workload"), why


def test_a_federated_trust_domain_signs_for_no_workload_of_another(world: World) -> None:
    assert world.why(world.svid(world.test), SPIFFE) == "bad_signature"
    own = world.svid(world.test, sub="spiffe://test.example/agent/helper")
    assert world.why(own, SPIFFE) == "unknown_workload"


def test_no_issuer_signs_for_another(world: World) -> None:
    assert world.why(world.oidc(world.prod)) == "bad_signature"
    assert world.why(world.oidc(world.ci)) == "wrong_algorithm"
    assert world.why(world.oidc(iss="https://cluster.example/")) == "wrong_issuer"
    assert world.why(world.oidc(iss="https://evil.example")) == "wrong_issuer"
    assert world.why(world.oidc(iss="https://ci.example")) == "wrong_algorithm"
    assert world.why(world.oidc(iss=None)) == "wrong_issuer"
    assert world.why(world.oidc(iss=[CLUSTER])) == "wrong_issuer"


def test_a_workload_that_no_agent_is_bound_to_is_nobody(world: World) -> None:
    for sub in ("system:serviceaccount:desk:other", SERVICE_ACCOUNT + "x", SERVICE_ACCOUNT[:-1], "helper"):
        assert world.why(world.oidc(sub=sub)) == "unknown_workload"
    assert world.why(world.oidc(sub=SVID)) == "unknown_workload"


def test_a_token_of_one_kind_is_none_of_the_other(world: World) -> None:
    assert world.why(world.svid(iss=CLUSTER, jti="j1")) == "bad_signature"
    assert world.why(world.oidc(), SPIFFE) == "wrong_issuer"
    assert world.why(world.oidc(sub=SVID), SPIFFE) == "bad_signature"
    assert (
        world.why(world.oidc(), "urn:ietf:params:oauth:client-assertion-type:saml2-bearer") == "wrong_issuer"
    )


@pytest.mark.parametrize("typ", ["at+jwt", "client-authentication+jwt", "secevent+jwt", "JOSE", "dpop+jwt"])
def test_a_token_of_another_type_is_no_workload_token(world: World, typ: str) -> None:
    assert world.why(world.oidc(header={"typ": typ})) == "wrong_type"


@pytest.mark.parametrize("typ", ["at+jwt", "wit+jwt", "JWE", ""])
def test_a_token_of_another_type_is_no_svid(world: World, typ: str) -> None:
    if typ:
        assert world.why(world.svid(header={"typ": typ}), SPIFFE) == "wrong_type"
    assert world.why(world.svid(header={"typ": 7}), SPIFFE) == "unsupported_header"


def test_the_type_that_an_issuer_is_known_by_is_demanded(world: World) -> None:
    entry = msgspec.structs.replace(IDENTITY.issuers["cluster"], type="workload+jwt")
    world.workloads = world.opened(issuers={**IDENTITY.issuers, "cluster": entry})
    world.workloads.read_files()
    assert world.why(world.oidc()) == "wrong_type"
    assert world.known(world.oidc(header={"typ": "workload+jwt"})) == "helper"


def test_no_key_comes_from_the_token(world: World) -> None:
    """`jku`, `x5u` and `jwk` lead nowhere; the key is the published one with the `kid`, or none."""
    mallory = Platform()
    (jwk,) = mallory.jwks()["keys"]
    for header in (
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": jwk},
        {"jwk": jwk, "kid": "mallory"},
        {"kid": "../../prod"},
        {"kid": "k1' OR '1'='1"},
        {"kid": ""},
        {"kid": None},
        {"kid": ["k1"]},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
    ):
        assert world.why(world.oidc(mallory, header)) in (
            "bad_signature",
            "unknown_key",
            "unsupported_header",
        )


def test_no_algorithm_is_taken_from_the_token(world: World) -> None:
    """`none`, an HMAC under the public key, and any algorithm but the issuer's (RFC 8725 section 3.1)."""
    head, body, signature = world.oidc().split(".")
    for alg in ("none", "None", "NONE", "HS256", "RS256", "ES384", "es256", "", None):
        header = {"alg": alg, "kid": "k1"}
        for forged in (signature, "", encode(bytes(64))):
            token = f"{encode(json.dumps(header).encode())}.{body}.{forged}"
            assert world.why(token) == "wrong_algorithm"
    public = json.dumps(world.cluster.jwks()["keys"][0]).encode()
    signed = encode(json.dumps({"alg": "HS256", "kid": "k1"}).encode()) + "." + body
    mac = encode(hmac.digest(public, signed.encode(), "sha256"))
    assert world.why(f"{signed}.{mac}") == "wrong_algorithm"
    assert world.why(f"{head}.{body}.{encode(bytes(64))}") == "bad_signature"
    assert world.why(f"{head}.{body}.") == "malformed"


def test_nothing_of_a_token_can_be_changed(world: World) -> None:
    head, body, signature = world.oidc().split(".")
    claims = json.loads(decode(body)) | {"sub": "repo:desk/other"}
    assert world.why(f"{head}.{encode(json.dumps(claims).encode())}.{signature}") == "bad_signature"
    doubled = decode(body)[:-1] + b', "sub": "system:serviceaccount:desk:helper"}'
    assert world.why(f"{head}.{encode(doubled)}.{signature}") in ("malformed", "wrong_issuer")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"exp": NOW}, "expired"),
        ({"exp": NOW - 1}, "expired"),
        ({"exp": None}, "bad_claim"),
        ({"exp": NOW + 60.5}, "bad_claim"),
        ({"exp": str(NOW + 60)}, "bad_claim"),
        ({"iat": NOW + 31}, "not_yet_valid"),
        ({"nbf": NOW + 31}, "not_yet_valid"),
        ({"exp": NOW + 4_000}, "bad_claim"),
        ({"iat": NOW + 30, "exp": NOW + 3_620}, "bad_claim"),
    ],
)
def test_a_token_is_current_and_does_not_live_long(world: World, said: dict[str, Any], why: str) -> None:
    assert world.why(world.oidc(**said)) == why
    assert world.why(world.svid(**said), SPIFFE) == why


def test_a_svid_without_iat_lives_no_longer_than_others(world: World) -> None:
    assert world.known(world.svid(iat=None, exp=NOW + 300), SPIFFE) == "third"
    assert world.why(world.svid(iat=None, exp=NOW + 301), SPIFFE) == "bad_claim"
    assert world.why(world.oidc(iat=None)) == "bad_claim"


def test_a_token_counts_once_in_every_process(world: World) -> None:
    token = world.oidc()
    assert world.known(token) == "helper"
    assert world.why(token) == "replayed"
    assert world.why(world.oidc(exp=NOW + 601)) == "replayed", "the same jti"
    world.workloads = world.opened()
    world.workloads.read_files()
    assert world.why(token) == "replayed"
    assert world.why(world.oidc(jti=None)) == "bad_claim"


def test_a_refused_token_is_not_used_up(world: World) -> None:
    assert world.why(world.oidc(aud="https://elsewhere.example")) == "wrong_audience"
    assert world.known(world.oidc()) == "helper"


def test_a_token_of_two_issuers_may_have_the_same_jti(world: World) -> None:
    job = {"iss": "https://ci.example", "sub": "repo:desk/other", "environment": "prod"}
    assert world.known(world.oidc()) == "helper"
    assert world.known(world.oidc(world.ci, **job)) == "other"


def test_a_svid_is_good_again_and_again_from_one_place_only(world: World) -> None:
    """A Workload API hands out the same SVID until half of its life is over."""
    token = world.svid()
    assert [world.known(token, SPIFFE) for _ in range(3)] == ["third"] * 3
    assert world.why(token, SPIFFE, "10.0.0.2") == "seen_twice"
    assert world.why(token, SPIFFE, "10.0.0.2") == "seen_twice", "not even the second time"
    assert world.why(token, SPIFFE) == "seen_twice", "nobody knows who of the two is the agent"
    assert world.known(world.svid(exp=NOW + 61), SPIFFE) == "third", "a fresh one is good"


def test_another_signature_does_not_make_another_token(world: World) -> None:
    """An ECDSA signature can be turned into another that is as good."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    token = world.svid()
    signed, _, signature = token.rpartition(".")
    r, s = decode(signature)[:32], int.from_bytes(decode(signature)[32:], "big")
    turned = f"{signed}.{encode(r + (order - s).to_bytes(32, 'big'))}"
    assert world.known(token, SPIFFE) == "third"
    assert world.why(turned, SPIFFE, "10.0.0.2") == "seen_twice"


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b", "a.b.c.d", "é.é.é", "{}", "e30.e30.e30", "." * 99, "e30.W10.e30", "x" * 70_000],
)
@pytest.mark.parametrize("how", [OIDC, SPIFFE])
def test_what_is_no_token_is_refused(world: World, token: str, how: str) -> None:
    assert world.workloads.source(how, token) is None
    assert world.why(token, how) == "wrong_issuer"


def test_a_new_key_in_the_file_is_read_when_a_token_names_it(world: World) -> None:
    world.cluster.rotate("k2")
    world.write()
    token = world.oidc()
    world.place.clock.advance(AGAIN)
    assert world.why(token) == "unknown_key"
    assert world.workloads.wanting(OIDC, token) is None
    assert world.known(token) == "helper"


def test_a_withdrawn_key_stops_counting_within_five_minutes(world: World) -> None:
    old = world.oidc(exp=NOW + 3_000)
    world.cluster.rotate("k2")
    world.cluster.withdraw("k1")
    world.write()
    world.place.clock.advance(FRESH)
    assert world.workloads.wanting(OIDC, old) is None
    assert world.why(old) == "unknown_key"


def test_a_file_that_can_be_used_no_more_counts_for_an_hour(world: World) -> None:
    (world.place.settings.root / "cluster.json").write_text("{}", "utf-8")
    token = world.oidc(exp=NOW + 3_000)
    world.place.clock.advance(FRESH)
    with pytest.raises(ConfigError, match=r"cluster\.json cannot be used for issuer cluster"):
        world.workloads.wanting(OIDC, token)
    assert world.known(token) == "helper"
    world.place.clock.advance(LONGEST)
    assert world.why(world.oidc(iat=NOW + 3_900, exp=NOW + 4_000)) == "keys_unavailable"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("not json", "utf-8"),
        lambda path: path.write_text('{"keys": []}', "utf-8"),
        lambda path: path.chmod(0o666),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_refuses_to_start(
    world: World, spoil: Callable[[Path], object]
) -> None:
    spoil(world.place.settings.root / "prod.json")
    with pytest.raises(ConfigError, match=r"prod\.json"):
        world.opened().read_files()


def test_only_keys_for_svids_verify_svids(world: World) -> None:
    """A bundle holds the keys of certificates too, and an issuer's keys are for other tokens."""
    for use in ("x509-svid", "sig", "enc"):
        (jwk,) = world.prod.jwks()["keys"]
        (other,) = Platform("k9", use="jwt-svid").jwks()["keys"]
        document = {"keys": [jwk | {"use": use}, other]}
        (world.place.settings.root / "prod.json").write_text(json.dumps(document), "utf-8")
        world.workloads = world.opened()
        world.workloads.read_files()
        assert world.why(world.svid(), SPIFFE) == "unknown_key"


def test_a_token_before_any_key_is_known_is_refused(world: World) -> None:
    world.workloads = world.opened()
    assert world.why(world.oidc()) == "keys_unavailable"


def test_a_certificate_is_the_agent_bound_to_its_spiffe_id(world: World) -> None:
    now = datetime.fromtimestamp(NOW, UTC)
    domain, ends = TrustDomain(now), now + HOUR

    def known(name: str, client_id: str, **times: Any) -> str:
        try:
            der, _, _ = domain.svid(name, **times)
            proven = world.workloads.authenticate_svid(der, client_id)
        except TokenError as error:
            return error.error
        assert proven.until == int(ends.timestamp()) * SECOND
        return proven.agent

    assert known(SVID, SVID) == "wrong_issuer", "without [identity.mtls]"
    mtls = MtlsSettings(listen="", url="", spiffe_id="spiffe://prod.example/authority")
    world.workloads = world.opened(mtls=mtls)
    assert known(SVID, SVID) == "third"
    assert known(SVID, SVID) == "third", "again and again"
    for client_id in ("", "third", f"{SVID}/", "spiffe://prod.example/agent/other"):
        assert known(SVID, client_id) == "bad_claim"
    other = "spiffe://prod.example/agent/other"
    assert known(other, other) == "unknown_workload"
    strange = "spiffe://test.example/agent/helper"
    assert known(strange, strange) == "wrong_issuer"
    world.place.clock.set(int(ends.timestamp()) * SECOND)
    assert known(SVID, SVID) == "expired"
