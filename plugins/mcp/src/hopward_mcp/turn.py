"""One durable commit for everything one turn of the event loop asks of the guard.

A decision costs a commit; many callers at once share one. Whatever is asked or settled while the loop runs
its ready callbacks goes to `guard.decide` together, right after them, and each caller is called back with its
answer. A permit is passed on, and a result is released, only after its row is durable.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from hopward import Chain, Decision, Guard, LedgerError, Outcome, ToolCall

_log = logging.getLogger(__name__)

Decided: TypeAlias = Callable[[Decision | None], None]
"""Called with the decision, or with None when none could be reached: a refusal."""

Settled: TypeAlias = Callable[[bool], None]
"""Called with whether the outcome is durable."""


class Turn:
    """Collects what one turn of the event loop asks and settles; shared by all sessions of a process.

    `guard` is asked; before it is replaced, what has been collected is to be flushed.
    """

    def __init__(self, guard: Guard, loop: asyncio.AbstractEventLoop) -> None:
        self.guard = guard
        self._loop = loop
        self._asked: list[tuple[ToolCall, Chain]] = []
        self._decided: list[Decided] = []
        self._outcomes: list[tuple[Decision, Outcome]] = []
        self._settled: list[Settled] = []
        self._scheduled = False

    def authorize(self, call: ToolCall, chain: Chain, then: Decided) -> None:
        """Decide a call at the end of this turn."""
        self._asked.append((call, chain))
        self._decided.append(then)
        self._schedule()

    def settle(self, decision: Decision, outcome: Outcome, then: Settled) -> None:
        """Record an outcome at the end of this turn."""
        self._outcomes.append((decision, outcome))
        self._settled.append(then)
        self._schedule()

    def flush(self) -> None:
        """Decide and settle now what has been collected so far."""
        self._scheduled = False
        asked, self._asked = self._asked, []
        decided, self._decided = self._decided, []
        outcomes, self._outcomes = self._outcomes, []
        settled, self._settled = self._settled, []
        if not asked and not outcomes:
            return
        try:
            decisions = self.guard.decide(asked, outcomes)
            if len(decisions) != len(asked):
                raise RuntimeError("the guard did not answer every call")
        except LedgerError as error:
            _log.error("the decision log cannot be written: %s", error.message)
            self._release([None] * len(asked), decided, [False] * len(outcomes), settled)
        except Exception:  # noqa: BLE001 - per-message boundary: tried one by one
            _log.exception("a group of calls could not be decided together")
            answers = [self._alone(entry) for entry in asked]
            self._release(answers, decided, [self._settle_alone(entry) for entry in outcomes], settled)
        else:
            self._release(decisions, decided, [True] * len(outcomes), settled)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def _alone(self, entry: tuple[ToolCall, Chain]) -> Decision | None:
        """One call of a group that failed; one bad call must not refuse the others."""
        try:
            return self.guard.decide([entry])[0]
        except Exception:  # noqa: BLE001 - per-message boundary: refused
            _log.exception("a call could not be decided")
            return None

    def _settle_alone(self, entry: tuple[Decision, Outcome]) -> bool:
        try:
            self.guard.decide([], [entry])
        except Exception:  # noqa: BLE001 - per-message boundary: the result is withheld
            _log.exception("an outcome could not be recorded")
            return False
        return True

    def _release(
        self,
        decisions: Sequence[Decision | None],
        decided: Sequence[Decided],
        durable: Sequence[bool],
        settled: Sequence[Settled],
    ) -> None:
        for then_settled, answer in zip(settled, durable, strict=True):
            _call_back(then_settled, answer)
        for then_decided, decision in zip(decided, decisions, strict=True):
            _call_back(then_decided, decision)


def _call_back(then: Callable[[Any], None], answer: Any) -> None:
    try:
        then(answer)
    except Exception:  # noqa: BLE001 - per-message boundary: the others are still answered
        _log.exception("an answer could not be passed on")
