"""A place in the middle of a call where the recorder waits for the test, and the test for the recorder."""

import os
import select
from pathlib import Path

from .running import PATIENCE


class Gate:
    """Stops the recorder's tool `gated` between having received a call and answering it."""

    def __init__(self, folder: Path) -> None:
        self._gate = folder / "gate"
        os.mkfifo(folder / "reached")
        os.mkfifo(self._gate)
        self._reached = os.open(folder / "reached", os.O_RDONLY | os.O_NONBLOCK)

    def reached(self) -> None:
        """Wait until the call has arrived."""
        ready, _, _ = select.select([self._reached], [], [], PATIENCE)
        assert ready, "the call has not arrived"
        os.read(self._reached, 1)

    def open(self) -> None:
        """Let the call be answered."""
        with self._gate.open("wb"):
            pass

    def close(self) -> None:
        os.close(self._reached)
