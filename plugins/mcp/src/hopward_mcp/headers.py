"""HTTP headers of a caller: read without ambiguity, compared with the body, and the few that go upstream."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import cast

from hopward_mcp.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Body,
    Message,
    MessageError,
)
from hopward_mcp.methods import NAME_PARAMS, VERSION_KEY

HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022

LEGACY_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSIONS = ("2026-07-28",)

SESSION = "mcp-session-id"
VERSION = "mcp-protocol-version"
METHOD = "mcp-method"
NAME = "mcp-name"
_PARAM = "mcp-param-"

_ONCE = frozenset(
    {
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "dpop",
        "host",
        "last-event-id",
        "origin",
        "transfer-encoding",
    }
)
_TRACE = ("traceparent", "tracestate", "baggage")
_PASSED = ("accept", "last-event-id", *_TRACE, VERSION)

_SENTINEL = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?")
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def read(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; raises `MessageError` where one that means something here comes twice."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key = name.decode("latin-1").lower()
        if key in headers and (key in _ONCE or key.startswith("mcp-")):
            raise MessageError(INVALID_REQUEST, "duplicate_header", f"The header {key} may come only once.")
        headers[key] = value.decode("latin-1").strip(" \t")
    return headers


def is_modern(headers: Mapping[str, str]) -> bool:
    """Whether the caller speaks 2026-07-28: stateless, headers repeat the body."""
    return headers.get(VERSION) in MODERN_VERSIONS


def agree(message: Message, headers: Mapping[str, str]) -> None:
    """Check the headers against the body (2026-07-28, Streamable HTTP); raises `MessageError`.

    Headers that repeat the body must agree with it in every era; in the modern era requests must carry them.
    """
    version = headers.get(VERSION)
    if version is not None and version not in LEGACY_VERSIONS + MODERN_VERSIONS:
        # As `server/discover` says it: what may stand here. Older versions are agreed on by `initialize`.
        data: Body = {"supported": [*MODERN_VERSIONS], "requested": version[:40]}
        sentence = "This protocol version is not supported."
        raise MessageError(UNSUPPORTED_VERSION, "version", sentence, message.id, data)
    if message.kind != "request":
        if METHOD in headers and headers[METHOD] != message.method:
            raise _mismatch(message, METHOD)
        return
    required = version in MODERN_VERSIONS
    in_body = message.params.get("_meta", {}).get(VERSION_KEY)
    if required and in_body is None:
        sentence = f"The member {VERSION_KEY} of _meta is missing."
        raise MessageError(INVALID_PARAMS, "no_version", sentence, message.id)
    if in_body is not None and in_body != version:
        raise _mismatch(message, VERSION)
    if (required or METHOD in headers) and headers.get(METHOD) != message.method:
        raise _mismatch(message, METHOD)
    param = NAME_PARAMS.get(message.method)
    if param is not None and (required or NAME in headers):
        name = message.params.get(param)
        if name is not None and decoded(headers.get(NAME)) != name:
            raise _mismatch(message, NAME)
    if required:
        _check_parameters(message, headers)


def _check_parameters(message: Message, headers: Mapping[str, str]) -> None:
    """A parameter header must repeat some argument: whether the right one, only the server can tell."""
    named = {key: value for key, value in headers.items() if key.startswith(_PARAM)}
    if not named:
        return
    texts: set[str] = set()
    numbers: set[Decimal] = set()
    for argument in _scalars(message.params.get("arguments")):
        if isinstance(argument, bool):
            texts.add("true" if argument else "false")
        elif isinstance(argument, int | float):
            numbers.add(Decimal(repr(argument)))
        elif isinstance(argument, str):
            texts.add(argument)
    for key, value in named.items():
        text = decoded(value) if value.isascii() else None
        is_number = text is not None and _NUMBER.fullmatch(text) is not None
        if text is None or not (text in texts or (is_number and Decimal(text) in numbers)):
            raise _mismatch(message, key)


def _scalars(value: object) -> Iterator[object]:
    """The values of objects, however deep; what is in lists cannot be in a header."""
    if isinstance(value, dict):
        for inner in cast("Body", value).values():
            yield from _scalars(inner)
    elif not isinstance(value, list):
        yield value


def upstream(message: Message, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that go to the server with a message; what repeats the body is made from the body."""
    passed = passed_on(headers)
    passed["content-type"] = "application/json"
    # A version that we do not know is the server's to refuse, not its headers.
    if not is_modern(headers) and VERSION_KEY not in message.params.get("_meta", {}):
        return passed
    passed[METHOD] = message.method
    param = NAME_PARAMS.get(message.method)
    name = message.params.get(param) if param is not None else None
    if isinstance(name, str):
        passed[NAME] = encoded(name)
    if message.kind == "request":
        passed |= {key: value for key, value in headers.items() if key.startswith(_PARAM)}
    return passed


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """The caller's headers that go to the server with any request. Never its token, never a cookie."""
    passed = {key: headers[key] for key in _PASSED if headers.get(key, "").isascii() and key in headers}
    passed.setdefault("accept", "application/json, text/event-stream")
    return passed


def traced(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the caller's headers that say what its request is a part of (W3C Trace Context, Baggage)."""
    return {key: headers[key] for key in _TRACE if key in headers and headers[key].isascii()}


def status_of(code: int, *, modern: bool) -> int:
    """The HTTP status of an answer of ours with this JSON-RPC error code, 0 for none."""
    if code in (PARSE_ERROR, INVALID_REQUEST, HEADER_MISMATCH, UNSUPPORTED_VERSION):
        return 400
    return {INVALID_PARAMS: 400, METHOD_NOT_FOUND: 404}.get(code, 200) if modern else 200


def encoded(value: str) -> str:
    """A header value; wrapped in the base64 sentinel unless it is plain printable ASCII."""
    if _PLAIN.fullmatch(value) and not _SENTINEL.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode('ascii')}?="


def decoded(value: str | None) -> str | None:
    """What a header value stands for; None for a broken or non-canonical sentinel."""
    found = _SENTINEL.fullmatch(value) if value is not None else None
    if found is None:
        return value
    try:
        content = base64.b64decode(found[1], validate=True)
        text = content.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return text if base64.b64encode(content).decode("ascii") == found[1] else None


def _mismatch(message: Message, header: str) -> MessageError:
    sentence = f"The header {header} is missing or does not agree with the body."
    return MessageError(HEADER_MISMATCH, "header_mismatch", sentence, message.id)
