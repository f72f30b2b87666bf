"""What is sent to a token endpoint and what comes back: RFC 8693, on-behalf-of, client credentials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from hopward.authorization_servers import AuthorizationServerSettings
from hopward.errors import ExchangeRefusedError
from hopward.strictjson import parse
from hopward.wire import (
    ACCESS_TOKEN_TYPE,
    ASSERTION_TYPE,
    JWT_TYPE,
    SPIFFE_ASSERTION_TYPE,
    TOKEN_EXCHANGE,
)

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
"""The grant that on-behalf-of is an extension of (RFC 7523 section 2.1)."""

_CODE_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """One exchange: a token of the subject for a target, with a scope. `actor_token` is empty without one."""

    subject_token: str = field(repr=False)
    target: str
    scope: tuple[str, ...]
    actor_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A token response (RFC 6749 section 5.1). `expires_in` and `scope` are None where they were not said."""

    token: str = field(repr=False)
    expires_in: int | None
    scope: tuple[str, ...] | None


def authenticated(server: AuthorizationServerSettings, client: str, assertion: str) -> dict[str, str]:
    """The parameters a client authenticates with (RFC 7521 section 4.2): a JWT of its own, or a JWT-SVID.

    The subject of an SVID is a SPIFFE ID, so no `client_id` goes with it.
    """
    if server.client_authentication == "spiffe_jwt":
        return {"client_assertion_type": SPIFFE_ASSERTION_TYPE, "client_assertion": assertion}
    return {"client_id": client, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}


def exchange_form(server: AuthorizationServerSettings, asked: Asked) -> dict[str, str]:
    """The parameters of an exchange in the server's dialect, without the client's own."""
    scope = " ".join(asked.scope)
    if server.dialect == "on-behalf-of":
        # The target is part of each scope there: api://TARGET/Files.Read.
        return {
            "grant_type": JWT_BEARER,
            "requested_token_use": "on_behalf_of",
            "assertion": asked.subject_token,
            "scope": scope,
        }
    form = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": asked.subject_token,
        "subject_token_type": ACCESS_TOKEN_TYPE,
        "requested_token_type": ACCESS_TOKEN_TYPE,
        server.target: asked.target,
        "scope": scope,
    }
    if asked.actor_token:
        form |= {"actor_token": asked.actor_token, "actor_token_type": ACCESS_TOKEN_TYPE}
    return form


def actor_form() -> dict[str, str]:
    """The parameters with which a client asks for a token that says who it is (RFC 6749 section 4.4)."""
    return {"grant_type": "client_credentials"}


def read_answer(server: AuthorizationServerSettings, status: int, body: bytes, *, exchanged: bool) -> Answer:
    """What a token endpoint answered; raises `ExchangeRefusedError` unless it is a plain yes.

    `error` is then the server's own code, `server_error` where there is none to read. A token that is not a
    bearer token is refused, as is one of another type than an access token; only on-behalf-of may leave the
    `issued_token_type` out.
    """
    answer = _object(body)
    if status != 200:
        raise _refused(answer.get("error"))
    token, expires_in, scope = (answer.get(name) for name in ("access_token", "expires_in", "scope"))
    issued = answer.get("issued_token_type")
    typed = issued in (ACCESS_TOKEN_TYPE, JWT_TYPE)
    if server.dialect == "on-behalf-of" or not exchanged:
        typed = typed or issued is None
    if (
        not isinstance(token, str)
        or not token
        or not typed
        or str(answer.get("token_type")).lower() != "bearer"
        or not (expires_in is None or (type(expires_in) is int and expires_in > 0))
        or not (scope is None or isinstance(scope, str))
    ):
        raise _unreadable()
    return Answer(token, expires_in, None if scope is None else tuple(scope.split()))


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        answer = parse(body)
    except ValueError as error:
        raise _unreadable() from error
    if not isinstance(answer, dict):
        raise _unreadable()
    return cast("dict[str, Any]", answer)


def _refused(error: object) -> ExchangeRefusedError:
    """For an unacceptable token RFC 8693 demands `invalid_request`; `invalid_grant` means the same."""
    code = error if isinstance(error, str) and error.isascii() and error.isprintable() else ""
    code = "invalid_request" if code == "invalid_grant" else code[:_CODE_LENGTH]
    told = "The authorization server refused the exchange."
    return ExchangeRefusedError(told, error=code or "server_error")


def _unreadable() -> ExchangeRefusedError:
    told = "The authorization server's answer cannot be used."
    return ExchangeRefusedError(told, error="server_error")
