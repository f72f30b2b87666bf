"""Where the door stands: in front of the SDK's HTTP application, and as SDK middleware on stdio.

HTTP needs a layer of its own because only there can a refusal be a 401 or 403 with a challenge (RFC 6750).
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from door import Door, GuardedCall, RefusedError, guarded_call, members
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_REQUEST
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CREDENTIAL_KEY = "dev.hopward/credential"
METADATA_PATH = "/.well-known/oauth-protected-resource/mcp"
MAX_BODY = 4_194_304


class ReceivedClaims:
    """A JSON-lines file of the claims of every credential accepted; never the token itself."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, call: GuardedCall, claims: dict[str, Any]) -> None:
        """Note what opened the door for a call."""
        at = datetime.now(UTC).isoformat()
        self._file.write(
            json.dumps({"at": at, "method": call.method, "name": call.name, "claims": claims}) + "\n"
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class StdioGate:
    """SDK middleware: refuses a call whose `_meta` has no credential for it."""

    def __init__(self, door: Door, received: ReceivedClaims) -> None:
        self._door = door
        self._received = received

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        try:
            call = guarded_call(ctx.method, ctx.params)
            if call is not None:
                token = members(members(ctx.params).get("_meta")).get(CREDENTIAL_KEY)
                self._received.add(call, self._door.admit(call, token))
        except RefusedError as refusal:
            return _stdio_refusal(ctx, refusal)
        return await call_next(ctx)


def _stdio_refusal(ctx: ServerRequestContext[Any, Any], refusal: RefusedError) -> HandlerResult:
    text = f"{refusal.error}: {refusal.why}. The call was not executed."
    if ctx.method != "tools/call":
        raise MCPError(code=INVALID_REQUEST, message=text)
    result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": True}
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        result["resultType"] = "complete"
    return result


class HttpGate:
    """ASGI layer: lets a POST to the MCP endpoint through if it has a credential for what it calls."""

    def __init__(self, app: ASGIApp, door: Door, received: ReceivedClaims) -> None:
        self._app = app
        self._door = door
        self._received = received

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == METADATA_PATH:
            await self._metadata()(scope, receive, send)
            return
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        refusal = self._check(Request(scope), body)
        if refusal is None:
            await self._app(scope, _replay(body, receive), send)
        else:
            await refusal(scope, receive, send)

    def _check(self, request: Request, body: bytes) -> Response | None:
        if len(body) > MAX_BODY:
            return JSONResponse({"error": "invalid_request", "error_description": "body too large"}, 413)
        call: GuardedCall | None = None
        try:
            message = _parse(body)
            call = guarded_call(message.get("method"), message.get("params"))
            if call is not None:
                self._received.add(call, self._door.admit(call, _bearer(request)))
        except RefusedError as refusal:
            return self._challenge(request, refusal, call)
        return None

    def _challenge(self, request: Request, refusal: RefusedError, call: GuardedCall | None) -> Response:
        parts = [f'resource_metadata="{request.url.replace(path=METADATA_PATH, query="")}"']
        if refusal.error != "invalid_token" or "authorization" in request.headers:
            parts.insert(0, f'error="{refusal.error}"')
        if call is not None:
            parts.append(f'scope="{self._door.scope(call)}"')
        return JSONResponse(
            {"error": refusal.error, "error_description": refusal.why},
            refusal.status,
            {"WWW-Authenticate": f"Bearer {', '.join(parts)}"},
        )

    def _metadata(self) -> Response:
        return JSONResponse(
            {
                "resource": self._door.resource,
                "authorization_servers": [self._door.issuer],
                "bearer_methods_supported": ["header"],
                "resource_name": "Support desk",
            }
        )


def _bearer(request: Request) -> str | None:
    values = request.headers.getlist("authorization")
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def _read(receive: Receive) -> bytes:
    """The body, or as much of it as shows that it is too large."""
    body = bytearray()
    more = True
    while more and len(body) <= MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _parse(body: bytes) -> dict[str, Any]:
    """One JSON object whose meaning no second parser can read differently. Raises `RefusedError`."""
    try:
        message: object = json.loads(body, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError("invalid_request", "the body is not one well-formed JSON-RPC message") from error
    if not isinstance(message, dict):
        raise RefusedError("invalid_request", "the body is not one JSON-RPC message")
    return cast("dict[str, Any]", message)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
