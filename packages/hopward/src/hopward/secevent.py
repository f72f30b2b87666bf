"""Security event tokens (RFC 8417) as SSF, CAEP and RISC use them: what one says, and what follows.

Whatever an event says, it can only take access away: `effect` knows no other answer.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from hopward.clock import Instant, from_seconds
from hopward.errors import TokenError
from hopward.model import Value

TYPE = "secevent+jwt"
"""The `typ` of every security event token (RFC 8417 section 2.3), pinned by SSF 1.0."""

SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
VERIFICATION = f"{SSF}verification"

Format: TypeAlias = Literal["email", "iss_sub", "opaque"]
"""Subject identifier formats (RFC 9493) that can name somebody here; those of the CAEP interop profile."""

SigningAlgorithm: TypeAlias = Literal["RS256", "PS256", "ES256", "ES384", "EdDSA"]

Effect: TypeAlias = Literal["none", "end", "block"]
"""`end`: what the subject has begun is over. `block`: and nothing new begins until a person lets it."""

_MOST_IDENTIFIERS = 16
_PARTS = ("user", "session", "application")
_LONGEST = 1_024


class EventSubjects(Value, frozen=True):
    """`[events.sources.NAME.subjects]`: whom a subject identifier of a transmitter means here.

    `email`, `iss_sub` (its `sub`; its `iss` must be the transmitter's) and `opaque` (its `id`) map to names:
    of subjects and approvers as they are known here, or `agent:NAME`. In a format of `same`, whoever is in no
    table is who has that name here.
    """

    email: dict[str, tuple[str, ...]] = {}
    iss_sub: dict[str, tuple[str, ...]] = {}
    opaque: dict[str, tuple[str, ...]] = {}
    same: tuple[Format, ...] = ()


class EventSource(Value, frozen=True):
    """`[events.sources.NAME]`: a transmitter of security events (SSF 1.0) that is listened to.

    Its tokens are from `issuer`, for `audience`, signed with a key of `jwks_file` or `jwks_uri`. It pushes
    them to `/events/NAME` (RFC 8935), with the bearer token in `push_token_file` if there is one; or they are
    polled from `poll_url` (RFC 8936). With `silent_after`, its silence of so many seconds is reported, or
    nothing new begins meanwhile (`when_silent`). At `verification_url` it is asked for a sign of life of
    stream `stream_id`. `access_token_file` is for the requests to it.
    """

    issuer: str
    audience: str
    subjects: EventSubjects
    jwks_file: str = ""
    jwks_uri: str = ""
    algorithms: tuple[SigningAlgorithm, ...] = ("RS256", "ES256")
    push_token_file: str = ""
    poll_url: str = ""
    poll_seconds: int = 30
    access_token_file: str = ""
    silent_after: int = 0
    when_silent: Literal["report", "refuse"] = "report"
    verification_url: str = ""
    stream_id: str = ""


class EventReceiver(Value, frozen=True):
    """`[events.receivers.NAME]`: who is told of revocations, quarantines and stopped agents, at `url` (RFC
    8935), in tokens for `audience`, with the bearer token in `token_file`, if there is one."""

    url: str
    audience: str
    token_file: str = ""


class EventSettings(Value, frozen=True):
    """`[events]`: whose security events are heard, and who is told of ours."""

    sources: dict[str, EventSource] = {}
    receivers: dict[str, EventReceiver] = {}

    @property
    def named(self) -> frozenset[str]:
        """Everyone whom an event may mean by a table."""
        subjects = (source.subjects for source in self.sources.values())
        tables = (table for one in subjects for table in (one.email, one.iss_sub, one.opaque))
        return frozenset(name for table in tables for names in table.values() for name in names)


class Identifier(NamedTuple):
    """Who is meant, in one format: the address, the `sub` of an `iss`, or the opaque id."""

    format: Format
    value: str
    issuer: str = ""


class SecurityEvent(NamedTuple):
    """One event. `type` is its URI; `subject` its `sub_id` as it stands there, None where it has none."""

    id: str
    issued_at: Instant
    type: str
    payload: Mapping[str, Any]
    subject: Mapping[str, Any] | None

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """Those of the subject that can be understood, all of the same party; none where it is of no format
        known here."""
        return tuple(_identifiers(self.subject)) if self.subject is not None else ()


def read_event(claims: Mapping[str, Any]) -> SecurityEvent:
    """The event of a token that is genuine.

    Raises `TokenError` (`bad_claim`) where it is none: SSF 1.0 wants one event, the subject in `sub_id`, and
    neither `sub` nor `exp`, so that no ID token, access token or logout token is ever taken for one.
    """
    for name in ("sub", "exp", "nbf", "nonce"):
        if name in claims:
            raise _bad(f"A security event token has no {name}.")
    events: object = claims.get("events")
    if not isinstance(events, dict) or len(cast("dict[str, object]", events)) != 1:
        raise _bad("A security event token has exactly one event.")
    ((kind, payload),) = cast("dict[str, object]", events).items()
    if not isinstance(payload, dict) or not kind or len(kind) > _LONGEST:
        raise _bad("An event is a URI with an object.")
    subject = claims.get("sub_id")
    if subject is not None and not isinstance(subject, dict):
        raise _bad("The subject of an event is an object.")
    if subject is None and kind.startswith((CAEP, RISC)):
        raise _bad("The event has no subject.")
    if len(claims["jti"]) > _LONGEST:
        raise _bad("The token's jti is too long.")
    return SecurityEvent(
        claims["jti"],
        from_seconds(claims["iat"]),
        kind,
        cast("dict[str, Any]", payload),
        cast("dict[str, Any] | None", subject),
    )


def effect(event: SecurityEvent) -> Effect:
    """What follows from an event. Nothing from one that is not known, or would widen anything."""
    name = event.type.removeprefix(CAEP)
    if name != event.type:
        return _of_caep(name, event.payload)
    name = event.type.removeprefix(RISC)
    if name == event.type:
        return "none"
    if name in _RISC_BLOCKS:
        return "block"
    return "end" if name in _RISC_ENDS else "none"


_RISC_BLOCKS = frozenset({"account-disabled", "account-purged", "identifier-changed", "identifier-recycled"})
_RISC_ENDS = frozenset(
    {
        "account-credential-change-required",
        "credential-compromise",
        "recovery-activated",
        "sessions-revoked",
    }
)


def _of_caep(name: str, payload: Mapping[str, Any]) -> Effect:
    match name:
        case "session-revoked":
            ends = True
        case "credential-change":
            ends = payload.get("change_type") != "create"
        case "assurance-level-change":
            ends = payload.get("change_direction") != "increase"
        case "device-compliance-change":
            ends = payload.get("current_status") != "compliant"
        case "risk-level-change":
            ends = payload.get("current_level") not in ("LOW", "MEDIUM")
        case _:
            ends = False
    return "end" if ends else "none"


def _identifiers(subject: Mapping[str, Any]) -> Iterator[Identifier]:
    """What is meant by a subject identifier (RFC 9493), or by a complex subject (SSF 1.0)."""
    form = subject.get("format")
    if form == "aliases":
        for one in _objects(subject.get("identifiers")):
            yield from _simple(one)
    elif form == "complex":
        for part in _PARTS:
            inner = subject.get(part)
            if isinstance(inner, dict):
                yield from _simple(cast("dict[str, Any]", inner))
                return
    else:
        yield from _simple(subject)


def _simple(subject: Mapping[str, Any]) -> Iterator[Identifier]:
    match subject.get("format"), subject:
        case "email", {"email": str(value)} if value:
            yield Identifier("email", value)
        case "iss_sub", {"iss": str(issuer), "sub": str(value)} if value:
            yield Identifier("iss_sub", value, issuer)
        case "opaque", {"id": str(value)} if value:
            yield Identifier("opaque", value)
        case _:
            return


def _objects(value: object) -> Iterable[Mapping[str, Any]]:
    entries = cast("list[object]", value)[:_MOST_IDENTIFIERS] if isinstance(value, list) else []
    return [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]


def _bad(sentence: str) -> TokenError:
    return TokenError(sentence, error="bad_claim")
