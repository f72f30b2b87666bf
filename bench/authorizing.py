"""The group `authorize`: one durable decision in process, with few and many policies and log rows."""

import shutil
from contextlib import ExitStack
from pathlib import Path

from bench.context import Context
from bench.errors import BenchError
from bench.project import CALL, SERVER, caller_token
from bench.repeat import Subject, run_rounds
from bench.results import Entry
from bench.rows import FEW, MANY, POWER, READING, filled
from hopward import Chain, Decision, Guard, Outcome
from hopward.exchange import endpoint

GROUP = "authorize"
STEPS = "steps"


def measure(context: Context) -> list[Entry]:
    """Every combination of policies and rows, one power-durable decision, and the steps around a decision."""
    plan = context.plan
    few, many = filled(context, plan.few_rows), filled(context, plan.many_rows)
    with ExitStack() as stack:
        desks = {
            f"{plan.few_policies:,} policies, {plan.few_rows:,} rows": _Desk(FEW, few, context.folder / "a"),
            f"{plan.many_policies:,} policies, {plan.few_rows:,} rows": _Desk(
                MANY, few, context.folder / "b"
            ),
            f"{plan.few_policies:,} policies, {plan.many_rows:,} rows": _Desk(FEW, many),
            f"{plan.many_policies:,} policies, {plan.many_rows:,} rows": _Desk(MANY, many),
            f"{plan.few_policies:,} policies, {plan.few_rows:,} rows, power-durable": _Desk(
                POWER, few, context.folder / "c"
            ),
            f"{plan.few_policies:,} policies, {plan.few_rows:,} rows, one reads the argument": _Desk(
                READING, few, context.folder / "e"
            ),
        }
        subjects = [Subject(GROUP, name, desk.authorize, desk.open) for name, desk in desks.items()]
        around = _Desk(FEW, few, context.folder / "d")
        subjects += [
            Subject(STEPS, "identify, token seen before", around.identify, around.open),
            Subject(STEPS, "identify, token never seen", around.identify_anew, around.open),
            Subject(STEPS, "settle", around.settle, around.open),
        ]
        for desk in (*desks.values(), around):
            stack.callback(desk.close)
        context.expect(len(subjects) * plan.rounds)
        return run_rounds(subjects, plan.rounds, plan.decisions, context.step)


class _Desk:
    """A guard, a verified chain, and one call to decide again and again.

    Where few rows matter the log is put back before every round: `copy` is where it then lies.
    """

    _guard: Guard | None = None
    _token: str
    _chain: Chain
    _decision: Decision

    def __init__(self, configuration: str, project: Path, copy: Path | None = None) -> None:
        self._configuration = configuration
        self._project = project
        self._copy = copy

    def open(self) -> None:
        """Stand ready for a round."""
        if self._guard is not None and self._copy is None:
            return
        self.close()
        folder = self._project
        if self._copy is not None:
            shutil.rmtree(self._copy, ignore_errors=True)
            folder = shutil.copytree(self._project, self._copy)
        self._guard = guard = Guard.open(folder / self._configuration)
        self._audience = endpoint(guard.settings, SERVER)
        self._token = caller_token(guard)
        self._chain = guard.identify(self._token, self._audience)
        self._decision = guard.authorize(CALL, self._chain)

    @property
    def guard(self) -> Guard:
        """The guard of this round."""
        assert self._guard is not None
        return self._guard

    def close(self) -> None:
        """Close the guard."""
        if self._guard is not None:
            self._guard.close()

    def authorize(self) -> None:
        """Decide; it must be a recorded permit with a credential."""
        decision = self.guard.authorize(CALL, self._chain)
        if not decision.permitted or decision.credential is None:
            raise BenchError(f"a measured decision is no permit: {decision}")

    def identify(self) -> None:
        """The chain of a token whose signature was verified before."""
        if self.guard.identify(self._token, self._audience) != self._chain:
            raise BenchError("a token was identified as another chain")

    def identify_anew(self) -> None:
        """Verify the token as if it had never been seen."""
        if self.guard.issuer.verify(self._token).task != self._chain.task:
            raise BenchError("a token was identified as another chain")

    def settle(self) -> None:
        """Record an outcome, durable when this returns."""
        self.guard.settle(self._decision, Outcome(status="ok", duration=1_000, size=1_024))
