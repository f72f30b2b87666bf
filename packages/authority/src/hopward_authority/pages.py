"""The pages on which people answer: what waits, one approval in full, and pairing the browser they do it in.

Who may answer, and what an answer changes, the core decides (`guard.approvals`); the pages know who the
person is (`people`), and that the form was theirs: its token is made from the secret of their session, and it
was sent by a page of ours. Somebody unknown is shown the same, whatever they ask for.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hopward import Guard, HopwardError, LedgerError, NotFoundError, StateError
from hopward_authority.answer import Answer, read_answer, read_fields
from hopward_authority.consent_pages import ConsentPages
from hopward_authority.documents import Documents
from hopward_authority.form import FormError
from hopward_authority.hosts import Site
from hopward_authority.login_pages import LoginPages
from hopward_authority.people import PairedPeople, People, Person, ProviderPeople
from hopward_authority.provider import Provider
from hopward_authority.rendering import HEADERS, Pages
from hopward_authority.tally import Tally
from hopward_authority.tries import WITHIN, Tries

PATHS = ("/approvals", "/approvals/", "/pair", "/unpair")
"""Where the pages are, below `[approvals] page`."""

_PROVENANCE = {
    "anchored": "named in the request",
    "trusted": "from a trusted result",
    "untrusted": "untrusted: nobody vouches for where it comes from",
}
_MOST, _SHOWN = 10_000, 200
"""Questions that are looked through, and that a page has at most of one kind."""

_LOOKED_THROUGH, _RECENT = 2_000, 20
"""Likewise of what is over."""

_MOST_EDITABLE, _LONGEST_EDITABLE = 30, 10_000
"""Arguments, and characters of them all, that still fit into a form."""

_BACK = re.compile(r"apr_[0-9a-f]{24}|authorize")
"""What somebody may be led back to who had to be known first: an approval, or what a client asks."""

_OVER = ("approved", "rejected", "consumed", "expired", "void")

Handler = Callable[[Request], Awaitable[Response]]


class ApprovalPages:
    """The pages of one guard, below `[approvals] page`."""

    def __init__(
        self,
        guard: Guard,
        site: Site,
        tally: Tally,
        provider: Provider | None = None,
        documents: Documents | None = None,
    ) -> None:
        """With a `provider` people log in there; else they pair their browsers."""
        page = guard.settings.approvals.page
        self._guard = guard
        self._site = site
        self._base = urlsplit(page).path.rstrip("/")
        self._pages = Pages(self._base)
        self._tally = tally
        self._provider = provider
        self._paired = PairedPeople(guard, page)
        self._people: People = self._paired
        self._login: LoginPages | None = None
        if provider is not None:
            people = ProviderPeople(guard, page, provider.logins.standing)
            self._people = self._paired = people
            self._login = LoginPages(self._base, provider, people, tally)
        self._tries = Tries()
        documents = documents or Documents(guard)
        self._consent = ConsentPages(guard, self, tally, documents) if guard.logins.enabled() else None
        if self._consent and self._login:
            self._login.backs.append(re.compile("authorize"))

    def routes(self) -> list[Route]:
        """Everything that is served."""
        base = self._base
        return [
            Route(f"{base}/approvals", self.known(self._list), methods=["GET"]),
            Route(f"{base}/approvals/", self.known(self._without_slash), methods=["GET"]),
            Route(f"{base}/approvals/{{id}}/", self.known(self._without_slash), methods=["GET"]),
            Route(f"{base}/approvals/{{id}}", self.known(self._show), methods=["GET"]),
            Route(f"{base}/approvals/{{id}}", self.known(self._answered), methods=["POST"]),
            Route(f"{base}/unpair", self.known(self._unpair), methods=["POST"]),
            *(self._login.routes() if self._login else self._pairing()),
            *(self._consent.routes() if self._consent else ()),
        ]

    def _pairing(self) -> list[Route]:
        return [
            Route(f"{self._base}/pair", self._shown(self._ask_for_code), methods=["GET"]),
            Route(f"{self._base}/pair", self._shown(self._pair), methods=["POST"]),
        ]

    def _shown(self, handler: Handler) -> Handler:
        """The handler; whatever cannot be read or done is told on a page."""

        async def respond(request: Request) -> Response:
            try:
                return await handler(request)
            except FormError as error:
                return self._pages.told(error.status, "This form cannot be read", error.sentence)
            except HopwardError as error:
                told = (
                    "Hopward cannot answer at the moment."
                    if isinstance(error, LedgerError)
                    else error.message
                )
                return self._pages.told(503, "Not now", told)

        return respond

    def known(self, handler: Callable[[Request, Person], Awaitable[Response]]) -> Handler:
        """The handler for somebody who is known; everybody else is shown how to become so."""

        async def respond(request: Request) -> Response:
            person = self._people.person(request)
            if person is None:
                return self._stranger(request)
            return await handler(request, person)

        return self._shown(respond)

    def _stranger(self, request: Request) -> Response:
        if self._provider is None or self._login is None:
            return self._pages.page("stranger.html", 403)
        way = self._login.way_to(request.url.path.removeprefix(self._base))
        return self._pages.page("log_in.html", 403, issuer=self._provider.logins.settings.issuer, way=way)

    async def _list(self, _: Request, person: Person) -> Response:
        """What waits, and what ends first at the top, so that nothing asked later pushes it off the page."""
        approvals, name = self._guard.approvals, person.name
        asked = approvals.find(limit=_MOST)
        asked.reverse()
        asked.sort(key=lambda one: one.expires_at)
        waiting = [one for one in asked if approvals.concerns(one, name)]
        mine = [one for one in waiting if not approvals.why_not(one, name)]
        others = [one for one in waiting if one not in mine]
        over = approvals.find(_OVER, limit=_LOOKED_THROUGH)
        recent = [one for one in over if approvals.concerns(one, name)]
        return self.of(
            person,
            "list.html",
            pending=[approvals.summary(one) for one in mine[:_SHOWN]],
            others=[approvals.summary(one) for one in others[:_SHOWN]],
            more=(len(mine[_SHOWN:]), len(others[_SHOWN:])),
            recent=[approvals.summary(one) for one in recent[:_RECENT]],
            looked_through=_LOOKED_THROUGH if len(over) >= _LOOKED_THROUGH and len(recent) < _RECENT else 0,
            devices=[one for one in self._guard.devices.find() if one.person == name and one.paired_at],
            moment=_moment,
        )

    async def _without_slash(self, request: Request, _: Person) -> Response:
        return self._see("/".join(("/approvals", *request.path_params.values())))

    async def _show(self, request: Request, person: Person) -> Response:
        return self._approval(request.path_params["id"], person)

    def _approval(
        self,
        approval_id: str,
        person: Person,
        status: int = 200,
        told: str = "",
        answer: Answer | None = None,
    ) -> Response:
        """One approval in full. `told` is what became of an `answer` that did not count."""
        approvals = self._guard.approvals
        try:
            one = approvals.get(approval_id)
        except NotFoundError:
            return self._told(person, 404, "There is no such approval")
        why_not = approvals.why_not(one, person.name)
        if not approvals.concerns(one, person.name):
            return self._told(person, 403, "Not yours to answer", why_not)
        summary = approvals.summary(one)
        size = sum(len(argument.value) for argument in summary.arguments)
        fits = 0 < len(summary.arguments) <= _MOST_EDITABLE and size <= _LONGEST_EDITABLE
        return self.of(
            person,
            "approval.html",
            status,
            one=summary,
            told=told,
            open=one.state == "pending",
            standing=one.state == "approved",
            most_times=approvals.most_times(one),
            same=self._same(approval_id, person),
            why_not=why_not,
            may_say_no=not approvals.why_not(one, person.name, yes=False),
            editable=bool(one.server) and fits and not why_not and approvals.shows_all(one),
            edited=answer.arguments if answer else {},
            why=answer.why if answer else "",
            replaced_by=one.replaced_by,
            token=person.form_token(one.id),
            provenance=_PROVENANCE,
        )

    def _same(self, approval_id: str, person: Person) -> list[Any]:
        """What asks the same and is this person's to answer as well, as summaries."""
        approvals = self._guard.approvals
        one = approvals.get(approval_id)
        if one.state != "pending" or approvals.why_not(one, person.name):
            return []
        return [
            approvals.summary(other)
            for other in approvals.same(one)
            if not approvals.why_not(other, person.name)
        ]

    async def _answered(self, request: Request, person: Person) -> Response:
        approval_id, approvals = request.path_params["id"], self._guard.approvals
        answer = await read_answer(request)
        forged = self.forged(request, person, answer.token, approval_id)
        if forged is not None:
            return forged
        try:
            asked = approvals.get(approval_id)
            self._guard.devices.answering(person.device, person.name, asked.id, answer.said)
            if answer.same:
                return self._answered_same(approval_id, person, answer)
            if answer.said == "no":
                found = approvals.reject(approval_id, by=person.name, why=answer.why)
            else:
                edits = answer.said == "edit"
                changed = approvals.edited(asked, answer.arguments) if edits else None
                found = approvals.approve(
                    approval_id, by=person.name, why=answer.why, arguments=changed, times=answer.times
                )
        except NotFoundError:
            return self._told(person, 404, "There is no such approval")
        except StateError as error:
            told = f"{error.message} {error.advice}".strip()
            return self._approval(approval_id, person, 409, told, answer)
        return self._see(f"/approvals/{found.id}")

    def _answered_same(self, approval_id: str, person: Person, answer: Answer) -> Response:
        """An answer to an approval and to what asks the same, as far as the page has shown it."""
        found = self._guard.approvals.answer_same(
            approval_id, yes=answer.said == "yes", by=person.name, why=answer.why, among=answer.same
        )
        if not found.left:
            return self._see("/approvals")
        told = " ".join(f"Not answered: {one.id}. {why}" for one, why in found.left)
        return self._approval(approval_id, person, told=told)

    async def _ask_for_code(self, request: Request) -> Response:
        back = self._came_for(request.headers.get("referer", ""))
        return self.of(self._people.person(request), "pair.html", told="", back=back)

    def _came_for(self, referer: str) -> str:
        """What has led somebody unknown here: the id of an approval, or `authorize`; empty for all else.

        Nothing else is kept, so that nobody is sent elsewhere. Our own pages tell each other where one comes
        from (`Referrer-Policy`), and a browser that does not leads to the list.
        """
        here = f"{self._site.origin}{self._base}/"
        rest = referer.partition("?")[0].removeprefix(here).removeprefix("approvals/")
        return rest if referer.startswith(here) and _BACK.fullmatch(rest) else ""

    async def _pair(self, request: Request) -> Response:
        """Nobody is known yet, so that only where the form comes from can be checked."""
        address = request.client.host if request.client else ""
        fields = await read_fields(request, frozenset({"code", "label", "back"}))
        back = fields.get("back", "")
        if back and not _BACK.fullmatch(back):
            raise FormError(400, "invalid_request", "It has a field that does not belong to it.")
        if not self._from_here(request):
            return self._pages.told(403, "Refused", "This form was not sent by a page of Hopward.")
        if self._tries.exhausted(address):
            page = self._pages.told(429, "Too many wrong codes", "Wait ten minutes, and ask for a new code.")
            page.headers["Retry-After"] = str(int(WITHIN))
            return page
        try:
            secret, device = self._guard.devices.pair(fields.get("code", ""), fields.get("label", ""))
        except StateError as error:
            self._tries.wrong(address)
            self._tally.note("no_code", "Somebody typed a code that no device can be paired with.")
            told = f"{error.message} {error.advice}"
            return self.of(None, "pair.html", 403, told=told, back=back)
        self._replace(request, device.person)
        response = self._see(_way_back(back))
        self._paired.remember(response, secret)
        return response

    def _replace(self, request: Request, person: str) -> None:
        """What this browser was paired for before would be lost sight of, but would go on counting."""
        before = self._people.person(request)
        if before is not None:
            with suppress(NotFoundError):
                self._guard.devices.end(before.device, by=person, why="paired anew")

    async def _unpair(self, request: Request, person: Person) -> Response:
        """End one of this person's devices, by default the one that they hold."""
        fields = await read_fields(request, frozenset({"token", "device"}))
        forged = self.forged(request, person, fields.get("token", ""), "unpair")
        if forged is not None:
            return forged
        device = fields.get("device", person.device)
        if device not in {one.id for one in self._guard.devices.find() if one.person == person.name}:
            return self._told(person, 404, "You have no such device")
        there = self._ended(device, person)
        if device != person.device:
            return self._see("/approvals")
        response = (
            self._pages.page("logged_out.html", there=there)
            if self._provider
            else self._pages.told(200, "This device answers for nobody any more")
        )
        self._paired.forget(response)
        return response

    def _ended(self, device: str, person: Person) -> str:
        """End a device of this person; where their browser logs out at the provider too, or empty."""
        if self._provider is not None:
            return self._provider.logins.log_out(device)
        with suppress(NotFoundError):
            self._guard.devices.end(device, by=person.name, why="ended by the person")
        return ""

    def forged(self, request: Request, person: Person, token: str, purpose: str) -> Response | None:
        """The refusal of a form that this person has not sent from a page of ours for this purpose."""
        if self._from_here(request) and person.made(token, purpose):
            return None
        self._tally.note(
            "forged_form", f"A form in the name of {person.name} was not sent from a page of their own."
        )
        return self._told(
            person, 403, "Refused", "This form was not sent from the page it belongs to. Open it again."
        )

    def _from_here(self, request: Request) -> bool:
        """Whether a page of ours has sent a form: every browser says which origin posts.

        `HostCheck` has refused a foreign origin already; what says nothing is refused here.
        """
        sites = request.headers.getlist("sec-fetch-site")
        return request.headers.getlist("origin") == [self._site.origin] and sites in ([], ["same-origin"])

    def of(self, person: Person | None, name: str, status: int = 200, **filled: Any) -> Response:
        known = {} if person is None else {"person": person, "forget": person.form_token("unpair")}
        return self._pages.page(name, status, **known, **filled)

    def _told(self, person: Person, status: int, heading: str, *lines: str) -> Response:
        return self.of(person, "told.html", status, heading=heading, lines=lines)

    def _see(self, path: str) -> Response:
        """Where to look next, as a path: an address would be of whatever host the request named."""
        return RedirectResponse(f"{self._base}{path}", 303, HEADERS)


def _way_back(back: str) -> str:
    """The path, below the base, to what had led somebody to the pairing."""
    if back == "authorize":
        return "/authorize"
    return f"/approvals/{back}" if back else "/approvals"


def _moment(instant: int) -> str:
    """An instant of the guard, microseconds, for people."""
    return datetime.fromtimestamp(instant // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
