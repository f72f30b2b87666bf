"""`/SERVER/mcp`: the Streamable HTTP endpoint in front of one server, for callers already identified."""

import asyncio
from functools import partial
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from hopward import Chain, Decision, Guard
from hopward_mcp.authority import Authority
from hopward_mcp.endings import GONE
from hopward_mcp.gate import Gate
from hopward_mcp.headers import SESSION, agree, is_modern, status_of
from hopward_mcp.http_sessions import HttpSession
from hopward_mcp.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, TOO_LARGE, Message, MessageError
from hopward_mcp.older_callers import OlderCallers
from hopward_mcp.replies import step_up
from hopward_mcp.request import JSON_TYPE, GoneError, Request
from hopward_mcp.route import Reply, Route, to_nobody
from hopward_mcp.server_end import ServerEnd
from hopward_mcp.siblings import Siblings
from hopward_mcp.visit import Visit

_SCOPE_SAFE = "!#$&'()*+,-./:;<=>?@[]^_`{|}~"
"""Punctuation that stands unencoded in a scope: NQCHAR of RFC 6749 appendix A without `%`."""


_UNKNOWN_SESSION = "unknown_session"
_NO_SESSION = "There is no such session."
ALGORITHMS: Final = "ES256 EdDSA"
"""With which proofs may be signed, as a challenge lists them."""
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


