"""What a person is asked to let an OAuth client do, before anything is granted: computed, never stored.

The endpoint of the proxy that is asked for has a workflow; a task of it is what the client would act in, as
the workflow's agent. The scope that was asked for can only narrow that.
"""

from collections.abc import Iterable, Mapping

from hopward import capability, pattern
from hopward.authorization import AuthorizationRequest
from hopward.chain import METHOD, scope_of
from hopward.errors import ExchangeRefusedError
from hopward.exchange import endpoint
from hopward.harmless import harmless
from hopward.model import ACTIONS, Capability, Tool, Value
from hopward.settings import Settings, WorkflowSettings


class Offer(Value, frozen=True):
    """What `asked` would be granted to `person`: a task of `workflow`, in which `scope` may be used.

    `capabilities` are the workflow's within that scope, `tools` those of the server that they reach.
    """

    asked: AuthorizationRequest
    person: str
    server: str
    workflow: str
    agent: str
    purpose: str
    scope: tuple[str, ...]
    capabilities: tuple[Capability, ...]
    tools: tuple[Tool, ...]
    expires_in: int

    @property
    def lines(self) -> tuple[str, ...]:
        """The capabilities in words, harmless to show."""
        return tuple(harmless(line) for line in capability.lines(self.capabilities))


def offer(asked: AuthorizationRequest, person: str, settings: Settings, tools: Iterable[Tool]) -> Offer:
    """What would be granted; raises `ExchangeRefusedError` with the OAuth error code where nothing is."""
    server, workflow = workflow_of(asked.resource, settings)
    wanted = settings.workflows[workflow]
    if not may_log_in(person, wanted):
        told = f"{person} may not log in for the workflow {workflow}."
        raise ExchangeRefusedError(told, error="access_denied")
    scope = granted_scope(asked.scope, server, wanted)
    within = _within(wanted.capabilities, scope)
    return Offer(
        asked=asked,
        person=person,
        server=server,
        workflow=workflow,
        agent=wanted.agent,
        purpose=wanted.purpose,
        scope=scope,
        capabilities=within,
        tools=tuple(one for one in tools if one.server == server and capability.reaches(within, one)),
        expires_in=wanted.expires_in,
    )


def workflow_of(resource: str, settings: Settings) -> tuple[str, str]:
    """The server whose endpoint has exactly this resource indicator (RFC 8707), and its workflow.

    Raises `ExchangeRefusedError` where there is none, or nobody may log in for it.
    """
    for server, entry in settings.servers.items():
        if endpoint(settings, server) == resource:
            if entry.workflow and settings.workflows[entry.workflow].login:
                return server, entry.workflow
            raise ExchangeRefusedError(f"Nobody logs in at {server}.", error="invalid_target")
    raise ExchangeRefusedError("There is no such endpoint.", error="invalid_target")


def may_log_in(person: str, workflow: WorkflowSettings) -> bool:
    """Whether a person may open a task of a workflow by logging in."""
    return pattern.matches_any(workflow.login, person)


def granted_scope(asked: Iterable[str], server: str, workflow: WorkflowSettings) -> tuple[str, ...]:
    """What is granted of a scope that was asked for at a server, with the right to speak its protocol.

    Raises `ExchangeRefusedError` where nothing is left of it.
    """
    reachable = pattern.meet(scope_of(workflow.capabilities), (f"{server}/*",))
    scope = pattern.meet(asked, reachable) if (asked := tuple(asked)) else reachable
    if all(_is_method(name, server) for name in scope):
        raise ExchangeRefusedError(f"Nothing of this scope is granted at {server}.", error="invalid_scope")
    return pattern.normal((*scope, f"{server}/{METHOD}*"))


def chosen(offered: Offer, tools: Iterable[str], settings: Settings) -> tuple[str, ...]:
    """The scope of an offer, of which the person has chosen only some tools, by full name.

    All of them are the whole of the scope. Raises `ExchangeRefusedError` for none, and for what was not
    offered.
    """
    names, every = frozenset(tools), frozenset(tool.full_name for tool in offered.tools)
    if not names or not names <= every:
        raise ExchangeRefusedError("Nothing was chosen, or what was not offered.", error="access_denied")
    if names == every:
        return offered.scope
    wanted = settings.workflows[offered.workflow]
    return granted_scope(sorted(names), offered.server, wanted)


def new_to(offered: Offer, before: Iterable[tuple[str, ...]]) -> Mapping[str, bool]:
    """By full name, whether each tool of an offer stands in none of the scopes granted before."""
    scopes = tuple(before)
    return {
        tool.full_name: not any(pattern.matches_any(scope, tool.full_name) for scope in scopes)
        for tool in offered.tools
    }


def _within(capabilities: Iterable[Capability], scope: tuple[str, ...]) -> tuple[Capability, ...]:
    only = Capability(tools=scope, actions=ACTIONS, sensitivity="restricted", destinations=("*",))
    return capability.attenuate_all(capabilities, (only,))


def _is_method(name: str, server: str) -> bool:
    return name.startswith(f"{server}/{METHOD}")
