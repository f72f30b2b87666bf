"""Tasks, budgets, agents, revocations and used values as rows beside the log.

Hops and labels have modules of their own: `hopward.ledger.hops`, `hopward.ledger.flows`.

Values are stored as compact JSON plus the columns queries need. Every function works inside the transaction
of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3
from collections.abc import Iterable
from hashlib import sha256
from typing import TypeVar

import msgspec

from hopward.canonical import compact
from hopward.clock import Instant
from hopward.errors import LedgerCorruptError, NotFoundError, StateError
from hopward.ledger import allowances, behaviours, flows
from hopward.model import (
    Agent,
    Budget,
    Hop,
    Revocation,
    Task,
    TaskState,
    Usage,
    Value,
    plain,
)
from hopward.record import Reservation

_V = TypeVar("_V", bound=Value)

_tasks = msgspec.json.Decoder(Task)
_agents = msgspec.json.Decoder(Agent)
_revocations = msgspec.json.Decoder(Revocation)

_PUT_TASK = """INSERT INTO tasks (id, state, opened_at, body) VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE
    SET state = excluded.state, opened_at = excluded.opened_at, body = excluded.body"""
_PUT_BUDGET = """INSERT INTO usage (account, calls, writes, most_calls, most_writes) VALUES (?, 0, 0, ?, ?)
    ON CONFLICT (account) DO UPDATE
    SET most_calls = excluded.most_calls, most_writes = excluded.most_writes"""
_PUT_AGENT = "INSERT INTO agents (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body"
_RESERVE = """UPDATE usage SET calls = calls + ?, writes = writes + ?
    WHERE account = ? AND calls + ? <= most_calls AND writes + ? <= most_writes"""
_UNRESERVE = "UPDATE usage SET calls = calls - ?, writes = writes - ? WHERE account = ?"
_FORGOTTEN = "SELECT max(expires_at) FROM used WHERE kind = '' OR expires_at <= ?"
_FORGET = """INSERT INTO used (kind, digest, expires_at) VALUES ('', '', ?)
    ON CONFLICT (kind, digest) DO UPDATE SET expires_at = excluded.expires_at"""
_USED = "SELECT 1 FROM used WHERE kind = ? AND digest = ?"
_USE = "INSERT INTO used (kind, digest, expires_at) VALUES (?, ?, ?) ON CONFLICT (kind, digest) DO NOTHING"


def put_task(connection: sqlite3.Connection, task: Task) -> None:
    """Store a task, new or changed. What it has used stays counted. Raises `StateError` if it has ended."""
    stored = find_task(connection, task.id)
    if stored is not None:
        require_open(stored)
    connection.execute(_PUT_TASK, (task.id, task.state, task.opened_at, body(task)))
    put_budget(connection, task.id, task.budget)


def set_task_state(connection: sqlite3.Connection, task_id: str, state: TaskState) -> None:
    """End a task. Raises `NotFoundError`, and `StateError` if it has ended before: an end is final."""
    task = get_task(connection, task_id)
    require_open(task)
    ended = msgspec.structs.replace(task, state=state)
    connection.execute("UPDATE tasks SET state = ?, body = ? WHERE id = ?", (state, body(ended), task_id))
    flows.forget(connection, task_id)
    behaviours.forget(connection, task_id)


def require_open(link: Task | Hop) -> None:
    """Raise `StateError` unless the stored state of a task or hop is `open`."""
    if link.state != "open":
        what = "task" if isinstance(link, Task) else "hop"
        told = f"{what.capitalize()} {link.id} is {link.state}; an ended {what} is never changed."
        raise StateError(told)


def find_task(connection: sqlite3.Connection, task_id: str) -> Task | None:
    """The task as stored, or None."""
    row = connection.execute("SELECT body FROM tasks WHERE id = ?", (task_id,)).fetchone()
    return None if row is None else decoded(_tasks, row[0])


def get_task(connection: sqlite3.Connection, task_id: str) -> Task:
    """The task as stored; raises `NotFoundError`."""
    task = find_task(connection, task_id)
    if task is None:
        raise NotFoundError(f"There is no task {task_id}.")
    return task


def list_tasks(connection: sqlite3.Connection, state: TaskState | None, limit: int) -> list[Task]:
    """Tasks, the latest opened first; only those in `state` if one is given."""
    where = "" if state is None else "WHERE state = :state"
    query = f"SELECT body FROM tasks {where} ORDER BY opened_at DESC, id LIMIT :limit"  # noqa: S608 - constants
    return [decoded(_tasks, row[0]) for row in connection.execute(query, {"state": state, "limit": limit})]


def subjects(connection: sqlite3.Connection) -> frozenset[str]:
    """Everyone for whom a task was ever opened."""
    query = "SELECT DISTINCT json_extract(body, '$.subject') FROM tasks"
    return frozenset(str(row[0]) for row in connection.execute(query))


def put_budget(connection: sqlite3.Connection, account: str, budget: Budget) -> None:
    """Give a task or hop a budget, or change it. What it has used stays counted."""
    connection.execute(_PUT_BUDGET, (account, budget.calls, budget.writes))
    allowances.put(connection, account, budget)


def usage(connection: sqlite3.Connection, account: str) -> Usage:
    """What a task or hop has reserved; nothing for one that does not exist."""
    row = connection.execute("SELECT calls, writes FROM usage WHERE account = ?", (account,)).fetchone()
    return Usage(calls=0, writes=0) if row is None else Usage(calls=row[0], writes=row[1])


def reserve(connection: sqlite3.Connection, share: Reservation) -> bool:
    """Take a share out of every account it counts against, or out of none; a missing one is empty."""
    calls, writes = share.calls, share.writes
    for done, account in enumerate(share.accounts):
        if connection.execute(_RESERVE, (calls, writes, account, calls, writes)).rowcount != 1:
            give_back(connection, share.accounts[:done], calls, writes)
            return False
    return True


def give_back(connection: sqlite3.Connection, accounts: Iterable[str], calls: int, writes: int) -> None:
    """Take back a reservation."""
    connection.executemany(_UNRESERVE, [(calls, writes, account) for account in accounts])


def calls_exhausted(connection: sqlite3.Connection, share: Reservation) -> bool:
    """Why a share was refused: its calls do not fit (or an account is missing), else its writes."""
    query = "SELECT 1 FROM usage WHERE account = ? AND calls + ? <= most_calls"
    return any(
        connection.execute(query, (account, share.calls)).fetchone() is None for account in share.accounts
    )


def put_agent(connection: sqlite3.Connection, agent: Agent) -> None:
    """Store an agent, new or changed."""
    connection.execute(_PUT_AGENT, (agent.id, body(agent)))


def find_agent(connection: sqlite3.Connection, agent_id: str) -> Agent | None:
    """The agent as stored, or None."""
    row = connection.execute("SELECT body FROM agents WHERE id = ?", (agent_id,)).fetchone()
    return None if row is None else decoded(_agents, row[0])


def list_agents(connection: sqlite3.Connection) -> list[Agent]:
    """Every agent, by id."""
    return [decoded(_agents, row[0]) for row in connection.execute("SELECT body FROM agents ORDER BY id")]


def add_revocation(connection: sqlite3.Connection, revocation: Revocation) -> None:
    """Store a revocation. It is never taken back or changed.

    A clock that was ahead may have dated an open task later than now; the cut-off covers it all the same.
    """
    latest = connection.execute("SELECT max(opened_at) FROM tasks WHERE state = 'open'").fetchone()[0]
    if latest is not None and latest > revocation.at:
        revocation = msgspec.structs.replace(revocation, at=latest)
    query = "INSERT INTO revocations (kind, id, body) VALUES (?, ?, ?)"
    connection.execute(query, (revocation.kind, revocation.id, body(revocation)))


def list_revocations(connection: sqlite3.Connection, kind: str, identity: str) -> tuple[Revocation, ...]:
    """Every revocation of one thing, in the order they were made."""
    query = "SELECT body FROM revocations WHERE kind = ? AND id = ? ORDER BY number"
    return tuple(decoded(_revocations, row[0]) for row in connection.execute(query, (kind, identity)))


def is_used(connection: sqlite3.Connection, kind: str, value: str) -> bool:
    """Whether a value has been used as this kind and is remembered still."""
    return connection.execute(_USED, (kind, _remembered(value))).fetchone() is not None


def use_once(
    connection: sqlite3.Connection, kind: str, value: str, expires_at: Instant, now: Instant
) -> bool:
    """Whether a value is used for the first time as this kind. Forgets what has expired.

    Only a digest of the value is kept, so that a secret may be given. A value expired already is not fresh:
    it could not be remembered. Nor is one that may have been forgotten, should the clock go back: the row
    without a kind holds the last expiry that was.
    """
    forgotten = connection.execute(_FORGOTTEN, (now,)).fetchone()[0] or 0
    if expires_at <= max(now, forgotten):
        return False
    if connection.execute("DELETE FROM used WHERE kind <> '' AND expires_at <= ?", (now,)).rowcount:
        connection.execute(_FORGET, (forgotten,))
    return connection.execute(_USE, (kind, _remembered(value), expires_at)).rowcount == 1


def _remembered(value: str) -> str:
    return sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def body(value: Value) -> str:
    """A value as it is stored."""
    return compact(plain(value)).decode()


def decoded(decoder: msgspec.json.Decoder[_V], text: str) -> _V:
    """A stored value; raises `LedgerCorruptError` if it is none."""
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, TypeError) as error:
        raise LedgerCorruptError(f"A value stored in the decision log cannot be read: {error}.") from error
