"""`/SERVER/mcp`: the Streamable HTTP endpoint in front of one server, for callers already identified."""

import asyncio
from typing import Final
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from hopward import Chain, Decision, HopwardError
from hopward_mcp.endings import GONE
from hopward_mcp.gate import Gate
from hopward_mcp.headers import (
    HEADER_MISMATCH,
    SESSION,
    UNSUPPORTED_VERSION,
    agree,
    is_modern,
    passed_on,
)
from hopward_mcp.http_sessions import HttpSession, HttpSessions
from hopward_mcp.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Message,
    MessageError,
)
from hopward_mcp.relay import Relay
from hopward_mcp.replies import step_up
from hopward_mcp.request import JSON_TYPE, GoneError, Request
from hopward_mcp.route import Reply, Route, to_nobody
from hopward_mcp.session import Session
from hopward_mcp.upstream import Upstream
from hopward_mcp.visit import Visit

_SCOPE_SAFE = "!#$&'()*+,-./:;<=>?@[]^_`{|}~"
"""Punctuation that stands unencoded in a scope: NQCHAR of RFC 6749 appendix A without `%`."""


_UNKNOWN_SESSION = "unknown_session"
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


class Endpoint:
    """Serves one server. `resource` is the audience of its callers' tokens; `challenge` begins every
    `WWW-Authenticate` (RFC 6750, RFC 9728 section 5.1)."""

    def __init__(self, gate: Gate, upstream: Upstream, public_url: str) -> None:
        base = urlsplit(public_url)
        path = f"{base.path.rstrip('/')}/{gate.server}/mcp"
        metadata = f"{base.scheme}://{base.netloc}{WELL_KNOWN}{path}"
        self.gate = gate
        self.path = path
        self.metadata_path = WELL_KNOWN + path
        self.resource = f"{public_url.rstrip('/')}/{gate.server}/mcp"
        self.challenge = f'Bearer resource_metadata="{metadata}"'
        self.scope = f"{gate.server}/*"
        self._upstream = upstream
        self._sessions = HttpSessions(gate.now)

    async def serve(self, request: Request, chain: Chain, token: str) -> None:
        """Answer one request of an identified caller; `token` has presented the chain."""
        try:
            if request.method == "POST":
                await self._post(request, chain, token)
            elif request.method in ("GET", "DELETE") and not is_modern(request.headers):
                await self._on_session(request, chain, token)
            else:
                allowed = "POST" if is_modern(request.headers) else "POST, GET, DELETE"
                await request.answer(405, headers={"allow": allowed})
        except MessageError as fault:
            reply = self.gate.turn_away(fault, chain)
            await request.answer(_status(fault, modern=is_modern(request.headers)), reply.body)
        except GoneError:
            return

    async def close(self) -> None:
        """End every session and every connection."""
        self._sessions.close_all()
        self.gate.turn.flush()
        await self._upstream.close()

    async def _post(self, request: Request, chain: Chain, token: str) -> None:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE:
            await request.answer(415)
            return
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            await request.answer(415, headers={"accept-encoding": "identity"})
            return
        message = self.gate.read_client(await request.body(self.gate.max_bytes))
        agree(message, request.headers)
        modern = is_modern(request.headers)
        held = None if modern else self._held(request, chain)
        session = held.session if held is not None else Session(self.gate)
        visit = Visit(request, chain, token, session, held, modern)
        route = await self._judged(visit, message)
        relay = Relay(self._upstream, self._sessions, visit)
        if isinstance(route, Reply):
            await self._reply(visit, message, route)
        elif route is None:
            await request.answer(202)
        elif route.key is None:
            await relay.notify(route)
        else:
            await relay.call(route, route.key)

    async def _judged(self, visit: Visit, message: Message) -> Route:
        try:
            return await visit.from_client(message)
        except asyncio.CancelledError:
            if visit.held is None:
                # The decision may still come; then the call is not forwarded, and that is its outcome.
                visit.session.endings.fail_all(GONE, to_nobody)
            raise

    async def _reply(self, visit: Visit, message: Message, reply: Reply) -> None:
        decision = reply.decision
        if decision is None or not self._wants_scope(decision):
            await visit.request.answer(_reply_status(reply.code, modern=visit.modern), reply.body)
            return
        scope = quote(f"{decision.server}/{decision.tool}", safe=_SCOPE_SAFE)
        challenge = f'{self.challenge}, error="insufficient_scope", scope="{scope}"'
        await visit.request.answer(403, step_up(message, decision), {"www-authenticate": challenge})

    def _wants_scope(self, decision: Decision) -> bool:
        """Whether it was the token's scope that was too narrow, and a token of more scope is to be had."""
        if decision.verdict.reason != "outside_scope":
            return False
        wider = msgspec.structs.replace(decision.chain, scope=(self.scope,))
        return decision.tool in self.gate.guard.visible(wider, decision.server, [decision.tool])

    async def _on_session(self, request: Request, chain: Chain, token: str) -> None:
        held = self._held(request, chain)
        if held is None:
            raise MessageError(INVALID_REQUEST, "no_session", "The header Mcp-Session-Id is missing.")
        visit = Visit(request, chain, token, held.session, held, modern=False)
        if request.method == "GET":
            await Relay(self._upstream, self._sessions, visit).listen()
            return
        headers = {**passed_on(request.headers), SESSION: held.upstream_id}
        try:
            async with asyncio.timeout(self.gate.call_timeout):
                headers.update(await visit.introduction("DELETE"))
                response = await self._upstream.request("DELETE", headers)
        except HopwardError:
            # Whatever the chain stood on has ended, so the session ends here; the server's own goes idle.
            self._sessions.close(held)
            await request.answer(204)
            return
        except (aiohttp.ClientError, TimeoutError):
            await request.answer(502)
            return
        response.release()
        if response.status < 300 or response.status == 404:
            self._sessions.close(held)
        await request.answer(response.status if response.status in (200, 202, 204, 404, 405) else 502)

    def _held(self, request: Request, chain: Chain) -> HttpSession | None:
        """The caller's session, None if it names none; raises `MessageError` for one that is not its own."""
        session_id = request.headers.get(SESSION)
        if session_id is None:
            return None
        held = self._sessions.find(session_id, chain)
        if held is None:
            raise MessageError(INVALID_REQUEST, _UNKNOWN_SESSION, "There is no such session.")
        return held


def _status(fault: MessageError, *, modern: bool) -> int:
    """The HTTP status of a message that was turned away."""
    special = {_UNKNOWN_SESSION: 404, "too_large": 413}.get(fault.reason)
    return special if special is not None else _reply_status(fault.code, modern=modern)


def _reply_status(code: int, *, modern: bool) -> int:
    """The HTTP status of an answer of ours with this JSON-RPC error code, 0 for none."""
    if code in (PARSE_ERROR, INVALID_REQUEST, HEADER_MISMATCH, UNSUPPORTED_VERSION):
        return 400
    return {INVALID_PARAMS: 400, METHOD_NOT_FOUND: 404}.get(code, 200) if modern else 200
