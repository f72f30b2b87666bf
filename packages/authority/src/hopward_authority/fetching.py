"""What every request of the authority's has in common, and those to the transmitters of `[events.sources]`.

Only to the addresses in `hopward.toml`. No redirect is followed, no proxy of the environment is used, and an
answer is read up to its limit.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import httpx2

LONGEST_FETCH = 20.0
"""Seconds, all in all."""

LONGEST_TRY = 20.0
"""Seconds for something to arrive; Standard Webhooks recommends 15 to 30 (section "Request timeouts")."""

LARGEST = 1_048_576
"""Bytes of an answer."""


class FetchError(Exception):
    """There is no usable answer; the message says why, in words for the log."""


class Fetcher:
    """Asks transmitters. `transport` is how."""

    def __init__(self, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._client = httpx2.AsyncClient(
            transport=transport, timeout=LONGEST_FETCH, follow_redirects=False, trust_env=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, url: str) -> bytes:
        """What is there; raises `FetchError`."""
        return await self._sent(
            self._client.build_request("GET", url, headers={"Accept": "application/json"})
        )

    async def post(self, url: str, body: dict[str, Any], token: str) -> dict[str, Any]:
        """The object in the answer to a JSON request with a bearer token, empty where there is none; raises
        `FetchError`."""
        headers = {"Accept": "application/json", "Authorization": f"Bearer {token}"}
        answer = await self._sent(self._client.build_request("POST", url, json=body, headers=headers))
        if not answer.strip():
            return {}
        try:
            found: object = json.loads(answer)
        except (ValueError, RecursionError) as error:
            raise FetchError("the answer is no JSON") from error
        if not isinstance(found, dict):
            raise FetchError("the answer is no JSON object")
        return cast("dict[str, Any]", found)

    async def _sent(self, request: httpx2.Request) -> bytes:
        try:
            async with asyncio.timeout(LONGEST_FETCH):
                answer = await self._client.send(request, stream=True)
                try:
                    return await _body(answer)
                finally:
                    await answer.aclose()
        except TimeoutError as error:
            raise FetchError(f"no answer within {LONGEST_FETCH:.0f} seconds") from error
        except httpx2.HTTPError as error:
            raise FetchError(type(error).__name__) from error


def bearer(root: Path, name: str) -> str:
    """The bearer token in a file; raises `FetchError`."""
    try:
        token = (root / name).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FetchError(f"{name} cannot be read") from error
    if not token or not token.isprintable() or " " in token:
        raise FetchError(f"{name} holds no token")
    return token


async def _body(answer: httpx2.Response) -> bytes:
    if not 200 <= answer.status_code < 300:
        raise FetchError(f"the answer was {answer.status_code}")
    body = await read_up_to(answer, LARGEST)
    if body is None:
        raise FetchError(f"the answer has more than {LARGEST} bytes")
    return body


async def read_up_to(answer: httpx2.Response, most: int) -> bytes | None:
    """The body of an answer; None where it has more bytes than `most`, of which no more are read."""
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > most:
            return None
    return bytes(body)


async def posted(
    client: httpx2.AsyncClient, url: str, headers: Mapping[str, str], body: bytes
) -> tuple[str, int]:
    """Why something that was posted has not arrived, empty if it has, and for how many seconds to leave it.

    Nothing of the answer but its head is read.
    """
    try:
        async with (
            asyncio.timeout(LONGEST_TRY),
            client.stream("POST", url, headers=dict(headers), content=body) as answer,
        ):
            status, wait = answer.status_code, answer.headers.get("retry-after", "")
    except TimeoutError:
        return f"no answer within {LONGEST_TRY:.0f} seconds", 0
    except httpx2.HTTPError as error:
        return type(error).__name__, 0
    if 200 <= status < 300:
        return "", 0
    return f"the answer was {status}", int(wait) if wait.isascii() and wait.isdecimal() else 0
