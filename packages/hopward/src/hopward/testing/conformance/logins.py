"""Logins of people with OAuth clients."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

from typing import Any

import pytest
from msgspec.structs import replace

from hopward.clock import SECOND
from hopward.errors import NotFoundError, StateError
from hopward.login import Login
from hopward.testing.clock import NOON
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_chain

_LATER = NOON + 60 * SECOND


def _login(identity: str = "login_1", **changes: Any) -> Login:
    fields: dict[str, Any] = {
        "id": identity,
        "client": "client:desktop",
        "person": "lena",
        "device": "dev_1",
        "server": "desk",
        "workflow": "tickets",
        "resource": "https://proxy.example/desk/mcp",
        "scope": ("desk/*",),
        "redirect_uri": "http://127.0.0.1/callback",
        "challenge": "a challenge",
        "secret": f"digest of {identity}",
        "granted_at": NOON,
        "expires_at": _LATER,
    }
    return Login(**(fields | changes))


def _secret(digest: str) -> dict[str, str]:
    return {"secret": digest}


class LoginConformance(LedgerOpening):
    """A login is stored and changed together with its row, and every secret it has had leads to it."""

    def test_a_login_is_found_by_the_digest_of_its_secret(self, ledger: CompleteLedger) -> None:
        ledger.put_login(_login("login_1"), NOTE)
        ledger.put_login(_login("login_2"), NOTE)
        assert ledger.login("digest of login_2") == _login("login_2")
        assert ledger.login("digest of login_3") is None
        assert ledger.logins() == (_login("login_1"), _login("login_2"))
        assert ledger.head()[0] == 2

    def test_a_login_is_found_by_every_secret_that_it_has_had(self, ledger: CompleteLedger) -> None:
        first = _login()
        second = replace(first, **_secret("second"))
        third = replace(first, **_secret("third"))
        ledger.put_login(first, NOTE)
        ledger.change_login(first, second, NOTE)
        ledger.change_login(second, third)
        assert [ledger.login(one) for one in (first.secret, "second", "third")] == [third] * 3
        assert ledger.head()[0] == 2

    def test_a_login_is_changed_only_from_what_it_was(self, ledger: CompleteLedger) -> None:
        before, after = _login(), replace(_login(), task="task_1", **_secret("more"))
        ledger.put_login(before, NOTE)
        ledger.change_login(before, after, NOTE)
        with pytest.raises(StateError):
            ledger.change_login(before, replace(before, **_secret("other")), NOTE)
        assert (ledger.login("other"), ledger.logins(), ledger.head()[0]) == (None, (after,), 2)

    def test_a_login_that_is_not_there_is_not_changed(self, ledger: CompleteLedger) -> None:
        with pytest.raises(NotFoundError):
            ledger.change_login(_login(), _login(), NOTE)
        assert ledger.head()[0] == 0

    def test_a_login_whose_time_is_over_is_forgotten_when_another_comes_to_be(
        self, ledger: CompleteLedger
    ) -> None:
        ledger.put_login(_login("login_1"), NOTE)
        ledger.put_login(_login("login_2", granted_at=_LATER, expires_at=_LATER + SECOND), NOTE)
        assert [one.id for one in ledger.logins()] == ["login_2"]
        assert ledger.login("digest of login_1") is None

    def test_logins_leave_standing_as_it_is(self, ledger: CompleteLedger) -> None:
        before = ledger.standing(a_chain()).epoch
        ledger.put_login(_login(), NOTE)
        ledger.change_login(_login(), _login(used_at=_LATER), NOTE)
        assert ledger.standing(a_chain()).epoch == before
