"""A decision log in a folder of its own, and the ways to get at its file behind Hopward's back."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from hopward.ledger import SqliteLedger
from hopward.testing.clock import FixedClock

Open = Callable[..., SqliteLedger]
Tamper = Callable[..., None]
Start = Callable[..., "subprocess.Popen[str]"]

CHILD = Path(__file__).with_name("child.py")
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "log.db"


@pytest.fixture
def open_ledger(path: Path) -> Iterator[Open]:
    """Opens the log, made if need be, as often as asked, and closes it all afterwards."""
    with ExitStack() as opened:

        def open_ledger(**how: Any) -> SqliteLedger:
            settings: dict[str, Any] = {"clock": FixedClock(), "create": True}
            ledger = SqliteLedger.open(path, **settings | how)
            opened.callback(ledger.close)
            return ledger

        yield open_ledger


@pytest.fixture
def tamper(path: Path) -> Tamper:
    """Runs SQL on the file as someone with an SQLite shell would, the triggers out of the way."""

    def tamper(sql: str, *parameters: Any) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for name in ("updated", "deleted", "replaced"):
                connection.execute(f"DROP TRIGGER IF EXISTS log_is_never_{name}")
            connection.execute(sql, parameters)

    return tamper


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Starts `child.py` on the log in another process; what still runs afterwards is killed."""
    with ExitStack() as started:

        def start(*arguments: str) -> "subprocess.Popen[str]":
            command = [sys.executable, str(CHILD), str(path), *arguments]
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            started.enter_context(child)
            started.callback(child.kill)
            return child

        yield start


@pytest.fixture
def unprivileged_path() -> Iterator[Path]:
    """Where to put a log when permissions matter: they mean nothing to root, so root steps down meanwhile.

    Not below pytest's own folders, which are closed to everyone but root.
    """
    with tempfile.TemporaryDirectory() as folder:
        user = os.geteuid()
        if user == 0:
            os.chown(folder, NOBODY, -1)
            os.seteuid(NOBODY)
        try:
            yield Path(folder) / "state" / "log.db"
        finally:
            os.seteuid(user)
