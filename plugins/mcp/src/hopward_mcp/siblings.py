"""The workers of one `hopward mcp serve`: a request of the older era goes to the worker that has its session.

Any worker may be given any connection. What a session needs is kept in one of them, whose number its id
begins with; the others hand its requests over, whole and as HTTP, through a Unix socket in a folder that only
this user may enter. Whoever receives one there lets the caller in, or not, as on every connection: nothing is
believed because of the way it came. Only a proof, which counts once, must have been accepted by a worker
before.
"""

import asyncio
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp

from hopward_mcp.departure import PATIENCE, Departure
from hopward_mcp.headers import SESSION
from hopward_mcp.jsonrpc import REFUSED, MessageId, error
from hopward_mcp.methods import STATE
from hopward_mcp.request import STREAM_TYPE, Request

_MARKED = re.compile(r"([0-9]{1,2})\..+", re.DOTALL)
_STATE = re.compile(re.escape(STATE) + r"([0-9]{1,2})\..+", re.DOTALL)
_ASKED = frozenset(
    {"accept", "authorization", "content-encoding", "content-type", "dpop", "host", "last-event-id", "origin"}
    | {"traceparent", "tracestate"}
)
_ANSWERED = frozenset(
    {"accept-encoding", "allow", "cache-control", "dpop-nonce", "retry-after", "www-authenticate", SESSION}
)
_CONNECTIONS = 512


class Siblings:
    """The other workers, as one of them sees them. `own` is its number, `folder` where their sockets are."""

    def __init__(self, folder: Path, own: int) -> None:
        self.mark = f"{own}."
        self._own = own
        self._folder = folder
        self._clients: dict[int, aiohttp.ClientSession] = {}

    def listening(self) -> socket.socket:
        """The socket at which the others hand requests over."""
        path = self._folder / str(self._own)
        path.unlink(missing_ok=True)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.bind(str(path))
        except OSError:
            bound.close()
            raise
        return bound

    def owner(self, headers: Mapping[str, str]) -> int | None:
        """The other worker that has the session a request names; None if it is ours, or anybody's."""
        found = _MARKED.fullmatch(headers.get(SESSION, ""))
        if found is None or int(found[1]) == self._own:
            return None
        return int(found[1])

    def keeper(self, state: object) -> int | None:
        """The other worker at which the call of a `requestState` waits; None if it is ours, or anybody's."""
        found = _STATE.fullmatch(state) if isinstance(state, str) else None
        return None if found is None or int(found[1]) == self._own else int(found[1])

    async def hand_over(
        self, owner: int, request: Request, path: str, body: bytes, asked: MessageId | None = None
    ) -> bool:
        """Have another worker answer a request; False where that worker is gone, with what it had. `asked` is
        the id of the request where that is known."""
        headers = {key: value for key, value in request.headers.items() if _passed(key)}
        departure = Departure(request, PATIENCE)
        try:
            with departure:
                async with self._client(owner).request(
                    request.method, f"http://worker{path}", headers=headers, data=body, allow_redirects=False
                ) as response:
                    await _brought_back(response, request, departure)
        except aiohttp.ClientConnectorError:
            return False
        except aiohttp.ClientError:
            if not request.started:
                await request.answer(502, error(asked, REFUSED, "The worker that serves this has ended."))
            else:
                await request.end()
        except asyncio.CancelledError:
            if not departure.gone:
                raise
        return True

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.close()
        with suppress(OSError):
            (self._folder / str(self._own)).unlink()

    def _client(self, owner: int) -> aiohttp.ClientSession:
        if owner not in self._clients:
            self._clients[owner] = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(self._folder / str(owner)), limit=_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                auto_decompress=False,
                trust_env=False,
            )
        return self._clients[owner]


def _passed(key: str) -> bool:
    return key in _ASKED or key.startswith("mcp-")


async def _brought_back(response: aiohttp.ClientResponse, request: Request, departure: Departure) -> None:
    headers = {key.lower(): value for key, value in response.headers.items() if key.lower() in _ANSWERED}
    if response.content_type != STREAM_TYPE:
        body = await response.read()
        departure.ignore()
        await request.answer(response.status, body, headers)
        return
    await request.stream(headers)
    async for piece in response.content.iter_any():
        await request.write(piece)
    departure.ignore()
    await request.write(b"", last=True)
