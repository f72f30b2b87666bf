"""The group `facts`: what it adds to a decision to look at everything that policies can know of a call.

The plain decision is of the same call where nothing is declared that would have to be looked up, and no
detector watches. The history is of the same task and agent: calls, destinations, and values from results.
"""

import importlib
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from bench.context import Context
from bench.errors import BenchError
from bench.project import TEXT
from bench.repeat import Subject, run_rounds
from bench.results import Entry, Measure
from hopward import Chain, Decision, Guard, Outcome, ToolCall
from hopward.clock import SystemClock
from hopward.keys import KeyRing
from hopward.ledger import SqliteLedger

_DETECTING = importlib.import_module("hopward.behaviour.risk")

GROUP = "facts"
PLAIN, ADDED = "nothing to look at", "added by all facts"

_AGENT = "payer"
_TO = "DE89370400440532013000"
SHORT = 100
_BATCH = 100
_TEXT = "Thank you for it. " * (len(TEXT) // 18)
_EVERYTHING = (
    '[{ tools = ["bank/*"], actions = ["read", "pay"], sensitivity = "confidential", destinations = ["*"] }]'
)
_COUNTED = (
    'money = { EUR = "1000000000.00" }, bytes_out = 1000000000000, destinations = 1000000000, '
    "calls = 1000000000, writes = 1000000000"
)
_STEPS = """\
[workflows.bills.steps.look]
agent = "payer"
tool = "bank/directory"
times = 1000000000

[workflows.bills.steps.statement]
agent = "payer"
tool = "bank/statement"

[workflows.bills.steps.pay]
agent = "payer"
tool = "bank/transfer"
after = ["look"]
times = 1000000000
"""
_LOOKED_AT = (
    'names = ["to"]\ncarries = ["text"]\nspends = { amount = "amount", currency = "EUR" }\n'
    'destination = "account:{to}"'
)
_CONFIGURATION = """\
policies = "{policies}"

[authority]
issuer = "http://127.0.0.1:8700"

[approvals.groups.operators]
members = ["operator@example.com"]

[agents.payer]
owner = "owner@example.com"
purpose = "Pays bills"
ceiling = {everything}

[servers.bank]
command = ["false"]
resource = "urn:bench:bank"
credential = {{ by = "meta" }}
pins = "{pins}"

[servers.bank.tools.directory]
action = "read"
sensitivity = "internal"
integrity = "trusted"
destination = "bank"
ceiling = "confidential"

[servers.bank.tools.statement]
action = "read"
sensitivity = "confidential"
integrity = "untrusted"
destination = "bank"

[servers.bank.tools.transfer]
action = "pay"
sensitivity = "confidential"
integrity = "trusted"
arguments = {{ to = "string", amount = "decimal", text = "string" }}
{looked_at}

[workflows.bills]
agent = "payer"
purpose = "Pay one bill"
parameters = {{ to = "string" }}
expires_in = 86400
budget = {{ {budget} }}
capabilities = {everything}

{steps}
"""
_PERMIT = '@id("within-task")\npermit (principal, action, resource);\n'
_FORBIDDEN = """
@id("known-accounts")
forbid (principal, action in Hopward::Action::"pay", resource)
when { context.taken_integrity == "untrusted" && (!context.names_known || context.carried_untrusted > 0) };
@id("not-while-odd")
forbid (principal, action, resource)
when { context.risk_points > 60 };
@id("money")
forbid (principal, action in Hopward::Action::"pay", resource)
when { context.above_ceiling || context.destinations_left < 1 };
"""


def measure(context: Context) -> list[Entry]:
    """The decision with and without facts, and with all of them after few and many calls of the task."""
    plan = context.plan
    with ExitStack() as stack:
        unwatched = stack.enter_context(ExitStack())
        plain = _Desk(context.folder / "plain", looks=False)
        fresh = _Desk(context.folder / "few", looks=True, history=SHORT)
        used = _Desk(context.folder / "many", looks=True, history=plan.history)

        def watched() -> None:
            unwatched.close()

        def alone() -> None:
            unwatched.close()
            for name, none in (("_TELLING", {}), ("_HEARING", ((), ()))):
                detectors: dict[str, object] = getattr(_DETECTING, name)
                unwatched.enter_context(patch.dict(detectors, dict.fromkeys(detectors, none)))

        subjects = [
            Subject(GROUP, PLAIN, plain.authorize, alone),
            Subject(GROUP, after(SHORT), fresh.authorize, watched),
            Subject(GROUP, after(plan.history), used.authorize, watched),
        ]
        for desk in (plain, fresh, used):
            stack.callback(desk.close)
        context.expect(len(subjects) * plan.rounds)
        entries = run_rounds(subjects, plan.rounds, plan.decisions, context.step)
    return [*entries, _added(entries)]


def after(calls: int) -> str:
    """The name of the decision with all facts, after so many calls of its task."""
    return f"all facts, after {calls:,} calls of the task"


class _Desk:
    """A bank, and a task in which a payment is decided again and again."""

    def __init__(self, folder: Path, *, looks: bool, history: int = 0) -> None:
        folder.mkdir()
        KeyRing.create(folder / ".hopward" / "keys", "ES256")
        SqliteLedger.open(folder / ".hopward" / "decisions.db", clock=SystemClock(), create=True).close()
        (folder / "policies").mkdir()
        (folder / "policies" / "bench.cedar").write_text(_PERMIT + (_FORBIDDEN if looks else ""))
        (folder / "hopward.toml").write_text(
            _CONFIGURATION.format(
                policies="policies",
                everything=_EVERYTHING,
                pins="first-seen" if looks else "unsafe-unpinned",
                looked_at=_LOOKED_AT if looks else 'destination = "bank"',
                budget=_COUNTED if looks else "calls = 1000000000, writes = 1000000000",
                steps=_STEPS if looks else "",
            )
        )
        self._guard = Guard.open(folder / "hopward.toml")
        task = self._guard.open_task("bills", "person@example.com", parameters={"to": _TO})
        self._chain = self._guard.enter(task.id)
        self._call = _transfer(_TO)
        if looks:
            self._live(history)

    def close(self) -> None:
        """Close the guard."""
        self._guard.close()

    def authorize(self) -> None:
        """Decide; it must be a recorded permit with a credential."""
        decision = self._guard.authorize(self._call, self._chain)
        if not decision.permitted or decision.credential is None:
            raise BenchError(f"a measured decision is no permit: {decision}")

    def _live(self, history: int) -> None:
        """Accept the tools, pay many accounts that a trusted result names, and take in untrusted content."""
        tools = ("directory", "statement", "transfer")
        self._guard.pins.listed("bank", [{"name": name, "inputSchema": {}} for name in tools])
        accounts = [f"DE{number:020d}" for number in range(history)]
        for start in range(0, history, _BATCH):
            batch = accounts[start : start + _BATCH]
            self._settled(ToolCall(server="bank", tool="directory"), ", ".join(batch), list(batch))
            asked = [(_transfer(to), self._chain) for to in batch]
            decided = [self._permitted(one) for one in self._guard.decide(asked)]
            self._guard.decide([], [(one, Outcome(status="ok")) for one in decided])
        self._settled(ToolCall(server="bank", tool="statement"), "whatever the bank was told")

    def _settled(self, call: ToolCall, text: str, values: list[str] | None = None) -> None:
        decision = self._permitted(self._guard.authorize(call, self._chain))
        found = self._guard.values(decision, call, values or text)
        self._guard.settle(decision, Outcome(status="ok", size=len(text), values=found))

    def _permitted(self, decision: Decision) -> Decision:
        if not decision.permitted:
            raise BenchError(f"the history of a measured decision is no permit: {decision}")
        return decision

    _chain: Chain


def _transfer(to: str) -> ToolCall:
    return ToolCall(server="bank", tool="transfer", arguments={"to": to, "amount": 1, "text": _TEXT})


def _added(entries: list[Entry]) -> Entry:
    """The CPU time that all facts add to a decision, round by round, after the longest history."""
    plain, *_, used = entries
    pairs = zip(used.metrics["cpu_us"].rounds, plain.metrics["cpu_us"].rounds, strict=True)
    return Entry(
        group=GROUP, name=ADDED, metrics={"cpu_us": Measure.of([ours - bare for ours, bare in pairs])}
    )
