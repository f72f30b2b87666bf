"""Grants are used as often as they say, and found by what their calls have in common."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

import pytest
from msgspec.structs import replace

from hopward.errors import StateError
from hopward.testing.conformance.approvals import ANSWERED, APPROVED, ASKED, asked, used_by_threads
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import a_draft, an_approval

GRANT = replace(APPROVED, alike="sha256:a", times=3)


class GrantConformance(LedgerOpening):
    """One approval that holds for several calls, and is used as often as that and no more."""

    @pytest.fixture
    def granted(self, ledger: CompleteLedger) -> None:
        asked(ledger, replace(ASKED, alike="sha256:a"))
        ledger.answer(replace(ASKED, alike="sha256:a"), GRANT, ANSWERED)

    @pytest.mark.usefixtures("granted")
    def test_a_grant_is_used_as_often_as_it_says_and_no_more(self, ledger: CompleteLedger) -> None:
        drafts = [a_draft(consumes="apr_1", decision=f"dec_{n}", binding=f"b{n}") for n in range(2, 6)]
        assert [receipt.refused for receipt in ledger.record(drafts[:2])] == ["", ""]
        assert (ledger.approval("apr_1").state, ledger.approval("apr_1").left) == ("approved", 1)
        assert [receipt.refused for receipt in ledger.record(drafts[2:])] == ["", "unapproved"]
        spent = ledger.approval("apr_1")
        assert (spent.state, spent.left, spent.consumed_by) == ("consumed", 0, "dec_4")
        assert [(use.decision, use.binding) for use in spent.uses] == [
            ("dec_2", "b2"),
            ("dec_3", "b3"),
            ("dec_4", "b4"),
        ]
        assert ledger.verify().ok

    @pytest.mark.usefixtures("granted")
    def test_grants_are_found_by_what_their_calls_have_in_common(self, ledger: CompleteLedger) -> None:
        assert ledger.grants("sha256:a") == [GRANT]
        assert ledger.grants("sha256:b") == ledger.grants("") == []
        asked(ledger, an_approval("apr_2", binding="sha256:9", alike="sha256:a"))
        single = an_approval("apr_3", binding="sha256:8", alike="sha256:a")
        asked(ledger, single)
        ledger.answer(single, replace(single, state="approved"), ANSWERED)
        assert ledger.grants("sha256:a") == [GRANT]
        ledger.answer(GRANT, replace(GRANT, state="rejected"), ANSWERED)
        assert ledger.grants("sha256:a") == []

    @pytest.mark.usefixtures("granted")
    def test_only_the_calls_that_have_used_a_grant_are_known_to_have(self, ledger: CompleteLedger) -> None:
        for number in (2, 3, 4):
            assert not ledger.was_consumed(f"b{number}", "sha256:a")
            ledger.record([a_draft(consumes="apr_1", binding=f"b{number}")])
            assert ledger.was_consumed(f"b{number}", "sha256:a")
        assert not ledger.was_consumed("sha256:1", "sha256:a")
        assert not ledger.was_consumed("sha256:1")
        assert not ledger.was_consumed("b2")

    @pytest.mark.usefixtures("granted")
    def test_a_grant_that_was_taken_back_or_has_expired_cannot_be_used(self, ledger: CompleteLedger) -> None:
        late = a_draft(consumes="apr_1", at=GRANT.expires_at)
        assert [one.refused for one in ledger.record([a_draft(consumes="apr_1"), late])] == ["", "unapproved"]
        with pytest.raises(StateError):
            ledger.answer(GRANT, replace(GRANT, state="rejected"), ANSWERED)
        now = ledger.approval("apr_1")
        ledger.answer(now, replace(now, state="rejected"), ANSWERED)
        assert ledger.record([a_draft(consumes="apr_1")])[0].refused == "unapproved"

    @pytest.mark.usefixtures("granted")
    def test_threads_use_a_grant_as_often_as_it_says(self, ledger: CompleteLedger) -> None:
        assert used_by_threads(ledger) == {"": 3, "unapproved": 5}
