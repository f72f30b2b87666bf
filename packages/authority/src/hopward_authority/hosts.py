"""Whose name a request is for, and which page sent it: checked before anything else, on every route."""

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_DEFAULT_PORTS = {"http": 80, "https": 443}


class HostCheck:
    """Lets through requests for one of our own names, without a query, from no foreign web page (ASGI).

    A browser can be made to send requests to a local port (DNS rebinding); the name it believes to talk to
    gives it away. `refused` is told of every other request.
    """

    def __init__(
        self, app: ASGIApp, hosts: frozenset[str], origin: str, refused: Callable[[str, str], None]
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._origin = origin
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        sentence = self._wrong(scope)
        if sentence:
            self._refused(scope["path"], sentence)
            body = {"error": "invalid_request", "error_description": sentence}
            response = JSONResponse(
                body, 400 if scope["query_string"] else 403, {"Cache-Control": "no-store"}
            )
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _wrong(self, scope: Scope) -> str:
        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        if len(hosts) != 1 or hosts[0].decode("latin-1").lower() not in self._hosts:
            return "This host is not served here."
        origins = [value for name, value in scope["headers"] if name.lower() == b"origin"]
        if any(value.decode("latin-1") != self._origin for value in origins):
            return "Requests of other web pages are refused."
        if scope["query_string"]:
            return "Parameters belong in the body, not in the address."
        return ""


def own_hosts(issuer: str, listen: str) -> frozenset[str]:
    """The values of `Host` that mean this authority: its issuer's, and where it listens."""
    parts = urlsplit(issuer)
    hosts = {parts.netloc.lower()}
    if parts.port in (None, _DEFAULT_PORTS[parts.scheme]):
        name = parts.netloc.lower().removesuffix(f":{_DEFAULT_PORTS[parts.scheme]}")
        hosts |= {name, f"{name}:{_DEFAULT_PORTS[parts.scheme]}"}
    host, _, port = listen.lower().rpartition(":")
    hosts.add(f"{host}:{port}")
    if is_loopback(host):
        hosts |= {f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"}
    return frozenset(hosts)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
