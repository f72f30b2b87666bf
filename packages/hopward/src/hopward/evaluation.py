"""From what is asked to a verdict: standing, bounds, facts and policy, in this order. Nothing is logged here.

Whatever goes wrong on the way is a deny: this module is one of the named boundaries that may catch every
exception.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from hopward import behaviour, budget, delegation, labels, provenance, revocation, steps
from hopward.behaviour import Event, Risk, States, Watching, attempt, reaction, stepped_up
from hopward.bounds import call_facts, facts_of, led, outside, reachable, unclear
from hopward.canonical import JSON, compact_plain, digest, digest_of, is_plain
from hopward.chain import REQUEST
from hopward.classification import Classifications, entry_of
from hopward.clock import SECOND, Clock, Instant
from hopward.containment import why_tool_contained
from hopward.counting import Counting
from hopward.delegation import Handing
from hopward.drafts import Asked, Evaluation
from hopward.errors import ChainError, HopwardError, NotFoundError
from hopward.lifting import Lifted, Lifting, Question
from hopward.model import Chain, Decision, Hop, Step, Task, ToolCall, Verdict, plain
from hopward.observation import Observation
from hopward.pinning import Pins
from hopward.ports import Engine, Exchanger, Ledger, Policies, Quarantines
from hopward.record import Facts, Refusal, Reservation, Standing, Taking
from hopward.redaction import Redaction
from hopward.settings import ApprovalSettings, ServerSettings
from hopward.spending import Amount, amount_of
from hopward.thresholds import RiskSettings
from hopward.vouching import vouched

DELEGATE = "delegate:"
"""What a delegation is named by, before the receiving agent, where a tool would stand."""

INTERNAL = "The call could not be authorized because of an internal error."
UNKNOWN_TASK = ("task_unknown", "There is no such task.")
_ANY_EPOCH = -1
_UNDECIDED = Verdict(name="deny", reason="undecided", sentence="No decision was reached.")


_NOBODY = ApprovalSettings()
_WATCHING = RiskSettings()


@dataclass(frozen=True, slots=True)
class Sources:
    """What an evaluation asks. `agents` are the ids of the configured ones, `servers` the configured ones;
    without `approvals` nobody may approve anything."""

    ledger: Ledger
    policies: Policies
    classifications: Classifications
    exchanger: Exchanger
    agents: frozenset[str]
    redaction: Redaction
    pins: Pins
    approvals: ApprovalSettings = _NOBODY
    risk: RiskSettings = _WATCHING
    quarantines: Quarantines | None = None
    servers: Mapping[str, ServerSettings] = field(default_factory=dict[str, ServerSettings])

    @property
    def counting(self) -> Counting:
        """Who may answer what people are asked."""
        return Counting(self.ledger, self.approvals, self.agents)


class Evaluator:
    """Evaluates calls and delegations as of now. Safe to share between threads; holds no state of its own."""

    def __init__(self, sources: Sources, clock: Clock) -> None:
        self._ledger = sources.ledger
        self._policies = sources.policies
        self._classifications = sources.classifications
        self._exchanger = sources.exchanger
        self._agents = sources.agents
        self._redaction = sources.redaction
        self._lifting = Lifting(sources.ledger, sources.approvals, sources.counting)
        self._rules = sources.risk
        self._pins = sources.pins
        self._observation = Observation(sources.servers, sources.ledger, sources.exchanger)
        self._clock = clock

    def evaluate(self, asked: Asked | Handing, *, afterwards: bool = False) -> Evaluation:
        """The verdict on one call or delegation. Never raises.

        With `afterwards`, a call takes a step of the task's path that has been taken already.
        """
        at = self._clock.now()
        try:
            if isinstance(asked, Asked):
                return self._observation.observed(self._call(asked, at, afterwards))
            return self._handing(asked, at)
        except HopwardError as error:
            verdict = deny(error.error, f"The call could not be authorized: {error.message}")
        except Exception as error:  # noqa: BLE001 - named boundary: what fails while deciding is a deny
            verdict = deny("internal_error", INTERNAL, (type(error).__name__,))
        return self._denied(asked, at, verdict)

    def observed(self, evaluation: Evaluation) -> Evaluation:
        """An evaluation whose verdict has changed since, marked where its call goes on all the same."""
        return self._observation.observed(evaluation)

    def standing_task(self, chain: Chain, server: str) -> tuple[Task, Standing]:
        """The task of a chain that has not fallen, and all it stands on; raises `ChainError`.

        So it does where the server is quarantined.
        """
        standing = self._ledger.standing(chain)
        fallen = self._fallen(standing, chain, self._clock.now())
        if fallen is None:
            fallen = why_tool_contained(standing.containments, server)
        if fallen is not None or standing.task is None:
            reason, sentence = fallen or UNKNOWN_TASK
            raise ChainError(sentence, error=reason)
        return standing.task, standing

    def visible(self, chain: Chain, server: str, names: Iterable[str]) -> frozenset[str]:
        """Which of a server's tools could be permitted, as far as can be seen without arguments.

        All of them while the server is observed, for the task's own agent, but those quarantined or changed.
        Raises `ChainError` for a chain that has fallen, and for a server that is quarantined.
        """
        task, standing = self.standing_task(chain, server)
        there = frozenset(
            name
            for name in names
            if why_tool_contained(standing.containments, server, name) is None
            and self.pin_refusal(server, name, standing.epoch) is None
        )
        if not chain.hops and self._observation.on(server, self._clock.now()):
            return there
        engine = self._engine
        found = ((name, self._classifications.find(server, name)) for name in there)
        return frozenset(
            name
            for name, tool in found
            if tool is not None
            and reachable(f"{server}/{name}", tool, chain, task, standing)
            and steps.takes_part(task, chain.actor, f"{server}/{name}")
            and engine.could_permit(tool)
        )

    def offered(self, server: str, names: Iterable[str]) -> frozenset[str]:
        """Which of a server's names are classified, and kept from nobody by their definition."""
        found = (name for name in names if self._classifications.find(server, name) is not None)
        return frozenset(name for name in found if self.pin_refusal(server, name, _ANY_EPOCH) is None)

    def pin_refusal(self, server: str, name: str, epoch: int) -> Refusal | None:
        """Why the definition of a tool keeps it from being called, as of that epoch; or None."""
        return self._pins.refusal(server, name, self._pins.status(server, name, epoch))

    def values(self, decision: Decision, call: ToolCall, result: JSON) -> tuple[str, ...]:
        """What is remembered of the result of a permitted call, for the provenance of later arguments.

        Of what is not trusted only the fields that are vouched for; nothing of what was only observed, or
        where no tool names anything. Raises `LedgerError`.
        """
        if decision.observed:
            return ()
        tool = self._classifications.find(call.server, call.tool)
        if tool is None or not self._classifications.naming:
            return ()
        if tool.integrity == "untrusted" and not tool.vouched:
            return ()
        standing = self._ledger.standing(decision.chain)
        if not labels.unwritten(tool.server, standing.labels):
            return ()
        task = decision.chain.task
        if tool.integrity == "trusted":
            return provenance.values_of(task, result, call.arguments)
        return provenance.wholes_of(task, vouched(tool.vouched, result), call.arguments)

    def withdrawn(self, decision: Decision) -> tuple[str, str] | None:
        """Why a call that was permitted would be refused now, whatever the time; or None.

        That time has run out meanwhile does not count: the call began while there was some.
        """
        standing = self._ledger.standing(decision.chain)
        fallen = revocation.why_fallen(standing, decision.chain, decision.at)
        return fallen or why_tool_contained(standing.containments, decision.server, decision.tool)

    @property
    def _engine(self) -> Engine:
        return self._policies.current()

    def _call(self, asked: Asked, at: Instant, afterwards: bool) -> Evaluation:
        call, chain = asked.call, asked.chain
        standing = self._ledger.standing(chain)
        plainly, digested = _digested(call)
        about: dict[str, Any] = {"call": {"arguments": self._redaction.arguments(call), "digest": digested}}

        def evaluated(verdict: Verdict, **found: Any) -> Evaluation:
            of_call = (asked, call.server, call.tool, digested, about, verdict, at)
            stands = {"epoch": standing.epoch, "moved": standing.moved, "head": standing.head}
            return Evaluation(*of_call, plain=plainly, **stands, **found)

        fallen, task = self._fallen(standing, chain, at), standing.task
        if fallen is None and standing.containments:
            fallen = why_tool_contained(standing.containments, call.server, call.tool)
        if fallen is not None or task is None:
            return evaluated(deny(*(fallen or UNKNOWN_TASK)))
        tool = self._classifications.find(call.server, call.tool)
        if tool is None:
            facts = facts_of(task, chain, standing)
            asking = attempt(at, call.name, digested)
            facts, watching = self._watched(facts, chain, standing.behaviour, asking)
            verdict = deny(*self._unclassified(call, standing, at))
            return evaluated(verdict, facts=facts, watching=watching)
        pin = self._pins.status(call.server, call.tool, standing.epoch)
        facts = replace(facts_of(task, chain, standing), pin=pin.how, pin_digest=pin.digest)
        facts = call_facts(facts, call, tool, task, self._ledger.stood)
        asking = attempt(at, call.name, digested, facts.destinations)
        facts, watching = self._watched(facts, chain, standing.behaviour, asking)
        found: dict[str, Any] = {"classification": tool, "facts": facts, "watching": watching}
        refusal = self._pins.refusal(call.server, call.tool, pin)
        refusal = refusal or (None if facts.destinations else unclear(tool))
        amount = amount_of(tool, call.arguments)
        if isinstance(amount, str):
            refusal = refusal or budget.unclear(amount)
        for one in led(tool, facts.destinations):
            refusal = refusal or outside(call, one, chain, task, standing)
        refusal = refusal or behaviour.refusal(watching.risk, self._rules, at)
        if refusal is not None:
            return evaluated(deny(*refusal), **found)
        facts = found["facts"] = self._with_budget(facts, amount, call, (task, standing))
        move = steps.Move(chain.actor, call.name, call.arguments)
        step = steps.located(task, move, standing.taken, afterwards=afterwards)
        if isinstance(step, tuple):
            return evaluated(deny(*step), **found)
        facts = _on_path(facts, step)
        engine, share = self._engine, budget.share_of_call(tool, facts, task, standing)
        verdict = steps.held(step, engine.evaluate(call, tool, standing.agents[chain.actor], facts))
        verdict, beside = self._on_risk(verdict, watching.risk)
        found |= {"facts": facts, "takes": _taken(step)}
        if verdict.name == "step-up":
            asked_of = (chain, call.server, call.tool, digested, about["call"]["arguments"], verdict, facts)
            groups = _groups(steps.groups(step, engine.approvers(verdict.policies)), beside)
            lifted = self._lifted(Question(*asked_of, groups, at, tool, pin.digest, call.arguments), share)
            verdict, found = lifted.verdict, found | _of_approval(lifted)
        if verdict.name != "permit":
            return evaluated(verdict, **found)
        # What a server asks of its client goes to the client: there is nobody to show a credential to.
        credential = None if call.tool.startswith(REQUEST) else self._exchanger.plan(call, chain, task, at)
        moved = labels.raised(tool, facts.destinations, standing.labels)
        return evaluated(verdict, share=share, credential=credential, labels=moved, **found)

    def _unclassified(self, call: ToolCall, standing: Standing, at: Instant) -> Refusal:
        """Why a tool that nobody has classified is refused; while its server is observed, its pin first."""
        entry = f"{entry_of(call.server, call.tool)} in hopward.toml"
        told = f"{call.name} has not been classified by the operator ({entry}), so it may not be called."
        observed = self._observation.on(call.server, at)
        changed = self.pin_refusal(call.server, call.tool, standing.epoch) if observed else None
        return changed or ("tool_unclassified", told)

    def _handing(self, asked: Handing, at: Instant) -> Evaluation:
        chain = asked.chain
        # Looked up with the receiver, judged without: the receiver is not in the chain yet.
        standing = self._ledger.standing(delegation.together(chain, asked.to))
        base = replace(_handing_base(asked, at), epoch=standing.epoch, moved=standing.moved)
        fallen, task = self._fallen(standing, chain, at), standing.task
        if fallen is None and asked.to not in self._agents:
            fallen = _unregistered([asked.to])
        if fallen is not None or task is None:
            return replace(base, verdict=deny(*(fallen or UNKNOWN_TASK)))
        # Standing was looked up with the receiver, who has nothing to do with what the delegator has done.
        states = self._ledger.behaviour(chain.actor, chain.task)
        facts, asking = facts_of(task, chain, standing), attempt(at, base.tool, base.digest)
        facts, watching = self._watched(facts, chain, states, asking)
        base = replace(base, facts=facts, watching=watching)
        hop = delegation.unfit(asked, task, standing) or delegation.narrowed(asked, task, standing, at)
        if not isinstance(hop, Hop):
            return replace(base, verdict=deny(*hop))
        there = self._continued(asked, hop, at)
        move = steps.Move(chain.actor, delegate=asked.to)
        step = steps.located(task, move, standing.taken, afterwards=there is not None)
        if isinstance(step, tuple):
            return replace(base, verdict=deny(*step))
        facts = _on_path(facts, step)
        base = replace(base, facts=facts, takes=None if there else _taken(step))
        refusal = behaviour.refusal(watching.risk, self._rules, at)
        if refusal is not None:
            return replace(base, verdict=deny(*refusal))
        delegator, receiver = standing.agents[chain.actor], standing.agents[asked.to]
        engine, share = self._engine, budget.share_of_hop(hop, task, standing)
        if there is not None:
            hop, share = there, Reservation((), calls=0, writes=0)
            base = _continuing(base, asked, there)
        verdict = steps.held(step, engine.evaluate_hop(hop, delegator, receiver, facts))
        verdict, beside = self._on_risk(verdict, watching.risk)
        if verdict.name == "step-up":
            asked_of = (chain, "", base.tool, base.digest, base.about["delegation"], verdict, facts)
            groups = _groups(steps.groups(step, engine.approvers(verdict.policies)), beside)
            lifted = self._lifted(Question(*asked_of, groups, at), share)
            if there is not None and lifted.asks and self._ledger.was_consumed(lifted.binding, lifted.alike):
                lifted = Lifted(_approved(verdict), lifted.binding)
            verdict, base = lifted.verdict, replace(base, **_of_approval(lifted))
        if verdict.name != "permit":
            return replace(base, verdict=verdict)
        return replace(base, verdict=verdict, share=share, hop=hop)

    def _continued(self, asked: Handing, wanted: Hop, at: Instant) -> Hop | None:
        """The hop that the work goes on with, if it is there, stands, and is what would be opened now."""
        if not asked.continues:
            return None
        try:
            found = self._ledger.hop(asked.continues)
        except NotFoundError:
            return None
        chain = delegation.extended(asked.chain, found)
        fallen = revocation.why_fallen(self._ledger.standing(chain), chain, at)
        return found if fallen is None and delegation.goes_on(found, wanted) else None

    def _lifted(self, question: Question, share: Reservation) -> Lifted:
        """What approvals make of a step-up. Nobody is asked about what no budget has room for."""
        facts = question.facts
        if share.calls > facts.calls_left or share.writes > facts.writes_left:
            handed = bool(question.chain.hops)
            return Lifted(deny(*budget.exhausted(calls=share.calls > facts.calls_left, handed=handed)), "")
        lack = budget.lacking(share, self._ledger.spent(share.known, share.places)) if share.more else None
        if lack is not None:
            return Lifted(deny(*budget.too_little(lack, handed=bool(question.chain.hops))), "")
        return self._lifting.lifted(question)

    def _watched(self, facts: Facts, chain: Chain, states: States, asking: Event) -> tuple[Facts, Watching]:
        """What detectors see of a chain that counts; nobody else's attempts are held against anyone."""
        watching = Watching((chain.actor, chain.task), states, asking, self._rules)
        return replace(facts, risk=watching.risk), watching

    def _with_budget(
        self, facts: Facts, amount: Amount | str | None, call: ToolCall, of: tuple[Task, Standing]
    ) -> Facts:
        """The facts with what the call spends and what is left, where anything of that is counted."""
        if isinstance(amount, str) or not budget.counts(amount, *of):
            return facts
        spent = self._ledger.spent(budget.all_accounts(*of), facts.destinations)
        return budget.told(facts, amount, call, of, spent)

    def _on_risk(self, verdict: Verdict, found: Risk) -> tuple[Verdict, tuple[str, ...]]:
        """The verdict of the policies as the risk changes it, and the groups it then needs beside theirs."""
        if verdict.name == "deny" or reaction(found, self._rules) != "step-up":
            return verdict, ()
        return stepped_up(verdict, found, self._rules), (self._rules.approvers,)

    def _denied(self, asked: Asked | Handing, at: Instant, verdict: Verdict) -> Evaluation:
        if isinstance(asked, Handing):
            about: dict[str, Any] = {"delegation": {"agent": _carried(asked.to)}}
            return Evaluation(asked, "", DELEGATE + _carried(asked.to), "", about, verdict, at)
        call, digested = asked.call, ""
        try:
            digested, kept = call_digest(call), self._redaction.arguments(call)
        except (ValueError, TypeError, RecursionError, AttributeError):
            # The log cannot carry such a call; the row must stand all the same, beside those of others.
            server, tool = _carried(getattr(call, "server", "")), _carried(getattr(call, "tool", ""))
            call, digested, kept = ToolCall(server=server, tool=tool), "", {}
        about = {"call": {"arguments": kept, "digest": digested}}
        return Evaluation(asked, call.server, call.tool, digested, about, verdict, at)

    def _fallen(self, standing: Standing, chain: Chain, now: Instant) -> tuple[str, str] | None:
        if not chain.actors or not self._agents.issuperset(chain.actors):
            return _unregistered([actor for actor in chain.actors if actor not in self._agents])
        fallen = revocation.why_fallen(standing, chain, now)
        task = standing.task
        if fallen is None and task and min(chain.expires_at, task.expires_at) - now < SECOND:
            # Tokens count in whole seconds, so nothing could be minted any more.
            return ("task_expired", "Less than a second is left of the task.")
        return fallen


