"""The HTTP front as an ASGI application: who may come in, and to which endpoint.

    POST, GET, DELETE  /SERVER/mcp                                       a caller's token for just this URL,
                                                                         with a proof if it is bound to a key
    GET                /.well-known/oauth-protected-resource/SERVER/mcp  public (RFC 9728)
    GET                /healthz  the process is alive                    public
    GET                /readyz   a call could be permitted now           public

Every request, public or not, must name a host of ours, and an origin of ours if it names one (DNS rebinding).
The caller's token is checked here; further it goes to a remote authority only, never to a server. How many
requests are answered at once is bounded, and so are the rows that callers nobody knows leave in the log.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from hopward import Chain, Guard, TokenError
from hopward_mcp.admission import Admission
from hopward_mcp.endpoint import ALGORITHMS, Endpoint
from hopward_mcp.headers import read
from hopward_mcp.http_sessions import principal
from hopward_mcp.jsonrpc import INTERNAL_ERROR, REFUSED, MessageError, dump, error
from hopward_mcp.readiness import Readiness
from hopward_mcp.request import Receive, Request, Send
from hopward_mcp.tally import Tally

_log = logging.getLogger(__name__)

_AUTHORIZATION = re.compile(r"([Bb]earer|[Dd][Pp]o[Pp]) +([A-Za-z0-9._~+/-]+=*)")
_WANTS_PROOF = ("unproved_token", "unbound_token")
_OF_PROOF = ("invalid_dpop_proof", "use_dpop_nonce")
HEALTH: Final = "/healthz"
READY: Final = "/readyz"
_RETRY: Final = {"retry-after": "1"}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Front:
    """Lets callers in, each to the endpoint its token is for; nobody any more once `draining` is set."""

    def __init__(self, guard: Guard, endpoints: Sequence[Endpoint]) -> None:
        proxy = guard.settings.proxy
        self.draining = False
        self.tally = Tally(guard)
        self._admission = Admission(proxy.max_requests, proxy.max_requests_per_caller)
        self.adopt(guard, endpoints)

    def adopt(self, guard: Guard, endpoints: Sequence[Endpoint]) -> None:
        """Let callers in as this guard says, to these endpoints, from now on."""
        proxy = guard.settings.proxy
        public = urlsplit(proxy.public_url.rstrip("/"))
        origin = f"{public.scheme}://{public.netloc}"
        self.most_connections = proxy.max_connections
        self.tally.guard = guard
        self._admission.most = proxy.max_requests
        self._admission.most_per_caller = proxy.max_requests_per_caller
        self._guard = guard
        self._readiness = Readiness(guard)
        self._hosts = _hosts(public.netloc, proxy.listen, proxy.allowed_hosts)
        self._origins = {entry.lower() for entry in (origin, *proxy.allowed_origins)}
        self._endpoints = {entry.path: entry for entry in endpoints}
        self._metadata = {entry.metadata_path: _metadata(guard, entry) for entry in endpoints}

    @property
    def public_routes(self) -> tuple[str, ...]:
        """Paths that answer without a token."""
        return (HEALTH, READY, *self._metadata)

    @property
    def guarded_routes(self) -> tuple[str, ...]:
        """Paths that answer only to a token for exactly them."""
        return tuple(self._endpoints)

    def too_many(self) -> None:
        """A connection too many has been turned away, by whomever."""
        self.tally.note("", "too_many_connections", "There were too many connections.")

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one ASGI scope; only HTTP is served."""
        if scope["type"] == "http":
            await self.serve(scope, Request(scope["method"], {}, receive, send))

    async def serve(self, scope: Mapping[str, Any], request: Request) -> None:
        """Serve one HTTP request, whichever way it has come."""
        try:
            request.headers = read(scope["headers"])
            await self._route(scope["path"], request)
        except MessageError as fault:
            await request.answer(400, error(None, fault.code, fault.sentence))
        except Exception:  # noqa: BLE001 - per-request boundary: whatever fails here lets nobody in
            _log.exception("a request could not be served")
            if not request.started:
                await request.answer(500, error(None, INTERNAL_ERROR, "Hopward could not serve this."))

    async def _route(self, path: str, request: Request) -> None:
        if not self._is_ours(request.headers):
            await request.answer(403, dump({"error": "This host or origin is not served here."}))
            return
        endpoint = self._endpoints.get(path)
        if endpoint is not None:
            await self._guarded(path, endpoint, request)
            return
        body = b'{"status":"ok"}' if path == HEALTH else self._metadata.get(path)
        if body is None and path != READY:
            await request.answer(404)
        elif request.method != "GET":
            await request.answer(405, headers={"allow": "GET"})
        elif body is not None:
            await request.answer(200, body)
        else:
            lacking = (*self._readiness.lacking(), *(["draining"] if self.draining else []))
            told = {"status": "not_ready", "lacking": lacking} if lacking else {"status": "ready"}
            await request.answer(503 if lacking else 200, dump(told))

    async def _guarded(self, path: str, endpoint: Endpoint, request: Request) -> None:
        if self._guard.nonce:
            request.told["dpop-nonce"] = self._guard.nonce
        authorization = request.headers.get("authorization")
        found = _AUTHORIZATION.fullmatch(authorization) if authorization is not None else None
        proved = found is not None and found[1].lower() == "dpop"
        if found is None or ("dpop" in request.headers) != proved:
            await _unauthorized(request, endpoint, "invalid_request" if authorization is not None else "")
            return
        proof = (request.headers["dpop"], request.method) if proved else None
        try:
            chain = self._guard.identify(found[2], endpoint.resource, proof, passed_on=request.passed_on)
        except TokenError as fault:
            self.tally.note(endpoint.gate.server, fault.error, fault.message)
            code = fault.error if fault.error in _OF_PROOF else "invalid_token"
            await _unauthorized(request, endpoint, code, proved=proved or fault.error in _WANTS_PROOF)
            return
        caller = (path, principal(chain))
        full = "proxy" if self.draining else self._admission.enter(caller)
        if full:
            await self._turned_away(request, endpoint, chain, alone=full == "caller")
            return
        try:
            await endpoint.serve(request, chain, found[2])
        finally:
            self._admission.leave(caller)

    async def _turned_away(self, request: Request, endpoint: Endpoint, chain: Chain, *, alone: bool) -> None:
        """429 for a caller with too many requests of its own (RFC 6585 section 4), 503 where all have."""
        sentence = "You have too many requests under way." if alone else "Too many requests are under way."
        if self.draining:
            sentence = "Hopward is being stopped."
        else:
            self.tally.note(endpoint.gate.server, "too_many_requests", sentence, chain)
        # Its body is not read, so the connection cannot be used again.
        headers = {**_RETRY, "connection": "close"}
        await request.answer(429 if alone else 503, error(None, REFUSED, sentence), headers)

    def _is_ours(self, headers: Mapping[str, str]) -> bool:
        origin = headers.get("origin")
        return headers.get("host", "").lower() in self._hosts and (
            origin is None or origin.lower() in self._origins
        )


