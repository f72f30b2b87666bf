"""The steps from an empty file to the present schema, each in one transaction.

Importing sqlite-utils takes longer than a proxy may take to start, so this module is loaded only where a
file is created or its schema is old.
"""

import sqlite3

from sqlite_utils import Database, Migrations

from hopward.ledger.chain import GENESIS
from hopward.ledger.schema import APPLICATION, FREQUENT, VERSION

_steps = Migrations("hopward.ledger")

_TEXT_COLUMNS = (
    "kind",
    "at",
    "task",
    "agent",
    "server",
    "tool",
    "verdict",
    "reason",
    "decision",
    "record",
    "hash",
)


def migrate(connection: sqlite3.Connection, version: int = VERSION) -> None:
    """Bring a database to a schema version. Of several processes doing so at once, one does it all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        database = Database(connection, recursive_triggers=False, execute_plugins=False)
        _steps.apply(database, stop_before=_AFTER.get(version))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@_steps()
def log(database: Database) -> None:
    """Version 1: the chained log and its head."""
    columns: dict[str, type] = {"seq": int, **dict.fromkeys(_TEXT_COLUMNS, str)}
    database.table("log").create(columns, pk="seq", not_null=_TEXT_COLUMNS)
    head = {"id": int, "seq": int, "count": int, "hash": str}
    database.table("head").create(head, pk="id", not_null=head)
    database.table("head").insert({"id": 1, "seq": 0, "count": 0, "hash": GENESIS})
    for statement in (*_APPEND_ONLY, *_INDICES):
        database.conn.execute(statement)
    database.conn.execute(f"PRAGMA application_id = {APPLICATION}")
    database.conn.execute("PRAGMA user_version = 1")


@_steps()
def standing(database: Database) -> None:
    """Version 2: what the log's chains stand on."""
    database.table("head").add_column("epoch", int, not_null_default=1)
    tasks = {"id": str, "state": str, "opened_at": int, "body": str}
    database.table("tasks").create(tasks, pk="id", not_null=tasks)
    database.table("tasks").create_index(["state", "opened_at"])
    usage = {"task": str, "calls": int, "writes": int, "most_calls": int, "most_writes": int}
    database.table("usage").create(usage, pk="task", not_null=usage)
    agents = {"id": str, "body": str}
    database.table("agents").create(agents, pk="id", not_null=agents)
    revocations = {"number": int, "kind": str, "id": str, "body": str}
    database.table("revocations").create(revocations, pk="number", not_null=revocations)
    database.table("revocations").create_index(["kind", "id"])
    used = {"kind": str, "digest": str, "expires_at": int}
    database.table("used").create(used, pk=("kind", "digest"), not_null=used)
    database.table("used").create_index(["expires_at"])
    database.conn.execute("PRAGMA user_version = 2")


@_steps()
def hops(database: Database) -> None:
    """Version 3: hops, which have budgets of their own beside those of tasks."""
    hops = {"id": str, "task": str, "parent": str, "state": str, "expires_at": int, "body": str}
    database.table("hops").create(hops, pk="id", not_null=hops)
    database.table("hops").create_index(["task", "parent"])
    database.conn.execute("ALTER TABLE usage RENAME COLUMN task TO account")
    database.conn.execute("PRAGMA user_version = 3")


@_steps()
def labels(database: Database) -> None:
    """Version 4: what tasks have taken in and given out, and which values stood in trusted results."""
    labels = {"task": str, "flow": str, "name": str, "sensitivity": int, "integrity": int}
    database.table("labels").create(labels, pk=("task", "flow", "name"), not_null=labels)
    database.conn.execute(
        """CREATE TABLE stood (task TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (task, value))
           WITHOUT ROWID"""
    )
    database.conn.execute("ALTER TABLE usage ADD COLUMN moved INTEGER NOT NULL DEFAULT 0")
    database.conn.execute("PRAGMA user_version = 4")


