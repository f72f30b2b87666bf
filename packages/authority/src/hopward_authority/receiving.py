"""Security events as they arrive: pushed to us (RFC 8935), or polled by us (RFC 8936).

What an event leads to is the core's (`hopward.hearing`); this is the HTTP around it.
"""

import asyncio
import logging
from collections import defaultdict
from hmac import compare_digest
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hopward import ConfigError, Guard, HopwardError, TokenError
from hopward_authority.fetching import Fetcher, FetchError, bearer
from hopward_authority.form import MAX_BODY
from hopward_authority.tally import Tally

CONTENT_TYPE = "application/secevent+jwt"
_NO_STORE = {"Cache-Control": "no-store"}
_NOT_NOW = ("keys_unavailable",)
_MOST_POLLED = 20

_log = logging.getLogger("hopward.authority")


class Receiver:
    """Hears the events of a guard's transmitters."""

    def __init__(self, guard: Guard, tally: Tally, fetcher: Fetcher) -> None:
        """Raises `ConfigError` where a file of keys or of a bearer token cannot be used."""
        self._guard = guard
        self._tally = tally
        self._fetcher = fetcher
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.sources = guard.settings.events.sources
        try:
            guard.events.read_keys()
            guard.events.begin_waiting()
            self._tokens = {
                name: bearer(guard.settings.root, source.push_token_file)
                for name, source in self.sources.items()
                if source.push_token_file
            }
            for source in self.sources.values():
                if source.access_token_file:
                    bearer(guard.settings.root, source.access_token_file)
        except (FetchError, TokenError) as error:
            raise ConfigError(f"[events.sources] cannot be used: {error}") from error

    def routes(self, path: str) -> list[Route]:
        """Where events are pushed to, below the issuer's own path; nowhere without a transmitter."""
        there = Route(f"{path}/events/{{name}}", self.pushed, methods=["POST"])
        return [there] if self.sources else []

    async def pushed(self, request: Request) -> Response:
        """The answer to one pushed token: 202 once it has been heard, whether or not anything followed."""
        name = str(request.path_params["name"])
        source = self.sources.get(name)
        if source is None or source.poll_url:
            return self._refused(404, "invalid_request", "Nothing is pushed here.")
        if not self._admitted(name, request):
            told = "The bearer token is not the one configured."
            return self._refused(401, "authentication_failed", told)
        types = request.headers.getlist("content-type")
        if len(types) != 1 or types[0].lower() != CONTENT_TYPE or "content-encoding" in request.headers:
            return self._refused(415, "invalid_request", f"The content type is not {CONTENT_TYPE}.")
        token = await _body(request)
        if token is None:
            return self._refused(413, "invalid_request", f"The body is larger than {MAX_BODY} bytes.")
        wrong = await self.heard(name, token)
        if wrong is None:
            return Response(status_code=202, headers=_NO_STORE)
        return JSONResponse(wrong, 400 if wrong["err"] else 503, _NO_STORE)

    async def heard(self, name: str, token: str) -> dict[str, str] | None:
        """Hear one token. None once it has been heard; otherwise what its transmitter is told, with an empty
        `err` where it should be sent again."""
        await self._prepared(name, token)
        try:
            self._guard.events.hear(name, token)
        except TokenError as error:
            if error.error in _NOT_NOW:
                return {"err": "", "description": error.message}
            err, told = self._guard.events.refusal_of(error)
            self._tally.note(error.error, f"The authority refused an event of {name}: {told}")
            return {"err": err, "description": told}
        except HopwardError as error:
            _log.error("An event of %s could not be heard: %s", name, error.message)
            return {"err": "", "description": "The event cannot be heard at the moment."}
        return None

    async def poll(self, name: str, acknowledged: list[str], wrong: dict[str, dict[str, str]]) -> bool:
        """Ask a transmitter once, and hear what it has; whether there is more. Raises `FetchError`.

        It is told what was `acknowledged` and `wrong` before; both are what it is to be told next, then.
        """
        source = self.sources[name]
        asked: dict[str, Any] = {"maxEvents": _MOST_POLLED, "returnImmediately": True}
        asked |= {"ack": list(acknowledged)} if acknowledged else {}
        asked |= {"setErrs": dict(wrong)} if wrong else {}
        token = bearer(self._guard.settings.root, source.access_token_file)
        answer = await self._fetcher.post(source.poll_url, asked, token)
        acknowledged.clear()
        wrong.clear()
        sets: object = answer.get("sets", {})
        if not isinstance(sets, dict):
            raise FetchError("the answer has no sets")
        for jti, one in list(cast("dict[str, object]", sets).items())[:_MOST_POLLED]:
            refused = await self.heard(name, one if isinstance(one, str) else "")
            if refused is None:
                acknowledged.append(jti)
            elif refused["err"]:
                wrong[jti] = refused
        return answer.get("moreAvailable") is True and bool(acknowledged or wrong)

    async def ask_for_life(self, name: str) -> None:
        """Ask a transmitter for a verification event. Raises `FetchError`."""
        source = self.sources[name]
        token = bearer(self._guard.settings.root, source.access_token_file)
        await self._fetcher.post(source.verification_url, dict(self._guard.events.ask(name)), token)

    async def _prepared(self, name: str, token: str) -> None:
        """Fetch the keys that it takes to verify a token, where they have to be fetched, once at a time."""
        events = self._guard.events
        if not events.keys_due(name, token):
            return
        async with self._locks[name]:
            if not events.keys_due(name, token):
                return
            try:
                events.take_keys(name, await self._fetcher.get(self.sources[name].jwks_uri))
            except (FetchError, TokenError) as error:
                events.no_keys(name)
                _log.warning("The keys of %s cannot be had at the moment: %s", name, error)

    def _admitted(self, name: str, request: Request) -> bool:
        token = self._tokens.get(name)
        given = request.headers.getlist("authorization")
        if token is None:
            return not given
        return len(given) == 1 and compare_digest(given[0].encode("latin-1"), f"Bearer {token}".encode())

    def _refused(self, status: int, err: str, told: str) -> Response:
        self._tally.note(err, f"The authority refused a pushed event: {told}")
        return JSONResponse({"err": err, "description": told}, status, _NO_STORE)


async def _body(request: Request) -> str | None:
    """The body; None where it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            return None
    return body.decode("latin-1")
