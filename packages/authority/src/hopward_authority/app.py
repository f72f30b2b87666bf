"""The authority as an ASGI application (Starlette)."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hopward import ConfigError, Guard, HopwardError
from hopward_authority.alongside import alongside
from hopward_authority.consent_pages import PATH as AUTHORIZE
from hopward_authority.deliveries import Deliveries
from hopward_authority.documents import Documents
from hopward_authority.eventing import Events
from hopward_authority.form import Form, FormError, read_form
from hopward_authority.hosts import HostCheck, Site, own_hosts, own_site
from hopward_authority.login_grants import CodeGrant, RefreshGrant
from hopward_authority.login_pages import BACKCHANNEL, CALLBACK
from hopward_authority.login_pages import PATHS as LOGIN_PATHS
from hopward_authority.metadata import metadata, metadata_path
from hopward_authority.oauth import Answer, OAuthServer
from hopward_authority.pages import PATHS, ApprovalPages
from hopward_authority.provider import Provider, Transport
from hopward_authority.tally import Tally, counting

_NO_STORE = {"Cache-Control": "no-store"}
_CACHED = {"Cache-Control": "public, max-age=60"}
_MADE_FOR = 2_000_000
"""Microseconds for which a status list is given out again: whoever asks for it may be anybody."""


Beside = Callable[[Starlette], Coroutine[Any, Any, None]]
"""What goes on for as long as the application does: it is cancelled at its end."""


def create_app(
    guard: Guard,
    transport: Transport | None = None,
    documents: Documents | None = None,
    beside: Beside | None = None,
) -> Starlette:
    """The authority of a guard's configuration, with the pages for people and the webhook, if there are any.

    Documents of clients are fetched by `documents`, the OpenID provider of `[people]` is asked by way of
    `transport`, if given. The webhook is told, and `beside` goes on, while the application's lifespan lasts.
    Raises `ConfigError` without the signing key, or a secret, and under an issuer that cannot be published,
    `TokenError` if two of its clients have the same key.
    """
    settings = guard.settings.authority
    if not guard.signs:
        raise ConfigError(
            "authority.mode is remote, and this guard was not opened as the authority.",
            advice="Guard.open(path, as_authority=True) opens it with the signing key.",
        )
    document = _document(guard)
    tally = Tally(guard)
    server = OAuthServer(guard, tally)
    if guard.logins.enabled():
        server.register_grant(CodeGrant)
        server.register_grant(RefreshGrant)
    events = Events(guard, tally)
    path = urlsplit(settings.issuer).path.rstrip("/")

    async def show_metadata(_: Request) -> Response:
        return JSONResponse(document, headers=_CACHED)

    async def show_keys(_: Request) -> Response:
        return JSONResponse(guard.issuer.jwks(), headers=_CACHED)

    def note(at: str, sentence: str) -> None:
        tally.note("invalid_request", f"The authority refused a request at {at}: {sentence}")

    provider = Provider(guard, transport) if guard.settings.people else None
    sites, pages = _pages(guard, tally, provider, documents)
    app = Starlette(
        routes=[
            Route(metadata_path(settings.issuer), show_metadata, methods=["GET"]),
            Route(f"{path}/jwks", show_keys, methods=["GET"]),
            Route(f"{path}/token", _posted(server, "token"), methods=["POST"]),
            Route(f"{path}/revoke", _posted(server, "revocation"), methods=["POST"]),
            Route(f"{path}/introspect", _posted(server, "introspection"), methods=["POST"]),
            *events.routes(path),
            *_statuses(guard),
            *pages,
        ],
        middleware=[Middleware(HostCheck, tuple(sites), note)],
        lifespan=_meanwhile(guard, tally, events, provider, beside),
        exception_handlers={HTTPException: _not_served},
    )
    app.state.provider = provider
    # A redirect would be addressed to whatever the request's Host said.
    app.router.redirect_slashes = False
    return app


def _statuses(guard: Guard) -> list[Route]:
    """The status list, where there is one. It is made in a thread: it looks at every token."""
    if not guard.issuer.status_list:
        return []

    made: dict[str, int] = {}

    def show(_: Request) -> Response:
        listed = next((one for one, at in made.items() if 0 <= guard.now - at < _MADE_FOR), "")
        try:
            listed = listed or guard.issuer.published_statuses(guard.ledger)
        except HopwardError:
            return JSONResponse({"error": "server_error"}, 503, _NO_STORE)
        if listed not in made:
            made.clear()
            made[listed] = guard.now
        return Response(listed, headers=_CACHED, media_type="application/statuslist+jwt")

    return [Route(urlsplit(guard.issuer.status_list).path, show, methods=["GET"])]


def _document(guard: Guard) -> dict[str, Any]:
    """The metadata document."""
    page = guard.settings.approvals.page
    return metadata(
        guard.settings.authority.issuer,
        guard.workloads.algorithms,
        svids=guard.workloads.has_svids,
        authorize=f"{page}{AUTHORIZE}" if guard.logins.enabled() else "",
        documents=bool(guard.settings.login.documents),
        mtls_url=guard.workloads.mtls_url,
    )


def _pages(
    guard: Guard, tally: Tally, provider: Provider | None, documents: Documents | None
) -> tuple[list[Site], list[Route]]:
    """The names that everything is reached by, and the pages for people, if there are any."""
    page, settings = guard.settings.approvals.page, guard.settings.authority
    own, mtls = own_site(settings.issuer, settings.listen), guard.settings.identity.mtls
    if mtls:
        own = replace(own, hosts=own.hosts | own_hosts(mtls.url, mtls.listen))
    if not page:
        return [own], []
    paths, queried = (*PATHS, AUTHORIZE), (AUTHORIZE, CALLBACK)
    if provider is not None:
        paths = (*paths, *LOGIN_PATHS, BACKCHANNEL)
    site = own_site(page, settings.listen, paths, queried)
    return [site, own], ApprovalPages(guard, site, tally, provider, documents).routes()


def _meanwhile(
    guard: Guard, tally: Tally, events: Events, provider: Provider | None, beside: Beside | None
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """What goes on besides answering: the webhook is told and the provider asked, where there is one,
    refusals are counted, and security events heard and told."""
    deliveries = Deliveries(guard) if guard.settings.approvals.webhook else None

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(counting(tally))
            if deliveries is not None:
                await stack.enter_async_context(alongside(deliveries.run()))
            if provider is not None:
                await stack.enter_async_context(alongside(provider.run()))
            await stack.enter_async_context(events.going_on())
            if beside is not None:
                await stack.enter_async_context(alongside(beside(app)))
            yield

    return lifespan


def _posted(server: OAuthServer, endpoint: str) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        try:
            form = await read_form(request, for_token=endpoint == "token")
        except FormError as error:
            unread = Form(request.url.path, [])
            return _response(server.refused(unread, error.error, error.sentence, error.status))
        await server.prepare(form)
        return _response(server.respond(endpoint, form))

    return respond


def _response(answer: Answer) -> Response:
    return JSONResponse(answer.body, answer.status, answer.headers)


async def _not_served(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    headers = dict(getattr(error, "headers", None) or {}) | _NO_STORE
    return JSONResponse({"error": "invalid_request"}, status, headers)