def deny(reason: str, sentence: str, errors: tuple[str, ...] = ()) -> Verdict:
    """A verdict that refuses."""
    return Verdict(name="deny", reason=reason, sentence=sentence, errors=errors)


def call_digest(call: ToolCall, *, plainly: bool = False) -> str:
    """The digest a decision is bound to: server, tool and arguments in canonical JSON.

    `plainly` says that the arguments are known to be `is_plain`.
    """
    form = {"server": call.server, "tool": call.tool, "arguments": call.arguments}
    return digest_of(compact_plain(form)) if plainly else digest(form)


def _digested(call: ToolCall) -> tuple[bool, str]:
    """Whether the arguments are plain, and the digest; raises `HopwardError` for what JSON cannot carry."""
    try:
        plainly = is_plain(call.arguments)
        return plainly, call_digest(call, plainly=plainly)
    except UnicodeEncodeError as error:
        told, failed = "a text in them holds half of a surrogate pair, which is no character", error
    except ValueError as error:
        told, failed = "a number in them is not finite, or has too many digits", error
    except TypeError as error:
        told, failed = "something in them is no JSON", error
    except RecursionError as error:
        told, failed = "they are nested too deeply", error
    raise HopwardError(f"JSON cannot carry its arguments: {told}.", error="arguments_unreadable") from failed