class Endpoint:
    """Serves one server. `resource` is the audience of its callers' tokens."""

    def __init__(self, gate: Gate, end: ServerEnd, public_url: str, siblings: Siblings | None = None) -> None:
        base = urlsplit(public_url)
        path = f"{base.path.rstrip('/')}/{gate.server}/mcp"
        metadata = f"{base.scheme}://{base.netloc}{WELL_KNOWN}{path}"
        self.gate = gate
        self.path = path
        self.metadata_path = WELL_KNOWN + path
        self.resource = f"{public_url.rstrip('/')}/{gate.server}/mcp"
        self._metadata = f'resource_metadata="{metadata}"'
        self.scope = f"{gate.server}/*"
        self._end = end
        self._siblings = siblings
        self._retired = False
        self._older = OlderCallers(gate, end, self.serve)

    @property
    def is_bound(self) -> bool:
        """Whether nobody is let in without a token that is bound to a key."""
        return self.gate.guard.is_bound(self.resource)

    def challenge(self, told: str, *, bound: bool) -> str:
        """A `WWW-Authenticate` (RFC 6750, RFC 9728 section 5.1; RFC 9449 section 7.1 for a token that is
        `bound`, or has to be)."""
        scheme = f'DPoP algs="{ALGORITHMS}", ' if bound else "Bearer "
        return f"{scheme}{self._metadata}{told}"

    async def serve(self, request: Request, chain: Chain, token: str) -> None:
        """Answer one request of an identified caller; `token` has presented the chain."""
        try:
            # Another worker's answer ends when that worker says so.
            if not await self._handed_over(request):
                await self._serve(request, chain, token)
        except MessageError as fault:
            reply = self.gate.turn_away(fault, chain)
            await request.answer(_status(fault, modern=is_modern(request.headers)), reply.body)
        except GoneError:
            return

    def adopt(self, guard: Guard, authority: Authority | None) -> None:
        """Decide by this guard from now on, within its limits."""
        self.gate.adopt(guard, authority)
        self._end.adopt()

    def retire(self) -> None:
        """Judge nothing any more; what is under way goes on, but for streams and what waits for a person."""
        self._retired = True
        self.gate.ongoing.end_streams()
        self.gate.waiting.end()

    async def close(self) -> None:
        """End every session, and the way to the server."""
        await self._older.close()
        await self._end.close()

    async def _handed_over(self, request: Request) -> bool:
        """Whether another worker has answered the request: one in a session that is there."""
        if self._siblings is None or is_modern(request.headers):
            return False
        owner = self._siblings.owner(request.headers)
        if owner is None:
            return False
        body = await request.body(self.gate.max_bytes)
        if not await self._siblings.hand_over(owner, request, self.path, body):
            raise MessageError(INVALID_REQUEST, _UNKNOWN_SESSION, _NO_SESSION)
        return True

    async def _continued(self, request: Request, message: Message, body: bytes) -> bool:
        """Whether another worker has answered the next round of a call that waits there."""
        if self._siblings is None:
            return False
        keeper = self._siblings.keeper(message.params.get("requestState"))
        if keeper is None:
            return False
        if not await self._siblings.hand_over(keeper, request, self.path, body, message.id):
            sentence = "The process at which this call waited has ended: make the call anew."
            raise MessageError(INVALID_PARAMS, "unknown_state", sentence, message.id)
        return True

    async def _serve(self, request: Request, chain: Chain, token: str) -> None:
        with self.gate.ongoing.request():
            try:
                await self._routed(request, chain, token)
            except asyncio.CancelledError:
                await request.end()
                raise

    async def _routed(self, request: Request, chain: Chain, token: str) -> None:
        if request.method == "POST":
            await self._post(request, chain, token)
        elif request.method in ("GET", "DELETE") and not is_modern(request.headers):
            await self._on_session(request, chain, token)
        else:
            allowed = "POST" if is_modern(request.headers) else "POST, GET, DELETE"
            await request.answer(405, headers={"allow": allowed})

    async def _post(self, request: Request, chain: Chain, token: str) -> None:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE:
            await request.answer(415)
            return
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            await request.answer(415, headers={"accept-encoding": "identity"})
            return
        body = await request.body(self.gate.max_bytes)
        if self._retired:
            # Meanwhile the server has another way to it, or is gone.
            await request.answer(503, headers={"retry-after": "1"})
            return
        message = self.gate.read_client(body)
        agree(message, request.headers)
        modern = is_modern(request.headers)
        if modern and await self._continued(request, message, body):
            return
        held = None if modern else self._held(request, chain)
        if held is not None:
            with self._end.sessions.in_use(held):
                await self._in_session(request, message, chain, token, held)
        elif message.method == "initialize" and message.kind == "request" and not modern:
            attempt = partial(self._message, message, chain=chain, token=token, held=None)
            await self._older.greet(request, message, chain, token, attempt)
        else:
            await self._message(message, request, chain, token, None)

    async def _in_session(
        self, request: Request, message: Message, chain: Chain, token: str, held: HttpSession
    ) -> None:
        bridged = self._older.of(held)
        if bridged is not None:
            await bridged.post(request, message, chain, token)
        else:
            await self._message(message, request, chain, token, held)

    async def _message(
        self, message: Message, request: Request, chain: Chain, token: str, held: HttpSession | None
    ) -> None:
        """Judge a message in the era it came in, and carry it."""
        modern = is_modern(request.headers)
        session = self._end.session(message, held, modern=modern)
        visit = Visit(request, chain, token, session, held, modern)
        route = await self._judged(visit, message)
        if isinstance(route, Reply):
            await self._reply(visit, message, route)
        elif route is None:
            await request.answer(202)
        elif route.key is None:
            await self._end.carrier(visit).notify(route)
        else:
            try:
                await self._end.carrier(visit).call(route, route.key)
            finally:
                if visit.held is None:
                    # Nobody could answer what the server has asked meanwhile.
                    visit.session.endings.fail_all(GONE, to_nobody)

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
            await visit.request.answer(status_of(reply.code, modern=visit.modern), reply.body)
            return
        scope = quote(f"{decision.server}/{decision.tool}", safe=_SCOPE_SAFE)
        told = f', error="insufficient_scope", scope="{scope}"'
        challenge = self.challenge(told, bound=bool(visit.chain.bound))
        await visit.request.answer(403, step_up(message, decision), {"www-authenticate": challenge})

    def _wants_scope(self, decision: Decision) -> bool:
        """Whether it was the token's scope that was too narrow, and a token of more scope is to be had."""
        if decision.permitted or decision.verdict.reason != "outside_scope":
            return False
        wider = msgspec.structs.replace(decision.chain, scope=(self.scope,))
        return decision.tool in self.gate.guard.visible(wider, decision.server, [decision.tool])

    async def _on_session(self, request: Request, chain: Chain, token: str) -> None:
        held = self._held(request, chain)
        if held is None:
            raise MessageError(INVALID_REQUEST, "no_session", "The header Mcp-Session-Id is missing.")
        bridged = self._older.of(held)
        if request.method == "GET":
            with self._end.sessions.in_use(held):
                await self._listen(request, chain, token, held)
        elif bridged is not None:
            self._end.sessions.close(held)
            await request.answer(204)
        else:
            held.session.heard(chain)
            visit = Visit(request, chain, token, held.session, held, modern=False)
            await self._end.carrier(visit).leave(held)

    async def _listen(self, request: Request, chain: Chain, token: str, held: HttpSession) -> None:
        bridged = self._older.of(held)
        if bridged is not None:
            await bridged.listen(request, chain, token)
            return
        held.session.heard(chain)
        visit = Visit(request, chain, token, held.session, held, modern=False)
        await self._end.carrier(visit).listen()

    def _held(self, request: Request, chain: Chain) -> HttpSession | None:
        """The caller's session, None if it names none; raises `MessageError` for one that is not its own."""
        session_id = request.headers.get(SESSION)
        if session_id is None:
            return None
        held = self._end.sessions.find(session_id, chain)
        if held is None:
            raise MessageError(INVALID_REQUEST, _UNKNOWN_SESSION, _NO_SESSION)
        return held


def _status(fault: MessageError, *, modern: bool) -> int:
    """The HTTP status of a message that was turned away."""
    special = {_UNKNOWN_SESSION: 404, TOO_LARGE: 413}.get(fault.reason)
    return special if special is not None else status_of(fault.code, modern=modern)