class PassedOn:
    """The same as an application of its own, for what other workers hand over."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http":
            request = Request(scope["method"], {}, receive, send)
            request.passed_on = True
            await self._front.serve(scope, request)


async def _unauthorized(
    request: Request, endpoint: Endpoint, error_code: str, *, proved: bool = False
) -> None:
    """401 with the challenge that leads a client to the authority (RFC 6750 section 3, RFC 9449 section 7.1).

    Who has sent nothing is told of both ways in, where there are two.
    """
    code = f', error="{error_code}"' if error_code else ""
    bound = proved or endpoint.is_bound
    challenge = endpoint.challenge(f', scope="{endpoint.scope}"{code}', bound=bound)
    if not (error_code or bound):
        challenge += f', DPoP algs="{ALGORITHMS}"'
    await request.answer(401, headers={"www-authenticate": challenge})


def _hosts(public: str, listen: str, allowed: tuple[str, ...]) -> frozenset[str]:
    """The `Host` headers that mean us; every loopback name does if we listen on one."""
    host, _, port = listen.rpartition(":")
    local = [f"{name}:{port}" for name in _LOOPBACK] if host in _LOOPBACK else []
    return frozenset(entry.lower() for entry in (public, listen, *allowed, *local))


def _metadata(guard: Guard, endpoint: Endpoint) -> bytes:
    """Protected resource metadata (RFC 9728 section 2)."""
    return dump(
        {
            "resource": endpoint.resource,
            "authorization_servers": [guard.settings.authority.issuer],
            "scopes_supported": [endpoint.scope],
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": ALGORITHMS.split(),
            "dpop_bound_access_tokens_required": endpoint.is_bound,
        }
    )
