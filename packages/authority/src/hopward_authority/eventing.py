"""Everything about security events at the authority: heard from others, and told to others."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hopward import Guard
from hopward_authority.alongside import alongside
from hopward_authority.announcements import Announcements, transmitter_metadata, transmitter_path
from hopward_authority.fetching import Fetcher
from hopward_authority.listening import asking, noticing, polling
from hopward_authority.receiving import Receiver
from hopward_authority.tally import Tally

_CACHED = {"Cache-Control": "public, max-age=60"}


class Events:
    """The sources and the receivers of a guard's `[events]`."""

    def __init__(self, guard: Guard, tally: Tally) -> None:
        """Raises `ConfigError` where a file of keys or of a bearer token cannot be used."""
        self._guard = guard
        self._fetcher = Fetcher()
        self._receiver = Receiver(guard, tally, self._fetcher)
        self._announcements = Announcements(guard)

    def routes(self, path: str) -> list[Route]:
        """Where events are pushed to, below the issuer's own path, and what we say of ourselves."""
        issuer = self._guard.issuer.issuer
        document = transmitter_metadata(issuer)

        async def show(_: Request) -> Response:
            return JSONResponse(document, headers=_CACHED)

        told = (
            [Route(transmitter_path(issuer), show, methods=["GET"])] if self._announcements.receivers else []
        )
        return [*self._receiver.routes(path), *told]

    @asynccontextmanager
    async def going_on(self) -> AsyncGenerator[None]:
        """Poll, ask for signs of life, notice silence, and tell, meanwhile."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._fetcher.close)
            stack.push_async_callback(self._announcements.close)
            for name, source in self._receiver.sources.items():
                if source.poll_url:
                    await stack.enter_async_context(alongside(polling(self._receiver, name)))
                if source.verification_url:
                    await stack.enter_async_context(alongside(asking(self._receiver, name)))
            if self._receiver.sources:
                await stack.enter_async_context(alongside(noticing(self._guard)))
            for name in self._announcements.receivers:
                await stack.enter_async_context(alongside(self._announcements.run(name)))
            yield
