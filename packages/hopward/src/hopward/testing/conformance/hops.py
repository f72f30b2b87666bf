"""Hops begin with their row, count against the right budgets, and end once."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

import pytest

from hopward.errors import LedgerError, NotFoundError, StateError
from hopward.model import Budget, Usage
from hopward.record import Reservation
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_chain, a_draft, a_hop, a_revocation, a_task, hops_along

END = a_draft(kind="hop", record={"event": "completed"})


class HopConformance(LedgerOpening):
    """Hops of one task, which allows two at once."""

    @pytest.fixture
    def open_task(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(fan_out=2, depth=3), NOTE)

    @pytest.mark.usefixtures("open_task")
    def test_a_hop_comes_to_be_with_its_row_and_stands(self, ledger: CompleteLedger) -> None:
        hop = a_hop()
        assert ledger.record([a_draft(opens=hop)])[0].seq == 2
        assert ledger.hop("hop_1") == hop
        assert ledger.hops("task_1") == [hop]
        standing = ledger.standing(a_chain(actors=("helper", "other"), hops=("hop_1",)))
        assert [(one.hop, one.usage) for one in standing.hops] == [(hop, Usage(calls=0, writes=0))]

    @pytest.mark.usefixtures("open_task")
    def test_a_refused_row_opens_no_hop(self, ledger: CompleteLedger) -> None:
        over = Reservation(("task_1",), calls=99, writes=0)
        receipts = ledger.record([a_draft(opens=a_hop(), epoch=99), a_draft(opens=a_hop(), reserve=over)])
        assert [receipt.refused for receipt in receipts] == ["stale", "budget_calls"]
        assert ledger.hops("task_1") == []
        assert ledger.usage("task_1") == Usage(calls=0, writes=0)

    @pytest.mark.usefixtures("open_task")
    def test_a_hop_that_does_not_exist_is_left_out_of_standing(self, ledger: CompleteLedger) -> None:
        ledger.record([a_draft(opens=a_hop())])
        standing = ledger.standing(a_chain(actors=("helper", "other", "x"), hops=("hop_1", "hop_9")))
        assert [one.hop.id for one in standing.hops] == ["hop_1"]
        with pytest.raises(NotFoundError):
            ledger.hop("hop_9")

    @pytest.mark.usefixtures("open_task")
    def test_standing_tells_what_revokes_a_hop(self, ledger: CompleteLedger) -> None:
        ledger.record([a_draft(opens=a_hop())])
        chain = a_chain(actors=("helper", "other"), hops=("hop_1",))
        assert ledger.standing(chain).revocations == ()
        ledger.revoke(a_revocation("hop", "hop_1"), NOTE)
        assert [one.id for one in ledger.standing(chain).revocations] == ["hop_1"]
        assert ledger.standing(a_chain()).revocations == ()

    @pytest.mark.usefixtures("open_task")
    def test_as_many_hops_are_open_at_once_as_the_delegator_may_have(self, ledger: CompleteLedger) -> None:
        drafts = [a_draft(opens=a_hop(f"hop_{number}")) for number in (1, 2, 3)]
        assert [receipt.refused for receipt in ledger.record(drafts)] == ["", "", "fan_out"]
        ledger.complete_hop("hop_1", END)
        assert ledger.record([a_draft(opens=a_hop("hop_4"))])[0].refused == ""
        assert ledger.record([a_draft(opens=a_hop("hop_5"))])[0].refused == "fan_out"

    @pytest.mark.usefixtures("open_task")
    def test_whether_one_more_may_be_open_is_told_without_opening_it(self, ledger: CompleteLedger) -> None:
        ledger.record([a_draft(opens=a_hop("hop_1"))])
        assert not ledger.fan_out_reached(a_hop("hop_2"))
        ledger.record([a_draft(opens=a_hop("hop_2"))])
        assert ledger.fan_out_reached(a_hop("hop_3"))
        assert ledger.fan_out_reached(a_hop("hop_3", parent="hop_9"))
        assert [hop.id for hop in ledger.hops("task_1")] == ["hop_1", "hop_2"]

    @pytest.mark.usefixtures("open_task")
    def test_an_expired_hop_makes_room_for_another(self, ledger: CompleteLedger) -> None:
        first = a_hop("hop_1")
        ledger.record([a_draft(opens=first), a_draft(opens=a_hop("hop_2"))])
        later = a_hop("hop_3", opened_at=first.expires_at)
        assert ledger.record([a_draft(opens=later)])[0].refused == ""

    @pytest.mark.usefixtures("open_task")
    def test_the_fan_out_of_a_hop_is_its_own(self, ledger: CompleteLedger) -> None:
        ledger.record([a_draft(opens=a_hop("hop_1", fan_out=1))])
        below = [a_draft(opens=a_hop(name, parent="hop_1")) for name in ("hop_2", "hop_3")]
        assert [receipt.refused for receipt in ledger.record(below)] == ["", "fan_out"]
        assert ledger.record([a_draft(opens=a_hop("hop_4"))])[0].refused == ""

    @pytest.mark.parametrize("where", [{"parent": "hop_9"}, {"task": "task_9"}])
    @pytest.mark.usefixtures("open_task")
    def test_nothing_opens_below_what_does_not_exist(
        self, ledger: CompleteLedger, where: dict[str, str]
    ) -> None:
        assert ledger.record([a_draft(opens=a_hop(**where))])[0].refused == "fan_out"

    @pytest.mark.usefixtures("open_task")
    def test_a_draft_is_stale_once_a_hop_it_stands_on_has_ended(self, ledger: CompleteLedger) -> None:
        ledger.record([a_draft(opens=a_hop())])
        epoch = ledger.standing(a_chain()).epoch
        draft = a_draft(epoch=epoch, hops=("hop_1",))
        assert ledger.record([draft])[0].refused == ""
        ledger.complete_hop("hop_1", END)
        assert ledger.standing(a_chain()).epoch == epoch
        assert ledger.record([draft])[0].refused == "stale"
        assert ledger.record([a_draft(epoch=epoch)])[0].refused == ""
        assert ledger.record([a_draft(epoch=epoch, hops=("hop_9",))])[0].refused == "stale"

    @pytest.mark.usefixtures("open_task")
    def test_a_share_counts_in_every_account_or_in_none(self, ledger: CompleteLedger) -> None:
        ledger.record([a_draft(opens=a_hop(budget=Budget(calls=2, writes=0)))])
        share = Reservation(("hop_1", "task_1"), calls=1, writes=0)
        receipts = ledger.record([a_draft(reserve=share) for _ in range(3)])
        assert [receipt.refused for receipt in receipts] == ["", "", "budget_calls"]
        assert ledger.usage("hop_1") == ledger.usage("task_1") == Usage(calls=2, writes=0)
        write = Reservation(("task_1", "hop_1"), calls=0, writes=1)
        assert ledger.record([a_draft(reserve=write)])[0].refused == "budget_writes"
        assert ledger.usage("task_1") == Usage(calls=2, writes=0)

    @pytest.mark.usefixtures("open_task")
    def test_what_was_set_aside_and_not_used_goes_back_when_the_hop_ends(
        self, ledger: CompleteLedger
    ) -> None:
        set_aside = Reservation(("task_1",), calls=1 + 3, writes=0)
        ledger.record([a_draft(opens=a_hop(), reserve=set_aside)])
        ledger.record([a_draft(reserve=Reservation(("hop_1",), calls=2, writes=0))])
        ledger.complete_hop("hop_1", END)
        assert ledger.usage("task_1") == Usage(calls=1 + 2, writes=0)

    @pytest.mark.usefixtures("open_task")
    def test_it_goes_back_to_the_hop_it_came_from_and_no_further(self, ledger: CompleteLedger) -> None:
        first, second, third = hops_along("helper", "a", "b", "c", fan_out=1)
        for hop, accounts in ((first, ("task_1",)), (second, ("hop_1",)), (third, ("hop_2",))):
            ledger.record([a_draft(opens=hop, reserve=Reservation(accounts, calls=3, writes=0))])
        ledger.complete_hop("hop_3", END)
        assert [ledger.usage(name).calls for name in ("task_1", "hop_1", "hop_2")] == [3, 3, 0]

    @pytest.mark.usefixtures("open_task")
    def test_a_shared_hop_has_nothing_to_give_back(self, ledger: CompleteLedger) -> None:
        ledger.record([a_draft(opens=a_hop(shared=True))])
        ledger.record([a_draft(reserve=Reservation(("hop_1", "task_1"), calls=1, writes=0))])
        ledger.complete_hop("hop_1", END)
        assert ledger.usage("task_1") == Usage(calls=1, writes=0)

    @pytest.mark.usefixtures("open_task")
    def test_a_rest_goes_back_through_shared_hops_up_to_where_the_budget_is_split(
        self, ledger: CompleteLedger
    ) -> None:
        ledger.record([a_draft(opens=a_hop("hop_1", shared=True, fan_out=1))])
        accounts = ("hop_1", "task_1")
        below = a_hop("hop_2", parent="hop_1")
        ledger.record([a_draft(opens=below, reserve=Reservation(accounts, calls=3, writes=0))])
        assert [ledger.usage(name).calls for name in accounts] == [3, 3]
        ledger.complete_hop("hop_2", END)
        assert [ledger.usage(name).calls for name in accounts] == [0, 0]

    @pytest.mark.usefixtures("open_task")
    def test_an_ended_hop_never_changes_again(self, ledger: CompleteLedger) -> None:
        ledger.record([a_draft(opens=a_hop())])
        ledger.complete_hop("hop_1", END)
        head = ledger.head()
        with pytest.raises(StateError):
            ledger.complete_hop("hop_1", END)
        with pytest.raises(NotFoundError):
            ledger.complete_hop("hop_9", END)
        assert ledger.hop("hop_1").state == "completed"
        assert ledger.head() == head

    @pytest.mark.usefixtures("open_task")
    def test_a_row_that_follows_another_opens_no_hop_and_stands_on_none(self, ledger: CompleteLedger) -> None:
        for child in (a_draft(opens=a_hop()), a_draft(hops=("hop_1",))):
            with pytest.raises(LedgerError, match="no condition or effect of its own"):
                ledger.record([a_draft(follow=(child,))])
        assert ledger.hops("task_1") == []
