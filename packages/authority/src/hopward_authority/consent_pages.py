"""The page on which a person lets an OAuth client work for them, or does not (RFC 6749 section 3.1).

The person is known before anything is looked at, so that nobody else has the authority look anything up. They
are asked every time, and told what this client has had of them already. Nobody is sent anywhere before they
have pressed something (RFC 9700 section 4.11.2): what is wrong with a request is told on a page.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hopward import ExchangeRefusedError, Guard
from hopward_authority.answer import read_fields
from hopward_authority.documents import Documents
from hopward_authority.form import FormError
from hopward_authority.people import Person
from hopward_authority.rendering import HEADERS
from hopward_authority.tally import Tally

PATH = "/authorize"
"""Where the authorization endpoint is, below `[approvals] page`: its cookies are those of the pages."""

_KEPT = "hopward-asked"
"""The cookie with the request of somebody who is not known yet, until they are."""

_KEPT_FOR = 600
"""Seconds."""

_LONGEST = 3_800
"""Characters of a query: a cookie holds no more (RFC 6265 section 6.1)."""

_MOST_PARAMETERS = 40

_KNOWN_BY = {
    "configured": "Whoever runs Hopward has entered it by this name.",
    "document": "It calls itself so, in a document at its address below. Nobody else has checked the name.",
    "registered": "It calls itself so. Nobody has checked the name.",
}

Handler = Callable[[Request], Awaitable[Response]]
PersonHandler = Callable[[Request, Person], Awaitable[Response]]


class Surroundings(Protocol):
    """What is needed of the pages around this one."""

    def known(self, handler: PersonHandler) -> Handler:
        """The handler for somebody who is known; everybody else is shown how to become so."""
        ...

    def forged(self, request: Request, person: Person, token: str, purpose: str) -> Response | None:
        """The refusal of a form that this person has not sent from a page of ours for this purpose."""
        ...

    def of(self, person: Person, name: str, status: int = 200, **filled: Any) -> Response:
        """A page for a person."""
        ...


class ConsentPages:
    """The authorization endpoint of a guard."""

    def __init__(self, guard: Guard, around: Surroundings, tally: Tally, documents: Documents) -> None:
        page = urlsplit(guard.settings.approvals.page)
        self._guard = guard
        self._around = around
        self._tally = tally
        self._documents = documents
        self._path = page.path.rstrip("/") + PATH
        self._secure = page.scheme == "https"

    def routes(self) -> list[Route]:
        """The endpoint: asked with GET, answered with POST."""
        return [
            Route(self._path, self._keeping(self._around.known(self._ask)), methods=["GET"]),
            Route(self._path, self._around.known(self._answered), methods=["POST"]),
        ]

    def _keeping(self, handler: Handler) -> Handler:
        """The handler; a request that cannot be answered yet is kept until its person is known.

        Somebody unknown gets the page with 200: there are clients that ask once without a browser, and take
        any other status for a refusal (FastMCP).
        """

        async def respond(request: Request) -> Response:
            response, query = await handler(request), request.url.query
            if response.status_code != 403:
                return response
            response.status_code = 200
            if 0 < len(query) <= _LONGEST:
                response.set_cookie(
                    _KEPT,
                    query,
                    max_age=_KEPT_FOR,
                    path=self._path,
                    secure=self._secure,
                    httponly=True,
                    samesite="lax",
                )
            return response

        return respond

    async def _ask(self, request: Request, person: Person) -> Response:
        query = request.url.query or request.cookies.get(_KEPT, "")
        response = await self._question(query, person)
        response.delete_cookie(_KEPT, path=self._path, secure=self._secure, httponly=True, samesite="lax")
        return response

    async def _question(self, query: str, person: Person) -> Response:
        logins = self._guard.logins
        try:
            parameters = await self._read(query)
            back = logins.redirect(parameters)
        except ExchangeRefusedError as error:
            return self._unusable(person, error)
        try:
            offered = logins.offer(parameters, person.name)
        except ExchangeRefusedError as error:
            there = logins.response(parameters, error=error.error, error_description=error.message)
            return self._refused(person, error, there)
        settings, client = self._guard.settings, offered.asked.client
        response = self._around.of(
            person,
            "consent.html",
            client=client,
            known_by=_KNOWN_BY[client.source],
            back=_place(back),
            agent=settings.agents[offered.agent],
            offered=offered,
            budget=settings.workflows[offered.workflow].budget,
            lasts=_duration(offered.expires_in),
            new=logins.new_to(offered),
            query=query,
            token=person.form_token(_purpose(query)),
        )
        return _leading_to(response, logins.return_source(back))

    async def _answered(self, request: Request, person: Person) -> Response:
        fields = await read_fields(request)
        query, token, answer = (fields.pop(name, "") for name in ("request", "token", "answer"))
        if answer not in ("yes", "no") or any(not name.startswith("tool-") for name in fields):
            raise FormError(400, "invalid_request", "It has a field that does not belong to it.")
        forged = self._around.forged(request, person, token, _purpose(query))
        if forged is not None:
            return forged
        logins = self._guard.logins
        try:
            parameters = await self._read(query)
            logins.redirect(parameters)
        except ExchangeRefusedError as error:
            return self._unusable(person, error)
        try:
            offered = logins.offer(parameters, person.name)
            if answer == "no" or not fields:
                logins.decline(offered, person.device)
                there = logins.response(parameters, error="access_denied")
            else:
                code = logins.grant(offered, person.device, fields.values())
                there = logins.response(parameters, code=code)
        except ExchangeRefusedError as error:
            there = logins.response(parameters, error=error.error, error_description=error.message)
        # 303: a browser must not send the form there again (RFC 9700 section 4.12).
        return RedirectResponse(there, 303, HEADERS)

    async def _read(self, query: str) -> dict[str, str]:
        """The parameters of a request, its client looked up where that takes a document."""
        parameters = self._guard.logins.once(_pairs(query))
        await self._documents.prepare(parameters.get("client_id", ""))
        return parameters

    def _unusable(self, person: Person, error: ExchangeRefusedError) -> Response:
        self._tally.note(error.error, f"An authorization request could not be answered: {error.message}")
        return self._around.of(
            person,
            "refused.html",
            400,
            told=error.message,
            back="",
            place="",
            heading="This request is not right",
        )

    def _refused(self, person: Person, error: ExchangeRefusedError, there: str) -> Response:
        return self._around.of(
            person,
            "refused.html",
            400,
            told=error.message,
            back=there,
            place=_place(there),
            heading="Nothing was granted",
        )


def _pairs(query: str) -> list[tuple[str, str]]:
    """The parameters of a query, read strictly; raises `ExchangeRefusedError`."""
    if not query or len(query) > _LONGEST or not query.isascii():
        raise ExchangeRefusedError("There is no authorization request, or it is too long.")
    try:
        return parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError as error:
        raise ExchangeRefusedError("The authorization request cannot be read.") from error


def _purpose(query: str) -> str:
    """What the form is for: exactly this request, so that no other can be put in its place."""
    return f"authorize {hashlib.sha256(query.encode('utf-8', 'replace')).hexdigest()}"


def _leading_to(response: Response, source: str) -> Response:
    """The page, whose form may be led back to the client; browsers ask that of redirects too."""
    policy = HEADERS["Content-Security-Policy"].replace("form-action 'self'", f"form-action 'self' {source}")
    response.headers["Content-Security-Policy"] = policy
    return response


def _place(redirect_uri: str) -> str:
    """Where a person is sent back to, for people."""
    parts = urlsplit(redirect_uri)
    if parts.scheme == "http":
        return f"a program on this device ({parts.netloc})"
    return parts.netloc if parts.scheme == "https" else f"an application on this device ({parts.scheme}:)"


def _duration(seconds: int) -> str:
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"
