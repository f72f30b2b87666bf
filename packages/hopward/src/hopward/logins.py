"""People log in with an OAuth client: from their yes to a task of their own, its tokens, and its end.

A code counts once, for a minute, for the client, address, endpoint and challenge it was made for. Redeemed,
it opens a task of the endpoint's workflow on behalf of the person, for the workflow's agent, and gives an
access token (RFC 9068) and a refresh token. A refresh token counts once as well. A code or refresh token that
is presented again has been taken by somebody (RFC 9700 sections 2.1.1 and 4.14.2): the login ends then, and
with it its task and every token of it. Only digests of codes and refresh tokens are stored.
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from msgspec.structs import replace

from hopward import consent, pattern
from hopward.authorization import (
    asked_scope,
    authorization_response,
    once,
    read_authorization,
    redirect_of,
    verifies,
)
from hopward.chain import METHOD
from hopward.claims import is_login_client
from hopward.client_document import host_of, read_document
from hopward.clock import SECOND, Clock, Instant
from hopward.consent import Offer
from hopward.errors import ExchangeRefusedError, HopwardError, NotFoundError, StateError
from hopward.issuer import Book, Issued, Issuer
from hopward.login import Login, LoginClient
from hopward.model import Chain, Task, Tool
from hopward.policy import nearest
from hopward.record import Draft, Receipt
from hopward.redirection import return_source
from hopward.revocation import of_person, why_revoked
from hopward.settings import ClientSettings, Settings

CODE_LASTS = 60 * SECOND
"""How long a code may be redeemed; RFC 6749 section 4.1.2 wants ten minutes at most."""

_MOST_DOCUMENTS = 256
"""Clients' documents that are remembered."""

_ROUNDS = 8
"""How often the end of a login is stored again when it has changed meanwhile."""


class LoginLedger(Book, Protocol):
    """Where logins are stored, with the rows that tell of them."""

    def put_login(self, login: Login, draft: Draft) -> None: ...
    def change_login(self, before: Login, after: Login, draft: Draft | None = None) -> None: ...
    def login(self, secret: str) -> Login | None: ...
    def logins(self) -> tuple[Login, ...]: ...
    def record(self, drafts: Sequence[Draft]) -> list[Receipt]: ...


class Tasks(Protocol):
    """What is needed of the guard."""

    def open_task(self, workflow: str, subject: str) -> Task: ...
    def task(self, task_id: str) -> Task: ...
    def enter(self, task_id: str) -> Chain: ...
    def complete_task(self, task_id: str) -> None: ...


