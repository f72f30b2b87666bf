"""What any ledger must do, as a pytest class to subclass.

    class TestMyLedger(LedgerConformance):
        def open_ledger(self, clock: FixedClock) -> CompleteLedger:
            return MyLedger(clock)

Durability, several processes and tampering are not covered: they depend on what the ledger is kept in, and
its own tests must show them.
"""

from hopward.testing.conformance.approvals import ApprovalConformance
from hopward.testing.conformance.behaviour import BehaviourConformance
from hopward.testing.conformance.budgets import BudgetConformance
from hopward.testing.conformance.changes import ChangeConformance
from hopward.testing.conformance.conditions import ConditionConformance
from hopward.testing.conformance.containment import ContainmentConformance
from hopward.testing.conformance.devices import DeviceConformance, OutboxConformance
from hopward.testing.conformance.grants import GrantConformance
from hopward.testing.conformance.hops import HopConformance
from hopward.testing.conformance.labels import LabelConformance
from hopward.testing.conformance.logins import LoginConformance
from hopward.testing.conformance.opening import CompleteLedger
from hopward.testing.conformance.paths import PathConformance
from hopward.testing.conformance.pins import PinConformance
from hopward.testing.conformance.rows import RowConformance
from hopward.testing.conformance.single_use import SingleUseConformance
from hopward.testing.conformance.standing import StandingConformance

__all__ = ["CompleteLedger", "LedgerConformance"]


class LedgerConformance(
    RowConformance,
    ConditionConformance,
    StandingConformance,
    ChangeConformance,
    ContainmentConformance,
    HopConformance,
    LabelConformance,
    ApprovalConformance,
    GrantConformance,
    DeviceConformance,
    OutboxConformance,
    LoginConformance,
    BehaviourConformance,
    PathConformance,
    PinConformance,
    BudgetConformance,
    SingleUseConformance,
):
    """The whole suite. Override `open_ledger` to give an empty ledger that reads the given clock."""
