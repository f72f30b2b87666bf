"""Observe mode: for a time, what one server's calls would have been refused for is recorded, and they go on.

An observed decision keeps its verdict, reason and policies, and is marked. It takes nothing out of a budget
and asks nobody, as a refusal would; what it moves is known to the task all the same, since it does move. Only
the reasons below are let through, so that whatever else refuses, now or later, refuses here too.
"""

from collections.abc import Mapping

import msgspec

from hopward import labels
from hopward.chain import REQUEST
from hopward.clock import DAY, Instant
from hopward.drafts import Asked, Evaluation
from hopward.errors import ConfigError, HopwardError
from hopward.lifting import unasked
from hopward.model import Tool, ToolCall
from hopward.ports import Exchanger, Ledger
from hopward.settings import ServerSettings

LET_THROUGH = frozenset(
    {
        "tool_unclassified",
        "argument_type",
        "outside_task",
        "outside_scope",
        "over_ceiling",
        "no_policy",
        "forbidden",
        "policy_error",
        "off_path",
        "approval_required",
        "approvers_unknown",
        "budget_exhausted",
    }
)
"""Reasons of a refusal that an observing server records and lets through; every other one refuses."""

LONGEST = 90
"""Days that a server may be observed for, counted from when it is opened."""


class Observation:
    """Which servers are observed, and until when. Safe to share between threads."""

    def __init__(self, servers: Mapping[str, ServerSettings], ledger: Ledger, exchanger: Exchanger) -> None:
        found = ((name, entry.observed_until) for name, entry in servers.items())
        self._until = {name: until for name, until in found if until}
        self._ledger = ledger
        self._exchanger = exchanger

    def on(self, server: str, at: Instant) -> bool:
        """Whether a server is observed at this moment. By itself, it ends with its day."""
        return at < self._until.get(server, 0)

    def observed(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation of a call, marked where it goes on although it would have been refused.

        A chain with hops is never observed: what was handed on bounds what is called with it.
        """
        asked = evaluation.asked
        if not isinstance(asked, Asked) or asked.chain.hops or not self.on(evaluation.server, evaluation.at):
            return evaluation
        if evaluation.verdict.name == "permit" or evaluation.verdict.reason not in LET_THROUGH:
            return evaluation
        try:
            return self._marked(evaluation, asked)
        except HopwardError:
            return evaluation

    def _marked(self, evaluation: Evaluation, asked: Asked) -> Evaluation:
        call, chain = asked.call, asked.chain
        standing = self._ledger.standing(chain)
        if standing.task is None:
            return evaluation
        known, facts = evaluation.classification, evaluation.facts
        tool = known or _unknown(call)
        places = facts.destinations if known and facts else (call.server,)
        planned = None
        if not call.tool.startswith(REQUEST):
            # The one way to a credential for what a chain does not reach: as if it reached this tool alone.
            reaching = msgspec.structs.replace(chain, scope=(call.name,))
            planned = self._exchanger.plan(call, reaching, standing.task, evaluation.at)
        return msgspec.structs.replace(
            evaluation,
            observed=True,
            # Nobody is asked, since nobody waits for the answer.
            verdict=unasked(evaluation.verdict),
            asks=None,
            consumes="",
            credential=planned,
            share=None,
            labels=labels.raised(tool, places, standing.labels),
        )


def refuse_too_long(servers: Mapping[str, ServerSettings], now: Instant) -> None:
    """Raise `ConfigError` for a server that would be observed for longer than `LONGEST` days from now."""
    far = [name for name, entry in servers.items() if entry.observed_until > now + (LONGEST + 1) * DAY]
    if far:
        told = f"servers.{far[0]}.observe_until is more than {LONGEST} days ahead."
        raise ConfigError(told, advice="Observing is for a time: choose an earlier day.")


def _unknown(call: ToolCall) -> Tool:
    """What a call of a tool that nobody has classified may move: the worst, for nobody has said otherwise."""
    return Tool(
        server=call.server,
        name=call.tool,
        action="execute",
        sensitivity="restricted",
        integrity="untrusted",
        destination=call.server,
    )
