"""Money, bytes and destinations: taken in every account or in none, given back at most once."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

import pytest

from hopward.errors import LedgerError, StateError
from hopward.model import Budget, Usage
from hopward.record import Draft, Lack, Receipt, Reservation, Settling, Take
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_draft, a_hop, a_task

EURO = 10_000
GIVEN = Budget(calls=10, writes=3, money={"EUR": "25.00"}, bytes_out=100, destinations=2)


def paying(euros: int, *accounts: str, decision: str = "dec_1") -> Draft:
    """A permit that spends euros out of accounts, the task's unless it is said."""
    named = accounts or ("task_1",)
    takes = tuple(Take(account, "EUR", euros * EURO) for account in named)
    return a_draft(decision=decision, reserve=Reservation(named, calls=1, writes=0, takes=takes))


def reaching(*places: str, accounts: tuple[str, ...] = ("task_1",)) -> Draft:
    """A permit of a call that leads to places."""
    return a_draft(reserve=Reservation(accounts, calls=1, writes=0, reaching=accounts, places=places))


def settled(settles: Settling, decision: str = "dec_1") -> Draft:
    """The outcome of a permit."""
    return a_draft(kind="outcome", decision=decision, settles=settles)


class BudgetConformance(LedgerOpening):
    """What is counted beside calls and writes."""

    @pytest.fixture
    def paid_task(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(budget=GIVEN, fan_out=2, depth=3), NOTE)

    def euros(self, ledger: CompleteLedger, account: str = "task_1") -> str:
        """What an account has reserved of its euros."""
        return ledger.usage(account).money.get("EUR", "0.00")

    def give(self, ledger: CompleteLedger, draft: Draft) -> Receipt:
        """The receipt of one draft."""
        return ledger.record([draft])[0]

    @pytest.mark.usefixtures("paid_task")
    def test_money_is_taken_to_the_last_cent_and_no_further(self, ledger: CompleteLedger) -> None:
        first, second = ledger.record([paying(20), paying(6, decision="dec_2")])
        assert (first.refused, second.refused) == ("", "budget_other")
        assert second.lack == Lack("EUR", 6 * EURO, 5 * EURO, 25 * EURO)
        assert self.give(ledger, paying(5, decision="dec_3")).refused == ""
        assert ledger.usage("task_1") == Usage(calls=2, writes=0, money={"EUR": "25.00"})

    @pytest.mark.usefixtures("paid_task")
    def test_there_is_no_money_of_a_currency_without_a_budget(self, ledger: CompleteLedger) -> None:
        share = Reservation(("task_1",), calls=1, writes=0, takes=(Take("task_1", "USD", 1),))
        receipt = self.give(ledger, a_draft(reserve=share))
        assert (receipt.refused, receipt.lack) == ("budget_other", Lack("USD", 1, 0, 0))

    @pytest.mark.usefixtures("paid_task")
    def test_what_one_account_has_no_room_for_is_taken_from_none(self, ledger: CompleteLedger) -> None:
        hop = a_hop(budget=Budget(calls=3, writes=0, money={"EUR": "4.00"}), shared=True)
        ledger.record([a_draft(opens=hop)])
        assert self.give(ledger, paying(5, "hop_1", "task_1")).refused == "budget_other"
        assert ledger.usage("task_1") == ledger.usage("hop_1") == Usage(calls=0, writes=0)
        assert self.give(ledger, paying(4, "hop_1", "task_1")).refused == ""
        assert self.euros(ledger) == self.euros(ledger, "hop_1") == "4.00"

    @pytest.mark.usefixtures("paid_task")
    def test_where_calls_are_used_up_no_money_is_taken(self, ledger: CompleteLedger) -> None:
        takes = (Take("task_1", "EUR", EURO),)
        greedy = Reservation(("task_1",), 99, 0, takes, reaching=("task_1",), places=("a",))
        assert self.give(ledger, a_draft(reserve=greedy)).refused == "budget_calls"
        assert ledger.usage("task_1") == Usage(calls=0, writes=0)
        assert ledger.spent(("task_1",), ("a",)).reached == {"task_1": frozenset()}

    @pytest.mark.usefixtures("paid_task")
    def test_what_never_left_is_given_back_and_only_once(self, ledger: CompleteLedger) -> None:
        ledger.record([paying(10, decision="dec_1"), paying(10, decision="dec_2")])
        ledger.record([settled("given_back")])
        assert self.euros(ledger) == "10.00"
        ledger.record([settled("given_back"), settled("given_back")])
        assert self.euros(ledger) == "10.00"

    @pytest.mark.usefixtures("paid_task")
    def test_what_is_spent_is_never_given_back(self, ledger: CompleteLedger) -> None:
        ledger.record([paying(10)])
        ledger.record([settled("spent")])
        ledger.record([settled("given_back")])
        assert self.euros(ledger) == "10.00"

    @pytest.mark.usefixtures("paid_task")
    def test_what_is_not_settled_stays_reserved(self, ledger: CompleteLedger) -> None:
        ledger.record([paying(10, decision="dec_1")])
        ledger.record([settled("given_back", decision="dec_2")])
        assert self.euros(ledger) == "10.00"

    @pytest.mark.usefixtures("paid_task")
    def test_a_destination_counts_once(self, ledger: CompleteLedger) -> None:
        receipts = ledger.record([reaching("a"), reaching("a", "b", "b"), reaching("b"), reaching("a", "c")])
        assert [one.refused for one in receipts] == ["", "", "", "budget_other"]
        assert receipts[3].lack == Lack("destinations", 1, 0, 2)
        assert ledger.usage("task_1").destinations == 2
        found = ledger.spent(("task_1",), ("a", "b", "c"))
        assert found.reached == {"task_1": {"a", "b"}}
        assert found.counted["task_1", "destinations"] == (2, 2)

    @pytest.mark.usefixtures("paid_task")
    def test_each_account_counts_its_own_destinations(self, ledger: CompleteLedger) -> None:
        hop = a_hop(budget=Budget(calls=3, writes=0, destinations=1))
        ledger.record([a_draft(opens=hop), reaching("a")])
        both = ("hop_1", "task_1")
        receipts = ledger.record([reaching("b", accounts=both), reaching("a", accounts=both)])
        assert [one.refused for one in receipts] == ["", "budget_other"]
        assert [ledger.usage(one).destinations for one in both] == [1, 2]

    @pytest.mark.usefixtures("paid_task")
    def test_a_split_hop_gives_back_what_is_left_of_its_money_once(self, ledger: CompleteLedger) -> None:
        hop = a_hop(budget=Budget(calls=3, writes=0, money={"EUR": "15.00"}))
        aside = Reservation(("task_1",), calls=4, writes=0, takes=(Take("task_1", "EUR", 15 * EURO),))
        ledger.record([a_draft(opens=hop, reserve=aside)])
        ledger.record([paying(6, "hop_1")])
        assert (self.euros(ledger), self.euros(ledger, "hop_1")) == ("15.00", "6.00")
        ledger.complete_hop("hop_1", NOTE)
        assert self.euros(ledger) == "6.00"
        with pytest.raises(StateError):
            ledger.complete_hop("hop_1", NOTE)
        ledger.record([settled("given_back")])
        assert self.euros(ledger) == "6.00"

    @pytest.mark.usefixtures("paid_task")
    def test_a_task_that_is_given_less_keeps_what_it_has_used(self, ledger: CompleteLedger) -> None:
        ledger.record([paying(20)])
        ledger.put_task(a_task(budget=Budget(calls=10, writes=3)), NOTE)
        assert self.give(ledger, paying(1, decision="dec_2")).refused == "budget_other"

    def test_nothing_is_reserved_that_would_give_back(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(budget=GIVEN), NOTE)
        with pytest.raises(LedgerError, match="less than nothing"):
            ledger.record([paying(-5)])
