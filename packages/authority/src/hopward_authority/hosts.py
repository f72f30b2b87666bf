"""Whose name a request is for, and which page sent it: checked before anything else, on every route."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Site:
    """The names that something of ours is reached by, the origin of its pages, and the paths it has.

    A path ending in `/` stands for everything below it. Its `pages` are followed from links, to which chats
    and mail programs add parameters; nothing reads those, but for those of the paths that are `queried`.
    """

    hosts: frozenset[str]
    origin: str
    paths: tuple[str, ...] = ()
    pages: bool = False
    queried: tuple[str, ...] = ()

    def has(self, path: str) -> bool:
        """Whether a path is one of its own."""
        return any(path == one or (one.endswith("/") and path.startswith(one)) for one in self.paths)


class HostCheck:
    """Lets through requests for one of our own names, from no foreign web page, and no query (ASGI).

    A browser can be made to send requests to a local port (DNS rebinding); the name it believes to talk to
    gives it away. The first of `sites` that has the path says which names are ours; the last has all others.
    `refused` is told of every other request.
    """

    def __init__(self, app: ASGIApp, sites: tuple[Site, ...], refused: Callable[[str, str], None]) -> None:
        self._app = app
        self._sites = sites
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        site = next((one for one in self._sites if one.has(scope["path"])), self._sites[-1])
        queried = scope["path"] in site.queried and scope["method"] == "GET"
        if site.pages and scope["method"] in ("GET", "HEAD") and not queried:
            scope = {**scope, "query_string": b""}
        sentence = _wrong(site, scope, queried=queried)
        if sentence:
            self._refused(scope["path"], sentence)
            body = {"error": "invalid_request", "error_description": sentence}
            response = JSONResponse(
                body, 400 if scope["query_string"] else 403, {"Cache-Control": "no-store"}
            )
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _wrong(site: Site, scope: Scope, *, queried: bool) -> str:
    hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
    if len(hosts) != 1 or hosts[0].decode("latin-1").lower() not in site.hosts:
        return "This host is not served here."
    origins = [value for name, value in scope["headers"] if name.lower() == b"origin"]
    if any(value.decode("latin-1") != site.origin for value in origins):
        return "Requests of other web pages are refused."
    if scope["query_string"] and not queried:
        return "Parameters belong in the body, not in the address."
    return ""


def own_hosts(address: str, listen: str) -> frozenset[str]:
    """The values of `Host` that mean us: those of the address we are reached at, and where we listen."""
    parts = urlsplit(address)
    hosts = {parts.netloc.lower()}
    if parts.port in (None, _DEFAULT_PORTS[parts.scheme]):
        name = parts.netloc.lower().removesuffix(f":{_DEFAULT_PORTS[parts.scheme]}")
        hosts |= {name, f"{name}:{_DEFAULT_PORTS[parts.scheme]}"}
    host, _, port = listen.lower().rpartition(":")
    hosts.add(f"{host}:{port}")
    if is_loopback(host):
        hosts |= {f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"}
    return frozenset(hosts)


def own_site(address: str, listen: str, paths: tuple[str, ...] = (), queried: tuple[str, ...] = ()) -> Site:
    """The site that is reached at an address; its `paths`, if it has pages, are below the address's own.

    Those `queried` have parameters in their addresses.
    """
    parts = urlsplit(address)
    below = parts.path.rstrip("/")
    # As a browser writes it (RFC 6454 section 6.2): in lower case, without the scheme's own port.
    host = parts.netloc.lower().removesuffix(f":{_DEFAULT_PORTS[parts.scheme]}")
    origin = f"{parts.scheme}://{host}"
    return Site(
        own_hosts(address, listen),
        origin,
        tuple(f"{below}{path}" for path in paths),
        pages=bool(paths),
        queried=tuple(f"{below}{path}" for path in queried),
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