@_steps()
def approvals(database: Database) -> None:
    """Version 5: approvals, found by what they are bound to and by who asked for them."""
    columns = {
        "number": int,
        "id": str,
        "binding": str,
        "task": str,
        "agent": str,
        "state": str,
        "requested_at": int,
        "expires_at": int,
        "body": str,
    }
    database.table("approvals").create(columns, pk="number", not_null=columns)
    database.table("approvals").create_index(["id"], unique=True)
    database.table("approvals").create_index(["binding"])
    database.table("approvals").create_index(["task", "agent", "requested_at"])
    database.table("approvals").create_index(["state"])
    database.conn.execute("PRAGMA user_version = 5")


@_steps()
def containments(database: Database) -> None:
    """Version 6: what is quarantined, and whether everything is stopped."""
    columns = {"kind": str, "id": str, "body": str}
    database.table("containments").create(columns, pk=("kind", "id"), not_null=columns)
    database.conn.execute("PRAGMA user_version = 6")


@_steps()
def pins(database: Database) -> None:
    """Version 7: definitions of tools that count, and those that were seen beside them."""
    of_tool = {"server": str, "tool": str, "digest": str}
    pins = {**of_tool, "how": str, "body": str}
    database.table("pins").create(pins, pk=("server", "tool"), not_null=pins)
    sightings = {**of_tool, "why": str, "body": str}
    database.table("sightings").create(sightings, pk=("server", "tool"), not_null=sightings)
    looks = {"server": str, "body": str}
    database.table("looks").create(looks, pk="server", not_null=looks)
    database.conn.execute("PRAGMA user_version = 7")


@_steps()
def steps(database: Database) -> None:
    """Version 8: how often each step of a task's path has been taken."""
    database.conn.execute(
        """CREATE TABLE steps (task TEXT NOT NULL, step TEXT NOT NULL, taken INTEGER NOT NULL,
           PRIMARY KEY (task, step)) WITHOUT ROWID"""
    )
    database.conn.execute("PRAGMA user_version = 8")


@_steps()
def allowances(database: Database) -> None:
    """Version 9: what is counted of tasks and hops beside calls and writes."""
    for statement in (
        """CREATE TABLE allowances (account TEXT NOT NULL, of TEXT NOT NULL, used INTEGER NOT NULL,
           most INTEGER NOT NULL, PRIMARY KEY (account, of)) WITHOUT ROWID""",
        """CREATE TABLE reached (account TEXT NOT NULL, place TEXT NOT NULL, PRIMARY KEY (account, place))
           WITHOUT ROWID""",
        """CREATE TABLE held (decision TEXT NOT NULL, account TEXT NOT NULL, of TEXT NOT NULL,
           amount INTEGER NOT NULL, PRIMARY KEY (decision, account, of)) WITHOUT ROWID""",
    ):
        database.conn.execute(statement)
    database.conn.execute("PRAGMA user_version = 9")


@_steps()
def behaviour(database: Database) -> None:
    """Version 10: what detectors remember of agents and tasks."""
    database.conn.execute(
        "CREATE TABLE behaviour (agent TEXT NOT NULL PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID"
    )
    database.conn.execute("ALTER TABLE usage ADD COLUMN behaviour BLOB")
    database.conn.execute("PRAGMA user_version = 10")


@_steps()
def devices(database: Database) -> None:
    """Version 11: browsers in which people answer; which rows somebody outside is still to hear of."""
    for statement in (
        """CREATE TABLE devices (id TEXT NOT NULL PRIMARY KEY, secret TEXT NOT NULL UNIQUE,
           expires_at INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE outbox (seq INTEGER NOT NULL PRIMARY KEY, attempts INTEGER NOT NULL,
           due_at INTEGER NOT NULL, why TEXT NOT NULL)""",
        "CREATE TABLE cursors (name TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
    ):
        database.conn.execute(statement)
    database.conn.execute("PRAGMA user_version = 11")


