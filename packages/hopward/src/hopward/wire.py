"""RFC 8693 on the wire: requests and answers of the token endpoint, with the network left out."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from hopward import handover
from hopward.claims import CallDetails, details, is_agent, scope_names, scope_text
from hopward.errors import ExchangeRefusedError, TokenError
from hopward.model import Narrowing, Value
from hopward.strictjson import parse

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name, no secret
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SPIFFE_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, no secret
SELF_SIGNED_TYPE = "urn:ietf:params:oauth:token-type:self_signed"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"

AUTHENTICATION = frozenset({"client_id", "client_assertion", "client_assertion_type"})
"""The parameters a client authenticates with (RFC 7521 section 4.2)."""

_EXCHANGE = AUTHENTICATION | {
    "grant_type",
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "resource",
    "audience",
    "scope",
    "requested_token_type",
    "authorization_details",
}


class ExchangeForm(Value, frozen=True):
    """An exchange as asked for, nothing in it verified. `actor_token` is empty where none was sent.

    `subject_token_type` is the type of access tokens, or `SELF_SIGNED_TYPE`. `target` is a resource
    indicator, or `agent:NAME` where work is handed on; `call` goes with the one, `delegation` with the other.
    """

    subject_token: str
    target: str
    subject_token_type: str = ACCESS_TOKEN_TYPE
    actor_token: str = ""
    scope: tuple[str, ...] = ()
    call: CallDetails | None = None
    delegation: Narrowing | None = None

    @property
    def hands_on(self) -> bool:
        """Whether work is handed on to an agent, rather than a server called."""
        return is_agent(self.target)


class Exchanged(Value, frozen=True):
    """What a remote authority answered: the token, its life in seconds, the scope it was granted."""

    token: str
    expires_in: int
    scope: tuple[str, ...]


def fields(pairs: Iterable[tuple[str, str]], allowed: frozenset[str]) -> dict[str, str]:
    """Form parameters by name, each at most once, each with a value, and none that is not understood.

    Two targets are refused as `invalid_target` (RFC 8693 would multiply them), everything else as
    `invalid_request`. A parameter that is not honoured is refused rather than ignored.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            raise ExchangeRefusedError("A parameter is not supported here.")
        if name in found:
            error = "invalid_target" if name in ("resource", "audience") else "invalid_request"
            raise ExchangeRefusedError(f"The parameter {name} occurs twice.", error=error)
        if not value:
            raise ExchangeRefusedError(f"The parameter {name} has no value.")
        found[name] = value
    return found


def read_request(pairs: Iterable[tuple[str, str]]) -> ExchangeForm:
    """The parameters of an exchange (RFC 8693 section 2.1); raises `ExchangeRefusedError`.

    An agent is named by `audience`, the logical name of a party both sides know. A `resource` is the address
    of something that is called (RFC 8707), which no agent is here.
    """
    form = fields(pairs, _EXCHANGE)
    kind = _kind(form, "subject_token", SELF_SIGNED_TYPE)
    _kind(form, "actor_token")
    if "subject_token" not in form:
        raise ExchangeRefusedError("The subject_token is missing.")
    target = _target(form)
    issued = issued_type(target)
    if form.get("requested_token_type", issued) != issued:
        raise ExchangeRefusedError("Tokens of that type are not issued for this target.")
    text, to_agent = form.get("authorization_details", ""), is_agent(target)
    return ExchangeForm(
        subject_token=form["subject_token"],
        subject_token_type=kind,
        actor_token=form.get("actor_token", ""),
        target=target,
        scope=_scope(form),
        call=_call(text) if text and not to_agent else None,
        delegation=handover.read(text) if text and to_agent else None,
    )


def issued_type(target: str) -> str:
    """The `issued_token_type` for a target: what is handed to an agent opens nothing by itself."""
    return JWT_TYPE if is_agent(target) else ACCESS_TOKEN_TYPE