def _groups(groups: tuple[str, ...], beside: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*groups, *beside)))


def _of_approval(lifted: Lifted) -> dict[str, Any]:
    names = ("binding", "alike", "consumes", "asks")
    return {name: getattr(lifted, name) for name in names}


def _on_path(facts: Facts, step: Step | None) -> Facts:
    return facts if step is None else replace(facts, step=step.name)


def _taken(step: Step | None) -> Taking | None:
    return None if step is None else steps.taking(step)


def _handing_base(asked: Handing, at: Instant) -> Evaluation:
    wish = {"agent": asked.to, "asked": plain(asked.asked), "key": asked.key}
    digested = digest(wish)
    about = {"delegation": {**wish, "digest": digested}}
    return Evaluation(asked, "", DELEGATE + asked.to, digested, about, _UNDECIDED, at)


def _continuing(base: Evaluation, asked: Handing, hop: Hop) -> Evaluation:
    """The same, as it was asked when the hop was opened; its row names the hop."""
    before = _handing_base(dataclasses.replace(asked, key=hop.key), base.at)
    about = {"delegation": {**before.about["delegation"], "continues": hop.id}}
    return replace(base, digest=before.digest, about=about, continued=True)


def _approved(verdict: Verdict) -> Verdict:
    sentence = "Permitted: it goes on with a hop that people have approved."
    return replace(verdict, name="permit", reason="approved", sentence=sentence)


def _unregistered(names: list[str]) -> tuple[str, str]:
    return ("agent_unregistered", f"Agent {', '.join(names) or '(none)'} is not registered.")


def _carried(text: Any) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(text, str) else ""
