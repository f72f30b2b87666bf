"""`hopward.toml`: which workload each agent is, and who vouches for it."""

from pathlib import Path

import pytest

from hopward.config import read_settings
from hopward.config.problem import Table
from hopward.errors import ConfigError
from hopward.jwk import SigningKey

from .test_config import problems_of

_AGENT = """\
[agents.{name}]
owner = "ana@example.com"
purpose = "Reads"
ceiling = [{{ tools = ["desk/*"], actions = ["read"], sensitivity = "public", destinations = ["desk"] }}]
identity = {identity}

"""

GOOD = (
    """\
[authority]
issuer = "https://authority.example"

[identity.issuers.cluster]
issuer = "https://cluster.example"
algorithms = ["RS256"]
discovery = true
ca_file = "cluster.pem"
use = "from-one-place"

[identity.issuers.ci]
issuer = "https://ci.example"
algorithms = ["RS256"]
jwks_uri = "https://ci.example/jwks"
longest_seconds = 600

[identity.trust_domains."prod.example"]
algorithms = ["ES256"]
workload_api = "unix:/run/spire/agent.sock"

[identity.mtls]
listen = "127.0.0.1:8702"
url = "https://authority.example:8702"
spiffe_id = "spiffe://prod.example/authority"

[servers.desk]
url = "https://desk.example/mcp"
resource = "https://desk.example/mcp"
credential = { by = "authorization" }

"""
    + _AGENT.format(name="reader", identity='{ issuer = "cluster", subject = "system:serviceaccount:a:b" }')
    + _AGENT.format(
        name="job", identity='{ issuer = "ci", subject = "repo:a/b", claims = { environment = "prod" } }'
    )
    + _AGENT.format(name="svid", identity='{ spiffe_id = "spiffe://prod.example/agent/svid" }')
)


def test_each_agent_is_one_workload(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(GOOD, "utf-8")
    settings = read_settings(path)
    assert settings.identity.issuers["ci"].use == "once"
    assert settings.identity.trust_domains["prod.example"].use == "from-one-place"
    identity = settings.agents["job"].identity
    assert identity is not None
    assert (identity.subject, identity.claims) == ("repo:a/b", {"environment": "prod"})


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('issuer = "ci", ', "", "agents.job.identity.issuer: missing: who vouches for it"),
        ('subject = "repo:a/b", ', "", "agents.job.identity.subject: missing"),
        ('{ issuer = "ci"', '{ issuer = "cii"', "there is no [identity.issuers.cii]"),
        ("environment =", "aud =", "agents.job.identity.claims.aud: is checked anyway"),
        ('environment = "prod"', "environment = true", "agents.job.identity.claims.environment"),
        ("prod.example/agent", "test.example/agent", 'no [identity.trust_domains."test.example"]'),
        ("/agent/svid", "", "must be spiffe://TRUST-DOMAIN/PATH"),
        ("/agent/svid", "/agent/", "must be spiffe://TRUST-DOMAIN/PATH"),
        ("/agent/svid", "/agent/*", "must be spiffe://TRUST-DOMAIN/PATH"),
        ('agent/svid" }', 'agent/svid", subject = "x" }', "has no effect beside spiffe_id"),
        ("discovery = true\n", "", "identity.issuers.cluster: needs exactly one of jwks_file, jwks_uri"),
        ("discovery = true\n", "discovery = false\n", "needs exactly one of"),
        ("discovery = true\n", 'discovery = true\njwks_file = "a.json"\n', "needs exactly one of"),
        ("workload_api = ", "bundle_uri = ", 'unknown key; did you mean "bundle_url"?'),
        ('"unix:/run', '"tcp://127.0.0.1', "must be unix:PATH"),
        ('"unix:/run', '"unix:run', "must be unix:PATH"),
        ('"https://ci.example"', '"http://ci.example"', "http:// is allowed on a loopback address only"),
        ('"https://ci.example/jwks"', '"http://ci.example/jwks"', "http:// is allowed on a loopback"),
        ('"https://ci.example"', '"https://cluster.example/"', 'is the issuer of "cluster" too'),
        ("longest_seconds = 600", "longest_seconds = 90000", "must be 1 to 86400 seconds"),
        ('algorithms = ["RS256"]', "algorithms = []", "is empty, so no token could be verified"),
        ('algorithms = ["RS256"]\ndisc', "disc", "identity.issuers.cluster.algorithms: missing"),
        ('["RS256"]', '["HS256"]', "identity.issuers.cluster.algorithms[0]"),
        ('["RS256"]', '["none"]', "identity.issuers.cluster.algorithms[0]"),
        ('["ES256"]', '["EdDSA"]', "no JWT-SVID is signed with EdDSA"),
        ('"prod.example"]', '"Prod.example"]', "a trust domain is 1 to 255 of"),
        ('"unix:/run/spire/agent.sock"', '"unix:/a"\nca_file = "a.pem"', "nothing is fetched over https"),
        ("identity = { spiffe", 'key = { kty = "EC" }\nidentity = { spiffe', "stands beside identity"),
        ('use = "from-one-place"', 'use = "always"', "identity.issuers.cluster.use"),
        ('"127.0.0.1:8702"', '"8702"', "identity.mtls.listen: must be HOST:PORT"),
        ('"https://authority.example:8702"', '"http://127.0.0.1:8702"', "must begin with https://"),
        ("prod.example/authority", "prod.example", "identity.mtls.spiffe_id: must be spiffe://"),
        ("prod.example/authority", "test.example/authority", "identity.mtls.spiffe_id: needs workload_api"),
        ('workload_api = "unix:/run/spire/agent.sock"', 'bundle_file = "a.json"', "mtls.spiffe_id: needs"),
        ('spiffe_id = "spiffe://prod.example/authority"\n', "", "identity.mtls.spiffe_id: missing"),
    ],
)
def test_a_mistake_refuses_to_start_and_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    problems = problems_of(tmp_path, GOOD.replace(old, new, 1))
    assert any(told in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("identity", "first"),
    [
        ('{ issuer = "cluster", subject = "system:serviceaccount:a:b" }', "reader"),
        ('{ issuer = "ci", subject = "repo:a/b" }', "job"),
        ('{ issuer = "ci", subject = "repo:a/b", claims = { environment = "test" } }', "job"),
        ('{ spiffe_id = "spiffe://prod.example/agent/svid" }', "svid"),
    ],
)
def test_the_same_workload_cannot_be_two_agents(tmp_path: Path, identity: str, first: str) -> None:
    problems = problems_of(tmp_path, GOOD + _AGENT.format(name="twin", identity=identity))
    line = GOOD.count("\n") + 5
    told = f'is the identity of agent "{first}" too; each could speak as the other'
    assert problems == [f"hopward.toml:{line}: agents.twin.identity: {told}"]