def build_request(form: ExchangeForm, assertion: str) -> dict[str, str]:
    """The form parameters of an exchange; `assertion` authenticates the client (RFC 7523 section 2.2)."""
    parameters = {
        "grant_type": TOKEN_EXCHANGE,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
        "subject_token": form.subject_token,
        "subject_token_type": form.subject_token_type,
        "requested_token_type": issued_type(form.target),
        "audience" if form.hands_on else "resource": form.target,
    }
    if form.actor_token:
        parameters |= {"actor_token": form.actor_token, "actor_token_type": ACCESS_TOKEN_TYPE}
    if form.scope:
        parameters["scope"] = scope_text(form.scope)
    if form.call:
        parameters["authorization_details"] = json.dumps(form.call.parameter(), separators=(",", ":"))
    if form.delegation:
        details = handover.asked(form.delegation)
        parameters["authorization_details"] = json.dumps(details, separators=(",", ":"))
    return parameters


def exchange_members(form: ExchangeForm) -> dict[str, Any]:
    """What the answer to an exchange says beyond a token response (RFC 8693 section 2.2.1).

    A credential also names the details granted (RFC 9396 section 7).
    """
    details = {"authorization_details": form.call.claim()} if form.call else {}
    return {"issued_token_type": ACCESS_TOKEN_TYPE, **details}


def read_response(status: int, body: bytes, form: ExchangeForm) -> Exchanged:
    """What a remote authority answered to `form`; raises `ExchangeRefusedError` unless it is a plain yes.

    `error` is the authority's own code. For an unacceptable token RFC 8693 demands `invalid_request`; the
    servers that say `invalid_grant` mean the same, and get the same. Anything that cannot be read is
    `server_error`. The scope granted must be the scope asked for.
    """
    answer = _answer(body)
    if status != 200:
        raise _refused(answer.get("error"))
    token, expires_in = answer.get("access_token"), answer.get("expires_in")
    if (
        not isinstance(token, str)
        or not token
        or type(expires_in) is not int
        or expires_in <= 0
        or str(answer.get("token_type")).lower() != "bearer"
        or answer.get("issued_token_type") not in (ACCESS_TOKEN_TYPE, JWT_TYPE)
        or answer.get("scope", scope_text(form.scope)) != scope_text(form.scope)
    ):
        raise _unreadable()
    return Exchanged(token=token, expires_in=expires_in, scope=form.scope)


def _kind(form: Mapping[str, str], name: str, *also: str) -> str:
    """The type of a token in the form; an access token may be called a JWT."""
    if (name in form) != (f"{name}_type" in form):
        raise ExchangeRefusedError(f"{name} and {name}_type go together.")
    kind = form.get(f"{name}_type", ACCESS_TOKEN_TYPE)
    if kind in (ACCESS_TOKEN_TYPE, JWT_TYPE):
        return ACCESS_TOKEN_TYPE
    if kind not in also:
        raise ExchangeRefusedError(f"The {name}_type is not supported.")
    return kind


def _target(form: Mapping[str, str]) -> str:
    targets = [form[name] for name in ("resource", "audience") if name in form]
    if len(targets) != 1:
        raise ExchangeRefusedError("An exchange has exactly one target.", error="invalid_target")
    if "resource" in form and is_agent(form["resource"]):
        raise ExchangeRefusedError("An agent is named by the audience.", error="invalid_target")
    return targets[0]


def _scope(form: Mapping[str, str]) -> tuple[str, ...]:
    try:
        return scope_names(form.get("scope", ""))
    except TokenError as error:
        raise ExchangeRefusedError(error.message, error="invalid_scope") from error


def _call(text: str) -> CallDetails:
    try:
        return details(parse(text.encode("utf-8")))
    except (ValueError, TokenError) as error:
        sentence = "The authorization_details are not one tool call."
        raise ExchangeRefusedError(sentence, error="invalid_authorization_details") from error


def _answer(body: bytes) -> dict[str, Any]:
    try:
        answer = parse(body)
    except ValueError as error:
        raise _unreadable() from error
    if not isinstance(answer, dict):
        raise _unreadable()
    return cast("dict[str, Any]", answer)


def _refused(error: object) -> ExchangeRefusedError:
    code = error if isinstance(error, str) and error else "server_error"
    code = "invalid_request" if code == "invalid_grant" else code
    return ExchangeRefusedError("The authority refused the exchange.", error=code)


def _unreadable() -> ExchangeRefusedError:
    return ExchangeRefusedError("The authority's answer cannot be used.", error="server_error")