class Logins:
    """Grants, renews and ends logins. Safe to share between threads."""

    is_client = staticmethod(is_login_client)
    once = staticmethod(once)
    return_source = staticmethod(return_source)

    def __init__(
        self,
        *,
        ledger: LoginLedger,
        settings: Settings,
        tools: tuple[Tool, ...],
        issuer: Issuer,
        tasks: Tasks,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._tools = tools
        self._issuer = issuer
        self._tasks = tasks
        self._clock: Clock = issuer.clock
        self._documents: dict[str, LoginClient] = {}

    def document_host(self, client_id: str) -> str:
        """The host whose document says who a client is, empty for a client that has none.

        Raises `ExchangeRefusedError` for a host that is not let in.
        """
        if not client_id.startswith("https://"):
            return ""
        return host_of(client_id, self._settings.login.documents)

    def forget(self, client_id: str) -> None:
        """Know a client no more by its document."""
        self._documents.pop(client_id, None)

    def learn(self, client_id: str, body: bytes) -> None:
        """What stands in a client's document; raises `ExchangeRefusedError`."""
        known = read_document(client_id, body)
        while len(self._documents) >= _MOST_DOCUMENTS:
            self._documents.pop(next(iter(self._documents)))
        self._documents[client_id] = known

    def public(self, client_id: str) -> bool:
        """Whether a client has no key to authenticate with; raises `ExchangeRefusedError` for an unknown one.

        One that has a document never has: what it presents at the token endpoint was made for it.
        """
        return bool(self.document_host(client_id)) or not self.client(client_id).keys

    def client(self, client_id: str) -> LoginClient:
        """The client with this id: `client:NAME` of `hopward.toml`, or one whose document was learnt.

        Raises `ExchangeRefusedError`.
        """
        if self.document_host(client_id) and client_id in self._documents:
            return self._documents[client_id]
        name = client_id.removeprefix("client:")
        found = self._settings.clients.get(name) if name != client_id else None
        if found is None:
            raise ExchangeRefusedError("There is no such client.", error="invalid_client")
        return _configured(client_id, name, found)

    def redirect(self, parameters: Mapping[str, str]) -> str:
        """Where an authorization request leads back to; raises `ExchangeRefusedError`.

        Then nobody is sent anywhere: whoever asks may be anybody (RFC 6749 section 4.1.2.1).
        """
        return redirect_of(parameters, self.client(parameters.get("client_id", "")))

    def response(self, parameters: Mapping[str, str], **answer: str) -> str:
        """The address that the person is sent back to with an answer."""
        state = parameters.get("state", "")
        return authorization_response(self.redirect(parameters), state, self._issuer.issuer, **answer)

    def offer(self, parameters: Mapping[str, str], person: str) -> Offer:
        """What a person would grant with a yes to an authorization request (RFC 6749 section 4.1.1).

        Raises `ExchangeRefusedError` with the OAuth error code where it is nothing, recorded where the
        request is well formed.
        """
        asked = read_authorization(parameters, self.client(parameters.get("client_id", "")))
        try:
            return consent.offer(asked, person, self._settings, self._tools)
        except ExchangeRefusedError as error:
            about = {"client": asked.client.id, "person": person, "resource": asked.resource}
            self._tell("refused", {**about, "by": person, "why": error.message})
            raise

    def new_to(self, offered: Offer) -> Mapping[str, bool]:
        """By full name, whether each tool of an offer is new: in no login of this person with this client."""
        return consent.new_to(offered, [one.scope for one in self.granted_before(offered)])

    def granted_before(self, offered: Offer) -> tuple[Login, ...]:
        """The logins of this person with this client, at this endpoint, that are not over."""
        now = self._clock.now()
        return tuple(
            one
            for one in self._ledger.logins()
            if (one.person, one.client, one.resource)
            == (offered.person, offered.asked.client.id, offered.asked.resource)
            and counts(one, now)
        )

    def grant(self, offered: Offer, device: str, tools: Iterable[str]) -> str:
        """The code for a person's yes to these tools of an offer, told only here."""
        scope = consent.chosen(offered, tools, self._settings)
        code, now, asked = secrets.token_urlsafe(32), self._clock.now(), offered.asked
        login = Login(
            id="login_" + secrets.token_hex(12),
            client=asked.client.id,
            person=offered.person,
            device=device,
            server=offered.server,
            workflow=offered.workflow,
            resource=asked.resource,
            scope=scope,
            redirect_uri=asked.redirect_uri,
            challenge=asked.challenge,
            secret=_digest("code", code),
            granted_at=now,
            expires_at=now + CODE_LASTS,
        )
        told = {"device": device, "scope": list(scope), "redirect_uri": asked.redirect_uri}
        self._ledger.put_login(login, self._row("granted", login, offered.person, **told))
        return code

    def enabled(self) -> bool:
        """Whether anybody may log in at all."""
        return any(workflow.login for workflow in self._settings.workflows.values())

    def decline(self, offered: Offer, device: str) -> None:
        """Record a person's no."""
        about = {"client": offered.asked.client.id, "person": offered.person, "by": offered.person}
        told = {"resource": offered.asked.resource, "device": device}
        self._tell("declined", {**about, **told}, offered)

    def redeem(
        self, code: str, client: str, *, redirect_uri: str, resource: str, verifier: str, bound: str = ""
    ) -> Issued:
        """The tokens for a code (RFC 6749 section 4.1.3); opens the task. Raises `ExchangeRefusedError`.

        `bound` names the key that the client has proved to hold: its tokens belong to it (RFC 9449, 5).
        """
        login, now = self._ledger.login(_digest("code", code)), self._clock.now()
        if login is None or login.client != client:
            raise _invalid("There is no such code for this client.")
        if login.redeemed_at:
            raise self._taken(login, "The code has been used before; what came of it has ended.")
        if not counts(login, now):
            raise _invalid("The code is over.")
        person = of_person(login.person, login.granted_at, login.expires_at)
        if why_revoked(self._ledger.standing(person).revocations, person):
            raise _invalid("Who has granted this has been revoked since.")
        if login.redirect_uri != redirect_uri:
            raise _invalid("The code is for another redirect_uri.")
        if login.resource != resource:
            raise _invalid("The code is for another resource.", "invalid_target")
        if not verifies(verifier, login.challenge):
            raise _invalid("The code_verifier is not the one of the code's challenge.")
        return self._opened(login, now, bound)

    def refresh(
        self, token: str, client: str, resource: str = "", scope: str = "", bound: str = ""
    ) -> Issued:
        """New tokens for a refresh token, which counts no more. Raises `ExchangeRefusedError`.

        A refresh token that is bound to a key counts with that alone. `scope`, as in a request, may ask for
        less in the access token; empty for all that was granted.
        """
        digest, now = _digest("refresh", token), self._clock.now()
        login = self._ledger.login(digest)
        if login is None or login.client != client:
            raise _invalid("There is no such refresh_token for this client.")
        if login.secret != digest:
            raise self._taken(login, "The refresh_token has been used before; its login has ended.")
        if login.bound not in ("", bound):
            raise _invalid("The refresh_token is bound to a key that is not proved.", "invalid_dpop_proof")
        if resource and resource != login.resource:
            raise _invalid("The refresh_token is for another resource.", "invalid_target")
        ended = self._why_over(login, now)
        if ended:
            self.end(login, by=client, why=ended)
            raise _invalid(f"{ended} Log in again.")
        issued = self._access_token(login, self._narrowed(login, asked_scope(scope)), bound)
        refreshed, renewed = self._renewed(login, used_at=now)
        try:
            self._ledger.change_login(login, renewed, self._row("refreshed", renewed, client))
        except (NotFoundError, StateError) as error:
            told = "The refresh_token is being used elsewhere; its login has ended."
            raise self._taken(login, told) from error
        return _answered(issued, refreshed)

    def end(self, login: Login, *, by: str, why: str, event: str = "ended") -> None:
        """End a login, its task and with that every token of it; nothing where it has ended already.

        Raises `LedgerError`.
        """
        for _ in range(_ROUNDS):
            present = self._ledger.login(login.secret)
            if present is None or present.ended_at:
                return
            if present.task:
                with suppress(StateError):
                    self._tasks.complete_task(present.task)
            over = replace(present, ended_at=self._clock.now())
            with suppress(StateError):
                self._ledger.change_login(present, over, self._row(event, over, by, why=why))
                return
        raise StateError(f"Login {login.id} keeps changing; try again.")

    def revoke(self, token: str, client: str) -> bool:
        """End the login of a refresh token of this client (RFC 7009); False if it is none.

        Raises `ExchangeRefusedError` for another client's.
        """
        login = self._ledger.login(_digest("refresh", token))
        if login is None:
            return False
        if login.client != client:
            raise _invalid("The token was issued to another client.")
        self.end(login, by=client, why="the client has logged out")
        return True

    def of_task(self, task_id: str) -> Login | None:
        """The login that has opened a task."""
        return next((one for one in self._ledger.logins() if task_id and one.task == task_id), None)

    def find(self, person: str = "") -> tuple[Login, ...]:
        """The logins that are not over, the oldest first; of one person, if one is named."""
        now = self._clock.now()
        return tuple(
            one for one in self._ledger.logins() if one.person == (person or one.person) and counts(one, now)
        )

    def get(self, login_id: str) -> Login:
        """One login that is not over; raises `NotFoundError`."""
        known = {one.id: one for one in self.find()}
        if login_id not in known:
            told = f"There is no login {login_id!r}{nearest(login_id, list(known)) or '.'}"
            raise NotFoundError(told, advice="hopward log tail --kind login shows what became of each.")
        return known[login_id]

    def _opened(self, login: Login, now: Instant, bound: str) -> Issued:
        """The tokens of a code that is good: its use is stored before anything comes of it."""
        refreshed, used = self._renewed(login, redeemed_at=now, used_at=now, bound=bound)
        try:
            self._ledger.change_login(login, used)
        except (NotFoundError, StateError) as error:
            told = "The code is being used elsewhere; what came of it has ended."
            raise self._taken(login, told) from error
        try:
            task = self._tasks.open_task(login.workflow, login.person)
        except StateError as error:
            self.end(used, by=login.client, why=error.message)
            raise _invalid(error.message) from error
        begun = replace(used, task=task.id, expires_at=task.expires_at)
        try:
            self._ledger.change_login(used, begun, self._row("opened", begun, login.client))
            issued = self._access_token(begun, begun.scope, bound)
        except HopwardError as error:
            with suppress(HopwardError):
                self._tasks.complete_task(task.id)
            if isinstance(error, StateError):
                raise _invalid("The login has ended meanwhile.") from error
            raise
        return _answered(issued, refreshed)

    def _renewed(self, login: Login, **changes: Any) -> tuple[str, Login]:
        """A new refresh token, and the login with it."""
        token = secrets.token_urlsafe(32)
        return token, replace(login, secret=_digest("refresh", token), **changes)

    def _access_token(self, login: Login, scope: tuple[str, ...], bound: str) -> Issued:
        chain = replace(self._tasks.enter(login.task), scope=scope)
        try:
            return self._issuer.endpoint_token(chain, login.server, self._ledger, login.client, bound)
        except ExchangeRefusedError as error:
            # What a login stands on has fallen: that is the grant's fault (RFC 6749 section 5.2), and makes a
            # client have its person log in again.
            raise _invalid(error.message) from error

    def _narrowed(self, login: Login, scope: Sequence[str]) -> tuple[str, ...]:
        if any(not any(pattern.within(name, held) for held in login.scope) for name in scope):
            raise ExchangeRefusedError("The scope reaches beyond what was granted.", error="invalid_scope")
        return pattern.normal((*scope, f"{login.server}/{METHOD}*")) if scope else login.scope

    def _why_over(self, login: Login, now: Instant) -> str:
        """Why a login counts no more, its own end apart: its task, or what `hopward.toml` says by now."""
        if not counts(login, now):
            return "The login is over."
        try:
            if consent.workflow_of(login.resource, self._settings) != (login.server, login.workflow):
                return "The endpoint has another workflow by now."
        except ExchangeRefusedError as error:
            return error.message
        if not consent.may_log_in(login.person, self._settings.workflows[login.workflow]):
            return f"{login.person} may log in no more."
        state = self._tasks.task(login.task).state
        return "" if state == "open" else f"The task is {state}."

    def _taken(self, login: Login, sentence: str) -> ExchangeRefusedError:
        """End what came of a secret that was presented twice; the refusal that says so."""
        self.end(login, by="hopward:login", why=sentence, event="reused")
        return _invalid(sentence)

    def _row(self, event: str, login: Login, by: str, **told: Any) -> Draft:
        workflow = self._settings.workflows.get(login.workflow)
        about = {"login": login.id, "client": login.client, "person": login.person, "by": by}
        return Draft(
            kind="login",
            at=self._clock.now(),
            record={"event": event, **about, "resource": login.resource, **told},
            task=login.task,
            agent=workflow.agent if workflow else "",
            server=login.server,
        )

    def _tell(self, event: str, told: dict[str, Any], offered: Offer | None = None) -> None:
        agent, server = (offered.agent, offered.server) if offered else ("", "")
        draft = Draft(
            kind="login", at=self._clock.now(), record={"event": event, **told}, agent=agent, server=server
        )
        self._ledger.record([draft])


def counts(login: Login, now: Instant) -> bool:
    """Whether a login, or its code, is not over. Its task may be."""
    return not login.ended_at and login.expires_at > now


def _configured(client_id: str, name: str, entry: ClientSettings) -> LoginClient:
    keys = (entry.key,) if entry.key else ()
    return LoginClient(
        id=client_id,
        name=entry.name or name,
        redirect_uris=entry.redirect_uris,
        keys=keys,
    )


def _answered(issued: Issued, refresh_token: str) -> Issued:
    more = {**issued.more, "refresh_token": refresh_token}
    return Issued(issued.token, issued.id, issued.scope, issued.expires_in, more, issued.bound)


def _digest(kind: str, secret: str) -> str:
    """Of different form for codes and refresh tokens, so that neither is ever taken for the other."""
    return hashlib.sha256(f"hopward login {kind}:{secret}".encode("utf-8", "replace")).hexdigest()


def _invalid(sentence: str, error: str = "invalid_grant") -> ExchangeRefusedError:
    return ExchangeRefusedError(sentence, error=error)
