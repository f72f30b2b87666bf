"""From `hopward.toml` to a working guard. The only place where the parts are put together."""

from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from hopward.announcing import Announcing
from hopward.answering import Approvals
from hopward.asking import Proposal, narrowed, proposals
from hopward.binding import Binding, Proved
from hopward.carrier import Carrier, request_digest
from hopward.chain import entered
from hopward.classification import Classifications, classified
from hopward.clock import Clock, SystemClock
from hopward.config import checked_settings, read_settings
from hopward.containing import Containing
from hopward.containment import EVERYTHING
from hopward.decided import Wanted, decision_about
from hopward.errors import (
    ConfigError,
    HopwardError,
    LedgerError,
    NotFoundError,
    StateError,
    TokenError,
)
from hopward.evaluation import Sources
from hopward.exchange import endpoint
from hopward.external import ExternalServers
from hopward.guess import action_told, names_told
from hopward.hearing import Hearing
from hopward.identity import Identifier
from hopward.issuer import Issuer
from hopward.keychain import open_keys
from hopward.keys import KeyRing
from hopward.ledger import RowFilter, SqliteLedger
from hopward.logins import Logins
from hopward.model import (
    Chain,
    Hop,
    Revocation,
    RevocationKind,
    Task,
    Tool,
    ToolCall,
    plain,
)
from hopward.notices import Notices
from hopward.observation import refuse_too_long
from hopward.obtaining import Obtaining
from hopward.opening import Wish, new_task
from hopward.osuser import os_user
from hopward.pairing import Devices
from hopward.pinning import Pins
from hopward.policies import LoggedPolicies, PolicyStore
from hopward.provider_logins import ProviderLogins
from hopward.record import Draft
from hopward.redaction import Redaction
from hopward.registry import Registry, way_back
from hopward.remote import RemoteAuthority
from hopward.settings import Settings, WorkflowSettings
from hopward.webhook import make_secret
from hopward.workloads import Workloads


def _policy_set_logged(ledger: SqliteLedger) -> str:
    """The policy set that came into force last, as the log tells it; empty for a new log."""
    rows = ledger.rows(RowFilter(kind="policy"))
    return next((str(row.record["policy_set"]) for row in rows if row.record["event"] == "in_force"), "")


