"""Which schema a decision log has: the numbers in the file's header, and what each table is for.

| table | holds |
|---|---|
| log | the rows, append-only |
| head | one row: number, hash and count of the log's rows, and the epoch of everything below |
| tasks, hops | tasks, and the hops of their chains |
| usage | what each task and hop has reserved of its budget, how often its labels rose, how it behaved |
| agents, revocations | registered agents; what has stopped counting, and from when |
| allowances | how much of its money and bytes each has reserved, and how many destinations it has reached |
| reached, held | which destinations those are; what each permit has reserved until it is settled |
| labels, stood | what each task has taken in and given out; digests of values that stood in trusted results |
| approvals | what people have been asked to approve, and what became of it |
| containments | what is quarantined, and whether everything is stopped |
| behaviour | what detectors remember of each agent |
| pins, sightings | definitions of tools that count; those that wait for somebody to accept them |
| looks | how far each server's first listing has been seen |
| steps | how often each step of a task's path has been taken |
| devices | browsers in which people answer |
| logins, login_secrets | what people have let OAuth clients do; digests of the secrets of each |
| outbox, cursors | rows that a webhook is still to tell of; up to which row that is known |
| streams | when each transmitter of security events was heard last |
| statuses | which index of the status list each token has, until it expires |
| used | digests of values that may be presented once, until they expire |
"""

APPLICATION = 0x486F7077
"""`PRAGMA application_id` of a decision log: "Hopw"."""

VERSION = 15
"""`PRAGMA user_version` this code reads and writes; `hopward.ledger.migrations` leads there."""

FREQUENT = "('decision', 'credential', 'outcome')"
"""Kinds of row written for every call, as SQL; rows of every other kind are few and have an index."""
