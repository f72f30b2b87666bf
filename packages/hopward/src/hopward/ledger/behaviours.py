"""What detectors remember of agents and tasks (`hopward.behaviour`), as rows beside the log.

Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3
from typing import Any

from hopward.behaviour import States, Watch, changed

_STATES = """SELECT behaviour.state, usage.behaviour, coalesce(usage.moved, 0) FROM (SELECT 1)
    LEFT JOIN behaviour ON behaviour.agent = ? LEFT JOIN usage ON usage.account = ?"""
_OF_AGENT = """INSERT INTO behaviour (agent, state) VALUES (?, ?)
    ON CONFLICT (agent) DO UPDATE SET state = excluded.state"""
_OF_TASK = "UPDATE usage SET behaviour = ? WHERE account = ?"


def states_of(connection: sqlite3.Connection, agent: str, task_id: str) -> States:
    """What is remembered of an agent and of a task; empty for one that was never seen."""
    return seen(connection, agent, task_id)[0]


def seen(connection: sqlite3.Connection, agent: str, task_id: str) -> tuple[States, int]:
    """As `states_of`, and how often a label of the task has risen that is decided on."""
    of_agent, of_task, moved = connection.execute(_STATES, (agent, task_id)).fetchone()
    return told(of_agent, of_task), moved


def told(agent: Any, task: Any) -> States:
    """The states as a query has read them; None stands for what was never seen."""
    return (agent or b"", task or b"")


def remember(connection: sqlite3.Connection, watch: Watch, before: States) -> None:
    """Have detectors hear of what has happened; `before` is what they remember now."""
    agent, task = changed(watch, before)
    if watch.agent and agent != before[0]:
        connection.execute(_OF_AGENT, (watch.agent, agent))
    if task != before[1]:
        connection.execute(_OF_TASK, (task, watch.task))


def forget(connection: sqlite3.Connection, task_id: str) -> None:
    """Forget what is remembered of a task that has ended."""
    connection.execute(_OF_TASK, (None, task_id))
