"""An authorization request (RFC 6749 section 4.1.1), and what redeems its code, with the network left out.

PKCE with S256 is demanded of every client (RFC 7636, RFC 9700 section 2.1.1), and so is exactly one
`resource` (RFC 8707): an access token opens one endpoint of the proxy.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from hmac import compare_digest
from urllib.parse import urlencode

from hopward.base64url import encode
from hopward.claims import scope_names
from hopward.errors import ExchangeRefusedError, TokenError
from hopward.login import LoginClient
from hopward.model import Value
from hopward.redirection import redirect_fits

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_VISIBLE = re.compile(r"[\x20-\x7E]{1,2000}")


class AuthorizationRequest(Value, frozen=True):
    """What a client asks a person for, well formed; whether it may have it, is another question.

    `scope` are names as in a token's scope, those that are none left out; empty for all there is. `state` is
    the client's own, returned as it came.
    """

    client: LoginClient
    redirect_uri: str
    resource: str
    challenge: str
    scope: tuple[str, ...] = ()
    state: str = ""


def once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Parameters by name, those without a value left out (RFC 6749 section 3.1).

    Raises `ExchangeRefusedError` for one that occurs twice: `invalid_target` for `resource`.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            error = "invalid_target" if name == "resource" else "invalid_request"
            raise ExchangeRefusedError(f"The parameter {name[:40]} occurs twice.", error=error)
        found[name] = value
    return {name: value for name, value in found.items() if value}


def redirect_of(parameters: Mapping[str, str], client: LoginClient) -> str:
    """Where the client wants the person sent back to; raises `ExchangeRefusedError` unless it may.

    Nobody is sent anywhere then, not even with the error (RFC 6749 section 4.1.2.1).
    """
    asked = parameters.get("redirect_uri", "")
    if not redirect_fits(asked, client.redirect_uris):
        raise ExchangeRefusedError("The redirect_uri is not one that this client has registered.")
    return asked


def read_authorization(parameters: Mapping[str, str], client: LoginClient) -> AuthorizationRequest:
    """A request of this client; raises `ExchangeRefusedError` with the OAuth error code.

    What is not known is ignored (RFC 6749 section 3.1), but not what would change the meaning of the rest.
    """
    redirect = redirect_of(parameters, client)
    if not parameters.keys().isdisjoint(("request", "request_uri")):
        raise ExchangeRefusedError("Request objects are not supported.", error="request_not_supported")
    if parameters.get("response_type") != "code":
        told = "The response_type must be code."
        raise ExchangeRefusedError(told, error="unsupported_response_type")
    if parameters.get("response_mode", "query") != "query":
        raise ExchangeRefusedError("The response_mode must be query.")
    if parameters.get("code_challenge_method") != "S256":
        raise ExchangeRefusedError("PKCE is required, with the code_challenge_method S256.")
    challenge, state = parameters.get("code_challenge", ""), parameters.get("state", "")
    if not _CHALLENGE.fullmatch(challenge):
        raise ExchangeRefusedError("The code_challenge is not one of S256.")
    if state and not _VISIBLE.fullmatch(state):
        raise ExchangeRefusedError("The state is too long, or not printable.")
    if "resource" not in parameters:
        raise ExchangeRefusedError("The resource is missing.", error="invalid_target")
    return AuthorizationRequest(
        client=client,
        redirect_uri=redirect,
        resource=parameters["resource"],
        challenge=challenge,
        scope=asked_scope(parameters.get("scope", "")),
        state=state,
    )


def asked_scope(text: str) -> tuple[str, ...]:
    """The names in a `scope`; raises `ExchangeRefusedError` unless it is well spelled."""
    try:
        return scope_names(text)
    except TokenError as error:
        raise ExchangeRefusedError(error.message, error="invalid_scope") from error


def verifies(verifier: str, challenge: str) -> bool:
    """Whether a `code_verifier` is the one that a challenge was made of (RFC 7636 section 4.6)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    return compare_digest(encode(sha256(verifier.encode("ascii")).digest()), challenge)


def authorization_response(redirect_uri: str, state: str, issuer: str, **answer: str) -> str:
    """The address that a person is sent back to, which names who answers in `iss` (RFC 9207 section 2)."""
    told = {name: value for name, value in {**answer, "state": state}.items() if value}
    joint = "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{joint}{urlencode({**told, 'iss': issuer})}"
