"""Policies whose every change stands in the decision log before anything is decided by them."""

from collections.abc import Sequence
from typing import Any, Protocol

from hopward.cedar import CedarEngine
from hopward.clock import Clock
from hopward.errors import ConfigError
from hopward.policies.store import PolicyStore
from hopward.record import Draft, Receipt


class Appending(Protocol):
    """Where rows go: the ledger."""

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """Append rows durably; raises `LedgerError`."""
        ...


class LoggedPolicies:
    """The engine in force, from a `PolicyStore`, with one `policy` row per set that comes into force.

    A set that was rejected leaves a row too, and the old one stays in force. Raises `LedgerError` when the
    row cannot be written, so that no decision is taken under a set the log does not know.
    """

    def __init__(self, store: PolicyStore, ledger: Appending, clock: Clock, logged: str) -> None:
        """`logged` is the policy set that the log names last, or empty."""
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._logged = logged
        self._rejected: ConfigError | None = None

    def current(self) -> CedarEngine:
        """The engine to decide with now."""
        engine = self._store.current()
        if engine.policy_set != self._logged:
            texts = {policy.id: policy.text for policy in engine.policies}
            self._note({"event": "in_force", "policy_set": engine.policy_set, "policies": texts})
            self._logged = engine.policy_set
        rejected = self._store.rejected
        if rejected is not self._rejected:
            if rejected is not None:
                self._note({"event": "rejected", "problems": list(rejected.problems)})
            self._rejected = rejected
        return engine

    def _note(self, record: dict[str, Any]) -> None:
        self._ledger.record([Draft(kind="policy", at=self._clock.now(), record=record)])
