"""The decision log on SQLite, and what stands in it: tasks, agents, revocations, budgets, used values.

The log is append-only and hash-chained (`hopward.ledger.chain`). What it promises:

- A row is durable before `record` returns: with durability "process" it survives the death of the process
  (WAL, synchronous NORMAL), with "power" also the loss of power (synchronous FULL, one fsync per commit).
- Rows are numbered from 1 without gaps. A number that has been returned is never given to another row.
- Any number of processes may append to one file; the chain never forks.
- What cannot be written raises `LedgerError`. Then nothing of it counts as done, although, if the commit
  itself failed, its rows may be found in the log later.

`verify` finds every row edited, inserted, removed or reordered since it was written, and a cut tail, unless
whoever did it also recomputed every later hash and the `head` row: nothing inside one file can show that.
Tasks, agents, revocations and budgets are kept beside the log, not in the chain; each change of them but
the counting of calls is a row.
"""

from hopward.ledger.rows import RowFilter
from hopward.ledger.sqlite import SqliteLedger
from hopward.ledger.verification import Problem, Verification

__all__ = ["Problem", "RowFilter", "SqliteLedger", "Verification"]
