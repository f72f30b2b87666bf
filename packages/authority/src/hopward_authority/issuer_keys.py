"""Fetches the keys of those who vouch for workloads, from the addresses in `hopward.toml` and no others.

What a token says of its keys leads nowhere. No redirect is followed, no proxy of the environment is used, an
answer is read up to its limit, and requests that wait for the same keys wait for one fetch.
"""

import asyncio
import json
import logging
import ssl
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import httpx2

from hopward import Guard, TokenError
from hopward_authority.fetching import FetchError, read_up_to
from hopward_authority.hosts import is_loopback

LONGEST_FETCH = 5.0
"""Seconds, all in all."""

LARGEST = 262_144
"""Bytes of an answer."""

_DISCOVERY = "/.well-known/openid-configuration"

_log = logging.getLogger("hopward.authority")


class _Keys(Protocol):
    def take(self, body: bytes) -> None: ...
    def failed(self) -> None: ...


class _Settings(Protocol):
    @property
    def ca_file(self) -> str: ...


class _Source(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> _Settings: ...
    @property
    def keys(self) -> _Keys: ...


class IssuerKeys:
    """The keys that a guard's workload tokens are verified with, kept up to date."""

    def __init__(self, guard: Guard, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        """Raises `ConfigError` where a file of keys cannot be used."""
        self._workloads = guard.workloads
        self._root = guard.settings.root
        self._transport = transport
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._workloads.read_files()

    async def prepare(self, assertion_type: str, assertion: str) -> None:
        """Get the keys that it takes to verify an assertion, where they have to be got.

        Where they cannot be, those known before count as long as they may. Raises `ConfigError` for a file
        that can be used no more.
        """
        source = self._workloads.wanting(assertion_type, assertion)
        if source is None:
            return
        async with self._locks[source.name]:
            # Whoever held the lock before may have fetched them.
            if self._workloads.wanting(assertion_type, assertion) is not None:
                await self._refresh(source)

    async def _refresh(self, source: _Source) -> None:
        try:
            async with asyncio.timeout(LONGEST_FETCH):
                source.keys.take(await self._fetched(source))
        except (FetchError, TokenError, httpx2.HTTPError, TimeoutError) as error:
            source.keys.failed()
            why = str(error) if isinstance(error, (FetchError, TokenError)) else type(error).__name__
            _log.warning("The keys of %s cannot be had at the moment: %s", source.name, why)

    async def _fetched(self, source: _Source) -> bytes:
        entry: Any = source.settings
        address = getattr(entry, "workload_api", "")
        if address:
            bundles = import_module("hopward_authority.workload_api")
            domain = source.name.rpartition(" ")[2]
            return cast("bytes", await asyncio.to_thread(bundles.jwt_bundle, address, domain, LONGEST_FETCH))
        async with self._client(source.settings) as client:
            if getattr(entry, "discovery", False):
                return await _got(client, await _discovered(client, entry.issuer))
            return await _got(client, getattr(entry, "jwks_uri", "") or getattr(entry, "bundle_url", ""))

    def _client(self, settings: _Settings) -> httpx2.AsyncClient:
        trusted: ssl.SSLContext | bool = True
        if settings.ca_file:
            try:
                trusted = ssl.create_default_context(cafile=Path(self._root, settings.ca_file))
            except (OSError, ssl.SSLError) as error:
                raise FetchError(f"ca_file cannot be read: {error}") from error
        return httpx2.AsyncClient(
            verify=trusted,
            transport=self._transport,
            timeout=LONGEST_FETCH,
            follow_redirects=False,
            trust_env=False,
        )


async def _discovered(client: httpx2.AsyncClient, issuer: str) -> str:
    """Where an issuer's keys stand (OpenID Connect Discovery section 4.3)."""
    body = await _got(client, issuer.rstrip("/") + _DISCOVERY)
    try:
        document: object = json.loads(body)
    except ValueError as error:
        raise FetchError("The metadata document is no JSON.") from error
    found = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    if found.get("issuer") != issuer:
        raise FetchError("The metadata document is of another issuer.")
    address = found.get("jwks_uri")
    if not isinstance(address, str) or not _may_fetch(address, issuer):
        raise FetchError("The metadata document names no address of keys that may be used.")
    return address


def _may_fetch(address: str, issuer: str) -> bool:
    """https, or http on this machine where the issuer is there too."""
    try:
        found, own = urlsplit(address), urlsplit(issuer)
    except ValueError:
        return False
    if found.scheme == "https":
        return bool(found.hostname)
    return found.scheme == own.scheme == "http" and is_loopback(found.hostname or "")


async def _got(client: httpx2.AsyncClient, address: str) -> bytes:
    async with client.stream("GET", address, headers={"Accept": "application/json"}) as answer:
        if answer.status_code != 200:
            raise FetchError(f"{address} answers {answer.status_code}.")
        body = await read_up_to(answer, LARGEST)
    if body is None:
        raise FetchError(f"{address} answers more than {LARGEST} bytes.")
    return body
