"""Logging in at the OpenID provider, and out again: where browsers and the provider come for that.

A login is bound to the browser that began it by a cookie of its own (login CSRF), starts a session with a new
secret (fixation), and ends on a page of ours and nowhere else (open redirect).
"""

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from hopward import HopwardError, LedgerError, TokenError
from hopward_authority.answer import read_fields
from hopward_authority.form import FormError
from hopward_authority.people import ProviderPeople
from hopward_authority.provider import Provider
from hopward_authority.rendering import HEADERS, Pages
from hopward_authority.tally import Tally

CALLBACK, BACKCHANNEL = "/login/callback", "/backchannel-logout"

PATHS = ("/login", "/login/", "/logged-out")
"""Where browsers come, below `[approvals] page`; the callback is among them."""

_BACK = re.compile(r"approvals(?:/apr_[0-9a-f]{24})?")
"""Where somebody may have been going: a page of ours. Others are added by those who serve them."""

_BROWSERS = ("Firefox", "Edg", "OPR", "Chrome", "Safari")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")

_LONGEST_QUERY = 8_192
_MOST_PARAMETERS = 16
_NO_STORE = {"Cache-Control": "no-store"}


Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


class LoginPages:
    """The way in and out at the provider, below `[approvals] page`."""

    def __init__(self, base: str, provider: Provider, people: ProviderPeople, tally: Tally) -> None:
        self._base = base
        self._pages = Pages(base)
        self._provider = provider
        self._logins = provider.logins
        self._people = people
        self._tally = tally
        self.backs: list[re.Pattern[str]] = [_BACK]

    def routes(self) -> list[Route]:
        """Everything that is served."""
        base = self._base
        return [
            Route(f"{base}{CALLBACK}", self._told(self._returned), methods=["GET"]),
            Route(f"{base}/login", self._told(self._begin), methods=["GET"]),
            Route(f"{base}/login/{{back:path}}", self._told(self._begin), methods=["GET"]),
            Route(f"{base}/logged-out", self._logged_out, methods=["GET"]),
            Route(f"{base}{BACKCHANNEL}", self._ended_there, methods=["POST"]),
        ]

    def _told(self, handler: Handler) -> Handler:
        """The handler; why nobody was logged in is told on a page, and recorded."""

        async def respond(request: Request) -> Response:
            try:
                return await handler(request)
            except LedgerError:
                return self._pages.told(503, "Not now", "Hopward cannot answer at the moment.")
            except HopwardError as error:
                told = f"Nobody was logged in: {error.message}"
                status = 503 if error.error == "provider_unavailable" else 403
                if status == 503:
                    self._tally.note("login_unavailable", told)
                else:
                    self._tally.note("login_refused", told)
                lines = [one for one in (error.message, error.advice) if one]
                return self._pages.page("not_logged_in.html", status, told=lines)

        return respond

    def way_to(self, path: str) -> str:
        """Where somebody logs in who was on their way to a path below the base."""
        asked = path.removeprefix("/")
        return f"/login/{asked}" if any(one.fullmatch(asked) for one in self.backs) else "/login"

    async def _begin(self, request: Request) -> Response:
        """To the provider, from a page of ours or a link; nothing changes by that."""
        asked = request.path_params.get("back", "approvals")
        back = asked if any(one.fullmatch(asked) for one in self.backs) else "approvals"
        await self._provider.ready()
        browser = self._people.browser(request) or secrets.token_urlsafe(32)
        response = RedirectResponse(self._logins.begin(browser, back).url, 303, HEADERS)
        self._people.remember_browser(response, browser)
        return response

    async def _returned(self, request: Request) -> Response:
        """From the provider, with a code or a no."""
        query = request.scope["query_string"]
        if len(query) > _LONGEST_QUERY:
            raise TokenError("The response is too long.", error="malformed")
        try:
            parameters = parse_qsl(
                query.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=_MOST_PARAMETERS,
            )
        except ValueError as error:
            raise TokenError("The response cannot be read.", error="malformed") from error
        returned = self._logins.returned(self._people.browser(request), parameters)
        status, body = await self._provider.post(returned.asked.form, returned.asked.headers)
        entered = self._logins.enter(returned, _label(request), status, body)
        before = self._people.device(request)
        if before:
            self._logins.log_out(before)
        response = RedirectResponse(f"{self._base}/{entered.back}", 303, HEADERS)
        self._people.remember(response, entered.secret)
        return response

    async def _logged_out(self, _: Request) -> Response:
        return self._pages.told(200, "You are logged out")

    async def _ended_there(self, request: Request) -> Response:
        """The provider tells that a session there is over (Back-Channel Logout 1.0 section 2.8)."""
        try:
            fields = await read_fields(request)
            token = fields.get("logout_token", "")
            await self._provider.ready()
            await self._provider.keys(self._logins.kid(token))
            self._logins.logged_out(token)
        except FormError as error:
            return JSONResponse({"error": "invalid_request"}, error.status, _NO_STORE)
        except LedgerError:
            return JSONResponse({"error": "temporarily_unavailable"}, 503, _NO_STORE)
        except TokenError as error:
            self._tally.note("logout_refused", f"A logout token was refused: {error.message}")
            return JSONResponse({"error": "invalid_request"}, 400, _NO_STORE)
        return Response(status_code=200, headers=_NO_STORE)


def _label(request: Request) -> str:
    """What the browser calls itself, as far as it helps a person to tell it from their others."""
    agent = request.headers.get("user-agent", "")
    name = next((one for one in _BROWSERS if f"{one}/" in agent), "a browser")
    platform = next((one for one in _SYSTEMS if one in agent), "")
    return f"{name} on {platform}" if platform else name
