"""What Hopward's own access tokens (RFC 9068) say, between JWT claims and the model's words.

An agent is `agent:ID` wherever a token names a principal (`sub`, `act`, `may_act`), so that no agent can
ever be taken for a person (RFC 9068 section 5); in the model it is its bare id. Scope tokens are
`SERVER/TOOL` or a prefix ending in `*`, percent-encoded where RFC 6749 section 3.3 allows no such character.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, TypeAlias, cast

from hopward.base64url import encode
from hopward.clock import Instant, from_seconds, to_seconds
from hopward.errors import TokenError
from hopward.model import Chain, Credential, Value

Content: TypeAlias = dict[str, Any]
"""The claims of a token as JSON."""

TYPE = "at+jwt"
"""The `typ` of every token minted here (RFC 9068 section 2.1)."""

TOOL_CALL = "hopward_tool_call"
"""The `type` of our `authorization_details` object (RFC 9396)."""

_AGENT = "agent:"
_PLAIN_SCOPE = re.compile(r"[\x21\x23\x24\x26-\x5B\x5D-\x7E]+")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
_DIGEST = re.compile(r"sha-256:[0-9a-f]{64}")
_CALL_MEMBERS = {"server", "tool", "arguments_digest"}
_HOP = re.compile(r"hop_[0-9a-f]{24}")
_LINEAGE = re.compile(r"(?:token|key):\S+")
_METHODS = ("jkt", "x5t#S256")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


class Party(Value, frozen=True):
    """A principal as another token names it: its issuer and its `sub`."""

    issuer: str
    subject: str


class Presented(Value, frozen=True):
    """A verified token in the model's words.

    `token` is its `jti`, `client` its `client_id`, `key` the `kid` that signed it. `actors` are agent ids,
    the current actor last, `hops` the ids of the hops that led there. `lineage` names what it was exchanged
    from, as in `Chain`. `bound` names the key it belongs to, as `Chain` does; empty for a bearer token.
    """

    token: str
    issuer: str
    subject: str
    audience: str
    client: str
    issued_at: Instant
    expires_at: Instant
    key: str
    actors: tuple[str, ...] = ()
    may_act: Party | None = None
    scope: tuple[str, ...] = ()
    task: str = ""
    lineage: tuple[str, ...] = ()
    hops: tuple[str, ...] = ()
    bound: str = ""

    @property
    def described(self) -> dict[str, Any]:
        """The token as an introspection response describes it (RFC 7662 section 2.2)."""
        may = {"iss": self.may_act.issuer, "sub": self.may_act.subject} if self.may_act else {}
        optional = {
            "scope": scope_text(self.scope),
            "txn": self.task,
            "act": act(self.actors) if self.actors else {},
            "may_act": may,
            "hops": list(self.hops),
            "cnf": confirmation(self.bound) if self.bound else {},
        }
        return {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": self.audience,
            "client_id": self.client,
            "iat": to_seconds(self.issued_at),
            "exp": to_seconds(self.expires_at),
            "jti": self.token,
            **{name: value for name, value in optional.items() if value},
        }

    @property
    def ancestry(self) -> tuple[str, ...]:
        """The lineage of whatever is exchanged from this token; one opened in this process has no `jti`."""
        own = [f"token:{self.token}"] if self.token else []
        return (*own, *([f"key:{self.key}"] if self.key else []), *self.lineage)

    @property
    def chain(self) -> Chain:
        """The chain that it presents."""
        return Chain(
            task=self.task,
            subject=self.subject,
            actors=self.actors,
            issued_at=self.issued_at,
            expires_at=self.expires_at,
            scope=self.scope,
            token=self.token,
            key=self.key,
            lineage=self.lineage,
            hops=self.hops,
            bound=self.bound,
        )

    @property
    def of_hop(self) -> bool:
        """Whether this is the token of a hop: what an agent was handed, before it acts with it."""
        return self.may_act is not None and bool(self.hops)

    @property
    def holders(self) -> tuple[str, ...]:
        """The clients that may end this token and ask about it: its own, and the agent that handed it on."""
        return (self.client, self.actors[-1]) if self.of_hop and self.actors else (self.client,)


class CallDetails(Value, frozen=True):
    """The one call a credential is for: our `authorization_details` object (RFC 9396 section 2).

    `arguments_digest` is `hopward.canonical.digest` of the arguments. `decision` travels in the request
    only; the token has it as a claim of its own.
    """

    server: str
    tool: str
    arguments_digest: str
    decision: str = ""

    def claim(self) -> list[dict[str, str]]:
        """The `authorization_details` claim."""
        members = {"server": self.server, "tool": self.tool, "arguments_digest": self.arguments_digest}
        return [{"type": TOOL_CALL, **members}]

    def parameter(self) -> list[dict[str, str]]:
        """The `authorization_details` request parameter."""
        return [{**self.claim()[0], **({"decision": self.decision} if self.decision else {})}]


def principal(agent: str) -> str:
    """What a token calls an agent: `agent:ID`."""
    return _AGENT + agent


def agent(subject: str) -> str:
    """The id of the agent that a `sub` names."""
    return subject.removeprefix(_AGENT)


def is_agent(subject: str) -> bool:
    """Whether a `sub` names an agent rather than a person."""
    return subject.startswith(_AGENT)


def is_login_client(client: str) -> bool:
    """Whether a `client_id` names a program that people log in with, which no agent's name can.

    `client:NAME` stands in `hopward.toml`, an https URL is that of the client's own metadata document.
    """
    return client.startswith(("client:", "https://"))


def act(actors: tuple[str, ...]) -> dict[str, Any]:
    """The nested `act` claim (RFC 8693 section 4.1) of at least one actor: the current one outermost."""
    nested: dict[str, Any] = {"sub": principal(actors[0])}
    for actor in actors[1:]:
        nested = {"sub": principal(actor), "act": nested}
    return nested


def scope_text(names: Iterable[str]) -> str:
    """Names as one `scope` claim or parameter."""
    return " ".join(_spelled(name) for name in names)


def scope_names(text: str) -> tuple[str, ...]:
    """The names of a `scope`; raises `TokenError` unless spelled as `scope_text` spells them."""
    if not text:
        return ()
    try:
        names = tuple(_name(token) for token in text.split(" "))
    except ValueError:
        names = ()
    if "" in names or scope_text(names) != text:
        raise TokenError("The scope is not well spelled.", error="bad_claim")
    return names


def details(value: object) -> CallDetails:
    """The one call an `authorization_details` value is about; raises `TokenError` for anything else."""
    entry = _only_entry(value)
    if entry.pop("type", "") != TOOL_CALL or not _CALL_MEMBERS <= entry.keys() <= {
        *_CALL_MEMBERS,
        "decision",
    }:
        raise TokenError("authorization_details is not one tool call.", error="bad_claim")
    if not _DIGEST.fullmatch(entry["arguments_digest"]):
        raise TokenError("The arguments_digest is not one.", error="bad_claim")
    return CallDetails(**entry)


def read(claims: Mapping[str, Any], kid: str) -> Presented:
    """The claims of a genuine access token, its own shape checked; raises `TokenError`."""
    return Presented(
        token=claims["jti"],
        issuer=claims["iss"],
        subject=claims["sub"],
        audience=claims["aud"],
        client=_text(claims, "client_id"),
        issued_at=from_seconds(claims["iat"]),
        expires_at=from_seconds(claims["exp"]),
        key=kid,
        actors=_actors(claims["act"]) if "act" in claims else (),
        may_act=_party(claims["may_act"]) if "may_act" in claims else None,
        scope=scope_names(_text(claims, "scope")) if "scope" in claims else (),
        task=_text(claims, "txn") if "txn" in claims else "",
        lineage=lineage(claims),
        hops=hops(claims),
        bound=_bound(claims["cnf"]) if "cnf" in claims else "",
    )


def hops(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of hops that a token names, in the order of its chain; raises `TokenError`."""
    return _hop_ids(claims["hops"]) if "hops" in claims else ()