class Guard(Registry, Containing, Binding, Obtaining):
    """The guard of one `hopward.toml`, with everything around it: tasks, revocation, callers, credentials.

    `Guard.open("hopward.toml")` is the way in. `settings`, `tools`, `ledger`, `issuer` and `policies` are
    the parts it was built from; `signs` says whether the signing key is in this process. `approvals` is where
    people answer what a step-up asks, `devices` knows the browsers in which they do, `logins` what they let
    OAuth clients do, `workloads` the agents that are bound to workloads. `events` hears what others tell of
    subjects and agents.
    """

    action_told = staticmethod(action_told)
    names_told = staticmethod(names_told)
    devices_in = staticmethod(Devices.opened)
    local_user = staticmethod(os_user)
    webhook_secret = staticmethod(make_secret)
    signs: bool
    settings: Settings
    tools: tuple[Tool, ...]
    ledger: SqliteLedger
    issuer: Issuer
    policies: PolicyStore
    approvals: Approvals
    devices: Devices
    logins: Logins
    workloads: Workloads
    events: Hearing
    announcing: Announcing

    @classmethod
    def open(cls, path: str | Path, *, clock: Clock | None = None, as_authority: bool = False) -> "Guard":
        """Read the configuration, check everything, and stand ready to decide.

        Where `authority.mode` is remote, the guard does without the signing key, unless it is opened
        `as_authority`: then it is what others ask for tokens, and publishes the public keys for them.

        Raises `ConfigError` listing every problem of configuration or policy, and `LedgerError` when the
        decision log cannot be opened. There is no partial start.
        """
        guard = cls.prepared(path, clock=clock, as_authority=as_authority)
        guard.begin()
        return guard

    @classmethod
    def prepared(
        cls,
        path: str | Path,
        text: str | None = None,
        *,
        clock: Clock | None = None,
        as_authority: bool = False,
    ) -> "Guard":
        """What `open` would, but nothing is in force before `begin`. `text` is what the file held when it was
        read, if that was before."""
        path = Path(path)
        settings = read_settings(path) if text is None else checked_settings(text, path)
        clock = clock or SystemClock()
        refuse_too_long(settings.servers, clock.now())
        tools = classified(settings.servers)
        policies = PolicyStore(settings.policies, tools, settings.approvals.groups, clock=clock)
        keyring = open_keys(settings, clock, as_authority=as_authority)
        ledger = SqliteLedger.open(settings.log_file, durability=settings.log.durability, clock=clock)
        issuer = Issuer(settings=settings, keyring=keyring, clock=clock)
        logged = LoggedPolicies(policies, ledger, clock, _policy_set_logged(ledger))
        sources = Sources(
            ledger=ledger,
            policies=logged,
            classifications=Classifications(tools),
            exchanger=issuer,
            agents=frozenset(settings.agents),
            redaction=Redaction(settings.log),
            pins=Pins(ledger, settings.servers, tools, clock, settings.agents),
            approvals=settings.approvals,
            risk=settings.risk,
            quarantines=Containing.over(settings, ledger, clock),
            servers=settings.servers,
        )
        guard = cls(sources, clock)
        guard.settings, guard.tools, guard.ledger = settings, tools, ledger
        guard.issuer, guard.policies = issuer, policies
        guard.signs = isinstance(keyring, KeyRing)
        guard._ring = keyring if isinstance(keyring, KeyRing) else None
        guard._keys = keyring.verification_keys
        guard._identifier = Identifier(keyring=keyring, issuer=issuer.issuer, clock=clock)
        guard._proved = Proved(settings, keyring, ledger, clock)
        guard._remote = RemoteAuthority(issuer=issuer.issuer, keys=keyring, clock=clock)
        guard._external = ExternalServers(settings, keyring, clock, lambda: logged.current().policy_set)
        guard._carrier = Carrier(issuer.issuer, keyring, ledger, clock)
        guard._current = logged.current
        guard._redaction = sources.redaction
        guard.approvals = Approvals(sources, clock)
        guard.devices = Devices(ledger, settings, clock)
        guard.logins = Logins(ledger=ledger, settings=settings, tools=tools, issuer=issuer, tasks=guard)
        guard.workloads = Workloads(settings, ledger, clock)
        guard.announcing = Announcing(settings, ledger, issuer, clock)
        guard.events = Hearing(settings, ledger, clock)
        guard.events.installed(guard, guard.devices, guard.logins)
        return guard

    def begin(self) -> None:
        """Register the agents of the configuration, and have the log tell the policies in force. Raises
        `LedgerError` where it cannot, and has closed the log then."""
        try:
            self.register()
            self._current()
        except HopwardError:
            self.close()
            raise

    _current: Callable[[], object]
    _keys: Callable[[], object]
    _ring: KeyRing | None
    _carrier: Carrier
    _redaction: Redaction

    def notices(self) -> Notices:
        """What a webhook is to be told of approvals; raises `ConfigError` where none can be signed for."""
        return Notices(self.settings, self.ledger, self.approvals, self._clock)

    def provider_logins(self, environment: Mapping[str, str]) -> ProviderLogins | None:
        """Logins of people at the provider of `[people]`; None where they pair their browsers.

        Raises `ConfigError` without the client secret in the environment, or without the signing key.
        """
        ring = self._ring
        if self.settings.people is None:
            return None
        if ring is None:
            raise ConfigError("People log in where the authority is, and this is elsewhere.")
        return ProviderLogins(self.settings, self._clock, self, lambda: ring.signing, environment)

    def holder(self, agent: str) -> str:
        """The `key` to `delegate` with, for chains that may be carried to the proxy by this process."""
        return self._carrier.holder(agent)

    def present(self, chain: Chain, server: str, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """A chain of this process for one MCP request at the endpoint of a server, as JSON for its `_meta`.

        `params` is what is asked, without `_meta`. Raises `HopwardError` where it cannot be presented.
        """
        return self._carrier.present(chain, self._endpoint(server), request_digest(method, params))

    def accepted(self, presented: Mapping[str, Any]) -> bool:
        """Whether a proxy with this decision log has accepted what `present` made, within the last minute.

        Nobody else can, so this tells the guarded proxy from a server that a request has reached past it.
        Raises `LedgerError` where the log cannot be read.
        """
        return self._carrier.accepted(presented)

    def decision_about(
        self,
        chain: Chain,
        call: ToolCall,
        after: int,
        but: Container[str] = (),
        *,
        permitted: bool = False,
    ) -> str:
        """The id of the decision about exactly this call of this chain that stands behind row `after`.

        Empty where there is none: then nobody has decided it, or not so that it is `permitted`, or observed.
        Decisions in `but` are about other calls of the same kind. Raises `LedgerError` where the log cannot
        be read, `ValueError` for arguments that JSON cannot carry.
        """
        return decision_about(self.ledger, chain, call, Wanted(after, but, permitted))

    def access_token(self, chain: Chain, server: str) -> tuple[str, int]:
        """An access token (RFC 9068) of a chain of this process for a server's endpoint, and its seconds.

        Raises `HopwardError` where there is none to be had, or the signing key is elsewhere.
        """
        if server not in self.settings.servers or not self.signs:
            raise TokenError(f"No token for {server!r} is minted in this process.", error="wrong_audience")
        issued = self.issuer.endpoint_token(chain, server, self.ledger)
        return issued.token, issued.expires_in

    def presented(self, value: object, server: str, method: str, params: Mapping[str, Any]) -> Chain:
        """The chain that a request at the endpoint of a server carries; raises `TokenError`.

        Genuine, within its task in every dimension, and presented by its holder, for exactly this request,
        for the first time. Standing is not looked at here: `authorize` does, on every call.
        """
        return self._carrier.accept(value, self._endpoint(server), request_digest(method, params))

    def classified(self, server: str, names: Iterable[str]) -> frozenset[str]:
        """Which of a server's names somebody has classified: for a listing that nobody's chain filters."""
        return self._evaluator.offered(server, names)

    def _endpoint(self, server: str) -> str:
        if server not in self.settings.servers:
            raise TokenError(f"There is no server {server!r}.", error="wrong_audience")
        return endpoint(self.settings, server)

    def proposed(self, workflow: str, request: str) -> tuple[Proposal, ...]:
        """Which of a workflow's tools a task for this request should have; a person may change it."""
        return proposals(request, self._workflow(workflow).capabilities, self.tools)

    def open_task(
        self,
        workflow: str,
        subject: str,
        *,
        parameters: Mapping[str, str] | None = None,
        request: str = "",
        tools: Iterable[str] | None = None,
    ) -> Task:
        """Open a task of a configured workflow on behalf of `subject`.

        `parameters` and `request`, what the subject asked for in their own words, say what it is about: an
        argument that names something is anchored if its value stands there. With `tools` (`SERVER/TOOL`, or
        a prefix and `*`) it may use no others of its workflow.

        Raises `NotFoundError` for an unknown workflow, `StateError` when its agent is not active, it or the
        subject is quarantined, everything is stopped, the subject is nobody (empty, no text, or an agent), or
        the parameters are not those the workflow declares.
        """
        self.events.require_heard()
        settings = self._workflow(workflow)
        agent = self.agent(settings.agent)
        if agent.state != "active":
            told = f"Agent {agent.id} is {agent.state}, so no task can be opened for it."
            raise StateError(told, advice=way_back(agent))
        wish = Wish(workflow, subject, parameters or {}, request)
        task = new_task(wish, settings, self._clock.now())
        if tools is not None:
            task = narrowed(task, tools)
        self._begin(task, self._task_draft(task))
        return task

    def _workflow(self, name: str) -> WorkflowSettings:
        settings = self.settings.workflows.get(name)
        if settings is None:
            known = ", ".join(sorted(self.settings.workflows)) or "none"
            raise NotFoundError(f"There is no workflow {name!r}.", advice=f"Configured workflows: {known}")
        return settings

    def _task_draft(self, task: Task) -> Draft:
        told = self._redaction.task(plain(task))
        record = {"event": "opened", "task": told}
        return Draft(kind="task", at=task.opened_at, record=record, task=task.id, agent=task.agent)

    def lacking(self) -> tuple[str, ...]:
        """What is missing at this moment without which nothing would be permitted: `log`, `keys`; or nothing.

        `stopped` is among it while everything is. The policies in force stay in force once they are loaded.
        This writes to the log file, but no row.
        """
        found: list[str] = []
        try:
            self.ledger.check_writable()
            if self.containment("all", EVERYTHING) is not None:
                found.append("stopped")
        except LedgerError:
            found.append("log")
        try:
            self._keys()
        except HopwardError:
            found.append("keys")
        return tuple(found)

    def task(self, task_id: str) -> Task:
        """One task, with `expired` shown as its state once its time is over; raises `NotFoundError`."""
        task = self.ledger.task(task_id)
        if task.state == "open" and task.expires_at <= self._clock.now():
            return msgspec.structs.replace(task, state="expired")
        return task

    def enter(self, task_id: str) -> Chain:
        """The chain of a task's own agent in this process; raises `StateError` unless the task is open."""
        task = self.task(task_id)
        if task.state != "open":
            raise StateError(f"Task {task_id} is {task.state}.", advice="hopward task open starts a new one.")
        return entered(task)

    def complete_task(self, task_id: str) -> None:
        """End a task: its next call is refused. Raises `StateError` when it has ended already."""
        self._end_task(task_id, "completed", kind="task", record={"event": "completed"})

    def hop(self, hop_id: str) -> Hop:
        """One hop; raises `NotFoundError`."""
        return self.ledger.hop(hop_id)

    def revoke(self, kind: RevocationKind, name: str, *, by: str, why: str) -> None:
        """Make a task, hop, agent, subject, token (`jti`) or signing key (`kid`) stop counting from now on.

        Everything issued under it until now is refused at its next call, in every process on the machine. A
        signing key of this installation is withdrawn from the JWKS as well; raises `StateError` if it is
        revoked, and only the authority's user can withdraw it.
        """
        record = {"event": "revoked", "kind": kind, "id": name, "by": by, "why": why}
        if kind == "task":
            self._end_task(name, "revoked", kind="revocation", record=record)
            return
        if kind == "agent":
            self.agent(name)
        now = self._clock.now()
        revoked = Revocation(kind=kind, id=name, at=now, by=by, why=why)
        task = self.hop(name).task if kind == "hop" else ""
        draft = Draft(
            kind="revocation", at=now, record=record, task=task, agent=name if kind == "agent" else ""
        )
        self.ledger.revoke(revoked, draft)
        if kind == "key":
            self._withdraw(name)

    def close(self) -> None:
        """Close the decision log."""
        self.ledger.close()

    def _withdraw(self, kid: str) -> None:
        try:
            self.issuer.withdraw(kid, self.ledger)
        except ConfigError as error:
            told = f"Key {kid} is revoked, but servers still find it published. {error.message}"
            raise StateError(told, advice=error.advice) from error

    def _end_task(
        self,
        task_id: str,
        state: Literal["completed", "revoked"],
        *,
        kind: Literal["task", "revocation"],
        record: dict[str, Any],
    ) -> None:
        task = self.task(task_id)
        if task.state != "open":
            raise StateError(f"Task {task_id} is already {task.state}.")
        draft = Draft(kind=kind, at=self._clock.now(), record=record, task=task.id, agent=task.agent)
        self.ledger.set_task_state(task.id, state, draft)
        self._external.subjects.forget(task.id)
