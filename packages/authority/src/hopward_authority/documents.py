"""Fetches clients' documents (OAuth Client ID Metadata Document), so that nobody is reached by it who should
not be.

Only for somebody who is known, at a host that `[login] documents` lets in, over https, without redirects and
proxies, up to a size and a time. Every address that the host's name has must be public, and it is one of
those, and no other found out later, that is asked (DNS rebinding).
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import urlsplit

import httpx2

from hopward import ExchangeRefusedError, Guard
from hopward_authority.fetching import read_up_to

LONGEST_FETCH = 5.0
"""Seconds, all in all."""

LARGEST = 10_240
"""Bytes of a document; the draft recommends 5 KB at most (section 6.6)."""

FRESH = 300.0
"""Seconds for which a document, or that there is none, is not fetched again."""

_MOST = 256
"""Documents whose age is remembered."""

_TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"), ip_network("2002::/16"))
"""IPv6 addresses that lead to an IPv4 address, which may be anything (RFC 6052, RFC 8215, RFC 3056)."""

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host; raises `OSError`."""


async def resolved(host: str, port: int) -> list[str]:
    """What the system says a host's addresses are."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


class Documents:
    """The documents of clients. `transport` is how they are fetched, `resolve` how addresses are found."""

    def __init__(
        self,
        guard: Guard,
        transport: httpx2.AsyncBaseTransport | None = None,
        *,
        resolve: Resolve = resolved,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logins = guard.logins
        self._private = guard.settings.login.unsafe_private_documents
        self._transport = transport
        self._resolve = resolve
        self._now = now
        self._asked: dict[str, float] = {}
        self._lock = asyncio.Lock()

    async def prepare(self, client_id: str) -> None:
        """Have the guard know a client by its document, where it has one; raises `ExchangeRefusedError`."""
        host = self._logins.document_host(client_id)
        if not host:
            return
        # One at a time: who asks while it is fetched gets what comes of it.
        async with self._lock:
            if self._now() - self._asked.get(client_id, -FRESH) < FRESH:
                return
            while len(self._asked) >= _MOST:
                self._asked.pop(next(iter(self._asked)))
            self._asked[client_id] = self._now()
            self._logins.forget(client_id)
            self._logins.learn(client_id, await self._fetched(client_id, host))

    async def _fetched(self, url: str, host: str) -> bytes:
        try:
            async with asyncio.timeout(LONGEST_FETCH):
                return await self._at(await self._address(url, host), url, host)
        except TimeoutError as error:
            raise _refused(
                f"The client's document has not come within {LONGEST_FETCH:.0f} seconds."
            ) from error
        except (httpx2.HTTPError, OSError) as error:
            raise _refused(f"The client's document cannot be got: {type(error).__name__}.") from error

    async def _address(self, url: str, host: str) -> str:
        found = await self._resolve(host, urlsplit(url).port or 443)
        if not found or not (self._private or all(map(is_public, found))):
            raise _refused("The client's document is not at a public address.")
        return found[0]

    async def _at(self, address: str, url: str, host: str) -> bytes:
        parts = urlsplit(url)
        where = f"[{address}]" if ":" in address else address
        port = f":{parts.port}" if parts.port else ""
        headers = {"Host": parts.netloc, "Accept": "application/json", "Accept-Encoding": "identity"}
        async with (
            httpx2.AsyncClient(transport=self._transport, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "GET",
                f"https://{where}{port}{parts.path}",
                headers=headers,
                extensions={"sni_hostname": host},
            ) as answer,
        ):
            if answer.status_code != 200:
                raise _refused(f"The client's document cannot be got: the answer was {answer.status_code}.")
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json" and not kind.endswith("+json"):
                raise _refused("The client's document is no JSON.")
            if answer.headers.get("content-encoding", "identity").lower() != "identity":
                raise _refused("The client's document is compressed, which was not asked for.")
            body = await read_up_to(answer, LARGEST)
            if body is None:
                raise _refused(f"The client's document is larger than {LARGEST} bytes.")
            return body


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, and of nothing nearer."""
    try:
        found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        if any(found in network for network in _TRANSLATED) or found.teredo is not None:
            return False
        found = found.ipv4_mapped or found
    return found.is_global and not found.is_multicast and not found.is_reserved


def _refused(sentence: str) -> ExchangeRefusedError:
    return ExchangeRefusedError(sentence, error="invalid_client")