@_steps()
def grants(database: Database) -> None:
    """Version 12: approvals that hold for several calls, and how many questions of one subject wait."""
    table = database.table("approvals")
    table.add_column("subject", str, not_null_default="")
    table.add_column("alike", str, not_null_default="")
    for statement in (
        "UPDATE approvals SET subject = json_extract(body, '$.chain.subject')",
        "CREATE INDEX approvals_alike ON approvals(alike) WHERE alike <> ''",
        "CREATE INDEX approvals_waiting ON approvals(subject, expires_at) WHERE state = 'pending'",
    ):
        database.conn.execute(statement)
    database.conn.execute("PRAGMA user_version = 12")


@_steps()
def logins(database: Database) -> None:
    """Version 13: what people have let OAuth clients do, and every secret that has led there."""
    for statement in (
        """CREATE TABLE logins (id TEXT NOT NULL PRIMARY KEY, expires_at INTEGER NOT NULL, body TEXT NOT NULL)
           WITHOUT ROWID""",
        """CREATE TABLE login_secrets (secret TEXT NOT NULL PRIMARY KEY, login TEXT NOT NULL)
           WITHOUT ROWID""",
        "CREATE INDEX login_secrets_of ON login_secrets(login)",
    ):
        database.conn.execute(statement)
    database.conn.execute("PRAGMA user_version = 13")


@_steps()
def streams(database: Database) -> None:
    """Version 14: when each transmitter of security events was heard last."""
    database.conn.execute(
        "CREATE TABLE streams (name TEXT NOT NULL PRIMARY KEY, heard_at INTEGER NOT NULL) WITHOUT ROWID"
    )
    database.conn.execute("PRAGMA user_version = 14")


@_steps()
def statuses(database: Database) -> None:
    """Version 15: which index of the status list each token has."""
    database.conn.execute(
        """CREATE TABLE statuses (idx INTEGER NOT NULL PRIMARY KEY, expires_at INTEGER NOT NULL,
           body TEXT NOT NULL)"""
    )
    database.conn.execute("PRAGMA user_version = 15")


_AFTER = {
    1: "standing",
    2: "hops",
    3: "labels",
    4: "approvals",
    5: "containments",
    6: "pins",
    7: "steps",
    8: "allowances",
    9: "behaviour",
    10: "devices",
    11: "grants",
    12: "logins",
    13: "streams",
    14: "statuses",
}
"""Schema version -> the step that would leave it."""

# INSERT OR REPLACE deletes without firing delete triggers, so overwriting a row needs a trigger of its own.
_APPEND_ONLY = (
    """CREATE TRIGGER log_is_never_updated BEFORE UPDATE ON log
       BEGIN SELECT RAISE(ABORT, 'the decision log is append-only'); END""",
    """CREATE TRIGGER log_is_never_deleted BEFORE DELETE ON log
       BEGIN SELECT RAISE(ABORT, 'the decision log is append-only'); END""",
    """CREATE TRIGGER log_is_never_replaced BEFORE INSERT ON log
       WHEN EXISTS (SELECT 1 FROM log WHERE seq = NEW.seq)
       BEGIN SELECT RAISE(ABORT, 'the decision log is append-only'); END""",
)

# Every index ends in the row number, so each also gives "the last N" without sorting. Rows that leave a
# column empty are not in its index; the queries of hopward.ledger.rows repeat these conditions word for word,
# which is what lets SQLite use a partial index.
_INDICES = (
    "CREATE INDEX log_by_task ON log(task) WHERE task <> ''",
    "CREATE INDEX log_by_agent ON log(agent) WHERE agent <> ''",
    "CREATE INDEX log_by_tool ON log(tool, server) WHERE tool <> ''",
    "CREATE INDEX log_by_decision ON log(decision) WHERE decision <> ''",
    "CREATE INDEX log_by_refusal ON log(verdict) WHERE verdict NOT IN ('', 'permit')",
    f"CREATE INDEX log_by_kind ON log(kind) WHERE kind NOT IN {FREQUENT}",
)
