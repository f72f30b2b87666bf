"""Workload identities: which identity of a platform each agent is, and whose word for it counts.

An identity is an OIDC workload token's `iss` and `sub` (a Kubernetes service account, a GitHub Actions job,
a cloud's metadata server), or a SPIFFE ID. Issuers and trust domains are written down in `hopward.toml`; none
is ever discovered from a token.
"""

import re
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from hopward.clock import SECOND, Instant
from hopward.model import Value

SigningAlgorithm: TypeAlias = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""Signature algorithms of workload tokens (RFC 7518 section 3.1, RFC 8037); none is symmetric."""

SPIFFE_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}
)
"""Those of JWT-SVIDs (JWT-SVID section 2.1)."""

Use: TypeAlias = Literal["once", "from-one-place"]
"""How often a token is accepted: each `jti` once, or until it expires, from its first address only."""

_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_SCHEME = "spiffe://"
_LONGEST_ID = 2_048


class AgentIdentity(Value, frozen=True):
    """`identity = {...}` of an agent: the one workload that is this agent.

    Either `issuer` (a name under `[identity.issuers]`) with the `subject` its tokens name, and further
    `claims` they must carry with exactly these values; or `spiffe_id`.
    """

    issuer: str = ""
    subject: str = ""
    claims: dict[str, str] = {}
    spiffe_id: str = ""


class FormerKey(Value, frozen=True):
    """`former_key = {...}` of an agent: the key that `key` takes over from, which counts until then too."""

    jwk: dict[str, Any]
    until: datetime

    @property
    def ends_at(self) -> Instant:
        """The instant at which it counts no more."""
        return int(self.until.timestamp()) * SECOND


class IssuerSettings(Value, frozen=True):
    """`[identity.issuers.NAME]`: who issues OIDC workload tokens, and where its keys come from.

    The keys are those of `jwks_file`, of `jwks_uri`, or with `discovery` those its metadata document names
    (OpenID Connect Discovery section 4); exactly one of the three. `ca_file` holds the certificates that
    vouch for that address instead of the system's. A token is signed with one of `algorithms`, has the `typ`
    `type` (without, `JWT` or none), and lives `longest_seconds` at most.
    """

    issuer: str
    algorithms: tuple[SigningAlgorithm, ...]
    jwks_file: str = ""
    jwks_uri: str = ""
    discovery: bool = False
    ca_file: str = ""
    type: str = ""
    longest_seconds: int = 3_600
    use: Use = "once"


class TrustDomainSettings(Value, frozen=True):
    """`[identity.trust_domains."NAME"]`: a SPIFFE trust domain, and where its bundle comes from.

    `bundle_file` and `bundle_url` hold a bundle in the SPIFFE format, `workload_api` is the address of the
    Workload API (`unix:PATH`); exactly one of the three. `ca_file` is as with issuers. A JWT-SVID is signed
    with one of `algorithms`, and lives `longest_seconds` at most.
    """

    algorithms: tuple[SigningAlgorithm, ...]
    bundle_file: str = ""
    bundle_url: str = ""
    workload_api: str = ""
    ca_file: str = ""
    longest_seconds: int = 300
    use: Use = "from-one-place"


class MtlsSettings(Value, frozen=True):
    """`[identity.mtls]`: where workloads authenticate with X.509-SVIDs (RFC 8705).

    `hopward authority serve` listens there too, reached at `url`, as the workload `spiffe_id`, whose trust
    domain has a `workload_api`. Agents of that trust domain are let in.
    """

    listen: str
    url: str
    spiffe_id: str


class IdentitySettings(Value, frozen=True):
    """`[identity]`: the issuers of workload tokens and the SPIFFE trust domains whose word counts."""

    issuers: dict[str, IssuerSettings] = {}
    trust_domains: dict[str, TrustDomainSettings] = {}
    mtls: MtlsSettings | None = None


class SpiffeId(NamedTuple):
    """A SPIFFE ID: its trust domain, and its path, which begins with `/`."""

    trust_domain: str
    path: str


def spiffe_id(text: str) -> SpiffeId | None:
    """The parts of a workload's SPIFFE ID (SPIFFE-ID section 2), or None for anything that is none.

    Nothing is normalised: no port, user, query, fragment, percent escape, empty or relative segment, no
    capitals in the trust domain; and there is a path, since without one it names the domain itself.
    """
    if len(text) > _LONGEST_ID or not text.startswith(_SCHEME):
        return None
    domain, slash, path = text[len(_SCHEME) :].partition("/")
    if not slash or not is_trust_domain(domain):
        return None
    for segment in path.split("/"):
        if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
            return None
    return SpiffeId(domain, "/" + path)


def is_trust_domain(name: str) -> bool:
    """Whether this is the name of a trust domain (SPIFFE-ID section 2.1)."""
    return _DOMAIN.fullmatch(name) is not None