def lineage(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The tokens and keys that a token comes from, as it names them; raises `TokenError`."""
    return _lineage(claims["lineage"]) if "lineage" in claims else ()


def write(credential: Credential, issuer: str, client: str) -> Content:
    """The claims of a token that `read` reads back: what RFC 9068 requires, and ours where there is any."""
    content: Content = {
        "iss": issuer,
        "sub": credential.subject,
        "aud": credential.audience,
        "client_id": client,
        "iat": to_seconds(credential.issued_at),
        "exp": to_seconds(credential.expires_at),
        "jti": credential.id,
    }
    if credential.scope:
        content["scope"] = credential.scope
    if credential.task:
        content["txn"] = credential.task
    if credential.actors:
        content["act"] = act(credential.actors)
    if credential.lineage:
        content["lineage"] = list(credential.lineage)
    if credential.hops:
        content["hops"] = list(credential.hops)
    if credential.bound:
        content["cnf"] = confirmation(credential.bound)
    return content


def confirmation(bound: str) -> dict[str, str]:
    """The `cnf` claim (RFC 7800) of a token that belongs to a key, named as in `Presented.bound`."""
    method, _, thumbprint = bound.partition(":")
    return {method: thumbprint}


@lru_cache(maxsize=1024)
def _spelled(name: str) -> str:
    if _PLAIN_SCOPE.fullmatch(name):
        return name
    return "".join(c if _PLAIN_SCOPE.fullmatch(c) else _escaped(c) for c in name)


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8"))


def _name(token: str) -> str:
    if "%" not in token:
        return token
    data = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), token).encode("latin-1")
    return data.decode("utf-8")


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise TokenError(f"The token's {name} is not a text.", error="bad_claim")
    return value


def _actors(value: object) -> tuple[str, ...]:
    actors: list[str] = []
    levels = [value]
    while levels:
        entry = _members(levels.pop(), "act")
        subject = entry.get("sub")
        if not entry.keys() <= {"sub", "act"} or not isinstance(subject, str) or not is_agent(subject):
            raise TokenError("The token's act does not name an agent.", error="bad_claim")
        actors.insert(0, subject.removeprefix(_AGENT))
        levels += [entry["act"]] if "act" in entry else []
    return tuple(actors)


def _party(value: object) -> Party:
    entry = _members(value, "may_act")
    issuer, subject = entry.get("iss"), entry.get("sub")
    if set(entry) != {"iss", "sub"} or not isinstance(issuer, str) or not isinstance(subject, str):
        raise TokenError("The token's may_act is not an issuer and a subject.", error="bad_claim")
    return Party(issuer=issuer, subject=subject)


def _lineage(value: object) -> tuple[str, ...]:
    entries = cast("list[object]", value) if isinstance(value, list) else [None]
    if not all(isinstance(entry, str) and _LINEAGE.fullmatch(entry) for entry in entries):
        raise TokenError("The token's lineage does not name tokens and keys.", error="bad_claim")
    return tuple(cast("list[str]", entries))


def _bound(value: object) -> str:
    """The key a token belongs to: by DPoP (RFC 9449 section 6.1) or by certificate (RFC 8705 section 3.1)."""
    entry = _members(value, "cnf")
    method, thumbprint = next(iter(entry.items()), ("", ""))
    if len(entry) != 1 or method not in _METHODS or not isinstance(thumbprint, str):
        raise TokenError("The token's cnf does not name one key.", error="bad_claim")
    if not _THUMBPRINT.fullmatch(thumbprint):
        raise TokenError("The token's cnf does not name one key.", error="bad_claim")
    return f"{method}:{thumbprint}"


def _hop_ids(value: object) -> tuple[str, ...]:
    entries = cast("list[object]", value) if isinstance(value, list) else [None]
    if not entries or not all(isinstance(entry, str) and _HOP.fullmatch(entry) for entry in entries):
        raise TokenError("The token's hops are not ids of hops.", error="bad_claim")
    return tuple(cast("list[str]", entries))


def _members(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TokenError(f"The token's {name} is not an object.", error="bad_claim")
    return cast("dict[str, object]", value)


def _only_entry(value: object) -> dict[str, str]:
    entries = cast("list[object]", value) if isinstance(value, list) else []
    if len(entries) == 1 and isinstance(entries[0], dict):
        entry = cast("dict[str, object]", entries[0])
        if all(isinstance(member, str) for member in entry.values()):
            return cast("dict[str, str]", dict(entry))
    raise TokenError("authorization_details is not one tool call.", error="bad_claim")


def token_hash(token: str) -> str:
    """The `ath` of an access token: base64url of its SHA-256 (RFC 9449 section 4.2)."""
    return encode(sha256(token.encode("utf-8", "surrogatepass")).digest())
