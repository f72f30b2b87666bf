"""Every ledger we ship keeps the conformance suite."""

from pathlib import Path

import pytest

from hopward.ledger import SqliteLedger
from hopward.testing.clock import FixedClock
from hopward.testing.conformance import CompleteLedger, LedgerConformance
from hopward.testing.ledger import MemoryLedger


class TestSqliteLedger(LedgerConformance):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "state" / "log.db"

    def open_ledger(self, clock: FixedClock) -> CompleteLedger:
        return SqliteLedger.open(self.path, clock=clock, create=True)


class TestSqliteLedgerThatSurvivesLossOfPower(LedgerConformance):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "state" / "log.db"

    def open_ledger(self, clock: FixedClock) -> CompleteLedger:
        return SqliteLedger.open(self.path, clock=clock, durability="power", create=True)


class TestMemoryLedger(LedgerConformance):
    def open_ledger(self, clock: FixedClock) -> CompleteLedger:
        return MemoryLedger(clock)
