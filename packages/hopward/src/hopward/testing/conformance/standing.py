"""What stands behind a chain, as of now."""
# ruff: noqa: S101, S106 - a test suite asserts, wherever it is shipped; `token` is the id of a token

import pytest

from hopward.clock import SECOND
from hopward.model import Revocation, RevocationKind, Usage
from hopward.record import Reservation
from hopward.testing.clock import NOON
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_chain, a_draft, a_revocation, a_task, an_agent


class StandingConformance(LedgerOpening):
    """Standing and epochs."""

    def test_standing_of_an_unknown_chain_knows_nothing(self, ledger: CompleteLedger) -> None:
        standing = ledger.standing(a_chain())
        assert (standing.task, standing.usage) == (None, Usage(calls=0, writes=0))
        assert dict(standing.agents) == {}
        assert standing.revocations == ()

    def test_standing_holds_the_task_and_the_registered_actors(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        ledger.put_agent(an_agent(), NOTE)
        ledger.put_agent(an_agent("bystander"), NOTE)
        standing = ledger.standing(a_chain(actors=("stranger", "helper")))
        assert standing.task == a_task()
        assert dict(standing.agents) == {"helper": an_agent()}

    def test_every_change_of_standing_begins_an_epoch_and_shows_at_once(self, ledger: CompleteLedger) -> None:
        chain = a_chain()
        epochs = [ledger.standing(chain).epoch]
        ledger.put_task(a_task(), NOTE)
        epochs.append(ledger.standing(chain).epoch)
        ledger.put_agent(an_agent(), NOTE)
        epochs.append(ledger.standing(chain).epoch)
        ledger.put_agent(an_agent(state="suspended"), NOTE)
        standing = ledger.standing(chain)
        assert standing.agents["helper"].state == "suspended"
        epochs.append(standing.epoch)
        ledger.revoke(a_revocation("task", "task_1"), NOTE)
        standing = ledger.standing(chain)
        assert standing.revocations == (a_revocation("task", "task_1"),)
        epochs.append(standing.epoch)
        ledger.set_task_state("task_1", "completed", NOTE)
        standing = ledger.standing(chain)
        assert standing.task == a_task(state="completed")
        epochs.append(standing.epoch)
        assert epochs == sorted(set(epochs))

    def test_rows_alone_do_not_begin_an_epoch(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        epoch = ledger.standing(a_chain()).epoch
        ledger.record([a_draft(reserve=Reservation(("task_1",), calls=1, writes=0))])
        ledger.seen_once("jti", "a", NOON + SECOND)
        assert ledger.standing(a_chain()).epoch == epoch

    @pytest.mark.parametrize(
        ("kind", "identity"),
        [
            ("task", "task_1"),
            ("agent", "first"),
            ("agent", "helper"),
            ("subject", "alice"),
            ("token", "jti_1"),
            ("key", "kid_1"),
        ],
    )
    def test_whatever_in_the_chain_is_revoked_is_in_its_standing(
        self, ledger: CompleteLedger, kind: RevocationKind, identity: str
    ) -> None:
        chain = a_chain(actors=("first", "helper"), token="jti_1", key="kid_1")
        assert ledger.standing(chain).revocations == ()
        revocation = a_revocation(kind, identity)
        ledger.revoke(revocation, NOTE)
        assert ledger.standing(chain).revocations == (revocation,)
        assert ledger.standing(a_chain(task="t", subject="s", actors=("a",))).revocations == ()
        assert ledger.revocations(kind, identity) == (revocation,)

    def test_what_a_chain_was_exchanged_from_is_in_its_standing_when_revoked(
        self, ledger: CompleteLedger
    ) -> None:
        chain = a_chain(token="c", lineage=("token:b", "key:k", "token:a"))
        ledger.revoke(a_revocation("token", "a"), NOTE)
        ledger.revoke(a_revocation("key", "k"), NOTE)
        ledger.revoke(a_revocation("key", "b"), NOTE)
        found = ledger.standing(chain).revocations
        assert {(one.kind, one.id) for one in found} == {("token", "a"), ("key", "k")}
        assert ledger.standing(a_chain(token="c", lineage=("token:b",))).revocations == ()

    def test_a_revocation_reached_twice_is_in_the_standing_once(self, ledger: CompleteLedger) -> None:
        ledger.revoke(a_revocation("token", "c"), NOTE)
        chain = a_chain(token="c", lineage=("token:c",))
        assert ledger.standing(chain).revocations == (a_revocation("token", "c"),)

    def test_a_revocation_of_one_kind_is_none_of_another(self, ledger: CompleteLedger) -> None:
        ledger.revoke(a_revocation("subject", "helper"), NOTE)
        ledger.revoke(a_revocation("agent", "alice"), NOTE)
        ledger.revoke(a_revocation("token", "task_1"), NOTE)
        assert ledger.standing(a_chain()).revocations == ()

    def test_a_cutoff_covers_every_open_task_whatever_the_clock_said(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task("task_0", opened_at=NOON + 9 * SECOND), NOTE)
        ledger.set_task_state("task_0", "completed", NOTE)
        ledger.put_task(a_task(opened_at=NOON + SECOND), NOTE)
        ledger.revoke(a_revocation("agent", "helper"), NOTE)
        assert [one.at for one in ledger.revocations("agent", "helper")] == [NOON + SECOND]

    def test_every_revocation_is_kept(self, ledger: CompleteLedger) -> None:
        first = a_revocation("agent", "helper")
        second = Revocation(kind="agent", id="helper", at=NOON - SECOND, by="carol", why="earlier cut-off")
        ledger.revoke(first, NOTE)
        ledger.revoke(second, NOTE)
        assert ledger.revocations("agent", "helper") == (first, second)
        standing = ledger.standing(a_chain())
        assert sorted(standing.revocations, key=lambda one: -one.at) == [first, second]
