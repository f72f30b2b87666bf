"""What detectors remember changes with the row that tells what happened, and with nothing else."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

from msgspec.structs import replace

from hopward.behaviour import UNSEEN, States, Watch, Watching, attempt
from hopward.model import Chain, Label
from hopward.record import Reservation
from hopward.testing.clock import NOON
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_chain, a_draft, a_task, an_agent
from hopward.thresholds import RiskSettings, RiskThresholds

TWICE = RiskSettings(elevated=1, thresholds=RiskThresholds(calls=2))
"""The second call is out of the ordinary."""


def asked(seen: States, *, permitted: bool = True, chain: Chain | None = None) -> Watch:
    """What a row tells detectors of a call that was decided on what they had `seen`."""
    who = a_chain() if chain is None else chain
    watching = Watching((who.actor, who.task), seen, attempt(NOON, "desk/read", "d"), TWICE)
    return watching.watch(permitted=permitted)


class BehaviourConformance(LedgerOpening):
    """What is remembered of agents and tasks."""

    def test_nothing_is_remembered_of_who_was_never_seen(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        assert ledger.behaviour("helper", "task_1") == ledger.standing(a_chain()).behaviour == UNSEEN

    def test_a_row_is_remembered_and_standing_tells_it_at_once(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        ledger.standing(a_chain())
        watch = asked(UNSEEN)
        ledger.record([a_draft(watch=watch)])
        assert ledger.standing(a_chain()).behaviour == ledger.behaviour("helper", "task_1") == watch.then

    def test_it_is_remembered_of_the_acting_agent_and_the_task_alone(self, ledger: CompleteLedger) -> None:
        for task in ("task_1", "task_2"):
            ledger.put_task(a_task(task), NOTE)
        ledger.record([a_draft(watch=asked(UNSEEN))])
        assert ledger.behaviour("other", "task_2") == UNSEEN
        assert ledger.behaviour("other", "task_1")[0] == b""
        assert ledger.behaviour("helper", "task_2")[1] == b""

    def test_a_permit_of_a_lower_risk_than_there_is_now_is_stale(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        watch = asked(UNSEEN)
        first, second = ledger.record([a_draft(watch=watch), a_draft(watch=watch)])
        assert (first.refused, second.refused) == ("", "stale")
        fresh = asked(ledger.behaviour("helper", "task_1"))
        assert ledger.record([a_draft(watch=fresh)])[0].refused == ""

    def test_what_was_read_before_another_row_is_looked_at_again(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        standing = ledger.standing(a_chain())
        draft = a_draft(watch=asked(standing.behaviour), moved=standing.moved, head=standing.head)
        assert ledger.record([draft])[0].refused == ""
        assert ledger.record([draft])[0].refused == "stale"
        untrusted = a_draft(
            labels=(Label(flow="from", name="web", sensitivity="public", integrity="untrusted"),)
        )
        ledger.record([untrusted])
        fresh = asked(ledger.behaviour("helper", "task_1"))
        again = a_draft(watch=fresh, moved=standing.moved, head=standing.head)
        assert ledger.record([again])[0].refused == "stale"

    def test_a_denial_is_written_whatever_the_risk_was_and_counts(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        watch = asked(UNSEEN, permitted=False)
        receipts = ledger.record([a_draft(watch=watch, verdict="deny")] * 2)
        assert [receipt.refused for receipt in receipts] == ["", ""]
        once = watch.then
        assert ledger.behaviour("helper", "task_1") not in (once, UNSEEN)

    def test_a_row_that_is_refused_is_not_remembered(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        ledger.put_agent(an_agent(), NOTE)
        greedy = Reservation(("task_1",), calls=99, writes=0)
        assert ledger.record([a_draft(watch=asked(UNSEEN), reserve=greedy)])[0].refused == "budget_calls"
        assert ledger.behaviour("helper", "task_1") == UNSEEN

    def test_what_is_about_a_task_alone_leaves_agents_alone(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        ledger.record([a_draft(watch=replace(asked(UNSEEN), agent=""))])
        assert ledger.behaviour("helper", "task_1")[0] == b""
        assert ledger.behaviour("helper", "task_1")[1] != b""

    def test_an_ended_task_is_forgotten_and_its_agent_is_not(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        ledger.record([a_draft(watch=asked(UNSEEN))])
        ledger.set_task_state("task_1", "completed", NOTE)
        assert ledger.behaviour("helper", "task_1")[1] == b""
        assert ledger.behaviour("helper", "task_1")[0] != b""
