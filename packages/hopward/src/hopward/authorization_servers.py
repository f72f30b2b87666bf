"""External authorization servers as `hopward.toml` has them."""

from typing import Literal, TypeAlias

from hopward.model import Value

ForeignAlgorithm: TypeAlias = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]
"""What other issuers may sign with."""


class ActingClient(Value, frozen=True):
    """`[authorization_servers.NAME.agents.AGENT]`: the client that stands for an agent there.

    `audience` is what that server calls it in the `aud` of tokens addressed to it: its client id, unless
    given.
    """

    client_id: str
    audience: str = ""

    @property
    def addressed(self) -> str:
        """What stands in `aud` of a token for this client."""
        return self.audience or self.client_id


class AuthorizationServerSettings(Value, frozen=True):
    """`[authorization_servers.NAME]`: an external authorization server that exchanges tokens for servers.

    `dialect` is RFC 8693, or the on-behalf-of of Microsoft Entra ID. The target is named in the parameter
    `target`. With `chain = "nested"` the server writes every actor into `act`: each hop is an exchange, by
    the client under `agents`. With "signed" one client asks, and Hopward sends the chain along in a form of
    its own. Where it does not `narrow`, every token has the whole `scope` of its server. `actor` says whether
    the client itself is the actor, or proves it with an `actor_token` of its own (client credentials).

    Its tokens are JWTs with a `typ` in `token_types` (empty for none), signed with one of `algorithms` by a
    key published at `jwks_uri`. The claim `subject_claim` of a person's token is the task's subject;
    `same_claim` must be the same in every token that comes of it. `client_audience` is what a token addressed
    to `client_id` names, unless that is the id itself. Seconds: `timeout_seconds` for all there is to ask for
    one call, `longest_seconds` for the life of a token, `cache_seconds` for using one again for calls of the
    same chain, task, scope and audience.
    """

    issuer: str
    token_endpoint: str
    jwks_uri: str
    algorithms: tuple[ForeignAlgorithm, ...]
    token_types: tuple[str, ...]
    chain: Literal["nested", "signed"]
    narrows: bool
    dialect: Literal["token-exchange", "on-behalf-of"] = "token-exchange"
    target: Literal["audience", "resource"] = "audience"
    client_authentication: Literal["private_key_jwt", "spiffe_jwt"] = "private_key_jwt"
    client_id: str = ""
    client_audience: str = ""
    svid_file: str = ""
    actor: Literal["client", "token"] = "client"
    subject_claim: str = "sub"
    same_claim: str = "sub"
    timeout_seconds: int = 5
    longest_seconds: int = 300
    cache_seconds: int = 0
    agents: dict[str, ActingClient] = {}

    @property
    def signed(self) -> bool:
        """Whether what its tokens cannot say goes along in Hopward's own signed form."""
        return self.chain == "signed" or not self.narrows

    def lacking(self) -> tuple[str, ...]:
        """What this server cannot do, each as a sentence, for people to know before they rely on it."""
        told: list[str] = []
        if self.chain == "signed":
            told.append(
                "does not nest actors in act: its tokens say at most which client asked, and Hopward sends "
                "the chain along in its own signed form, which the server called has to check"
            )
        if not self.narrows:
            told.append(
                "does not narrow scope: every token opens all that is in the server's scope, and which call "
                "it is for stands only in Hopward's own signed form"
            )
        return tuple(told)