def test_a_former_key_ends_and_is_nobody_elses(tmp_path: Path) -> None:
    new, old = SigningKey.generate("ES256").public_jwk(), SigningKey.generate("ES256").public_jwk()
    third = SigningKey.generate("ES256").public_jwk()

    def told(name: str, key: Table | None, former: Table, until: str = "2026-12-01T00:00:00Z") -> list[str]:
        text = _AGENT.format(name="keyed", identity="{}").replace("identity = {}", "")
        lines = [f"key = {inline(key)}"] if key else []
        lines += [f"former_key = {{ jwk = {inline(former)}, until = {until} }}"]
        other = _AGENT.format(name=name, identity="{}").replace("identity = {}", f"key = {inline(third)}")
        path = tmp_path / "hopward.toml"
        path.write_text(GOOD + text.rstrip() + "\n" + "\n".join(lines) + "\n\n" + other, "utf-8")
        try:
            read_settings(path)
        except ConfigError as error:
            return [problem.partition(": ")[2] for problem in error.problems]
        return []

    assert told("other", new, old) == []
    at = "agents.keyed.former_key"
    assert told("other", None, old) == [f"{at}: has no effect without key, which takes over from it"]
    assert told("other", new, new) == [f"{at}.jwk: is key itself, or has its kid"]
    assert told("other", new, old | {"kid": new["kid"]}) == [f"{at}.jwk: is key itself, or has its kid"]
    assert told("other", new, old, "2026-12-01T00:00:00") == [f"{at}.until: says no time zone; add Z for UTC"]
    (problem,) = told("other", new, third)
    assert problem == 'agents.other.key: is the key of agent "keyed" too; each could speak as the other'
    (problem,) = told("other", new, {**old, "d": "AAAA"})
    assert problem.startswith(f"{at}.jwk: is no usable public key (JWK)")
    assert told("other", new, old, "7")[0].startswith(f"{at}.until")


def inline(jwk: Table) -> str:
    return "{ " + ", ".join(f'{name} = "{value}"' for name, value in jwk.items()) + " }"
