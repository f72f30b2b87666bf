"""How rows are chained.

    hash = SHA-256( hash of the row before + "\\n" + compact JSON of the envelope )

The envelope is an object of every column but the hash: seq, kind, at, task, agent, server, tool, verdict,
reason, decision and record. The row before the first one has the hash of 64 zeros.
"""

from functools import lru_cache
from hashlib import sha256
from json.encoder import encode_basestring as _text
from typing import TypeAlias

import msgspec

from hopward.behaviour import Watch
from hopward.canonical import compact, compact_plain
from hopward.clock import SECOND, Instant, iso
from hopward.errors import LedgerError
from hopward.model import Hop, Label
from hopward.record import UNREAD, Asking, Draft, Reservation, Settling, Taking

GENESIS = "0" * 64
"""What the first row is chained to."""

Columns: TypeAlias = tuple[str, str, str, str, str, str, str, str, str, str]
"""kind, at, task, agent, server, tool, verdict, reason, decision, record (compact JSON text)."""

KIND = 0
TASK = 2
DECISION = 8
"""Where `Columns` hold the task, and the id of the decision."""


class Entry(msgspec.Struct, frozen=True):
    """A draft as it will be stored. `follow` holds the columns of the rows written right after it."""

    columns: Columns
    epoch: int | None
    reserve: Reservation | None
    follow: tuple[Columns, ...]
    hops: tuple[str, ...] = ()
    opens: Hop | None = None
    moved: int | None = None
    labels: tuple[Label, ...] = ()
    values: tuple[str, ...] = ()
    at: Instant = 0
    consumes: str = ""
    binding: str = ""
    asks: Asking | None = None
    watch: Watch | None = None
    takes: Taking | None = None
    settles: Settling = ""
    head: int = UNREAD


def row_hash(previous: str, seq: int, columns: Columns) -> str:
    """The hash of one row, 64 hexadecimal digits.

    Raises `TypeError` where a column is not text. The envelope is spelled out here rather than given to
    `compact`, which takes four times as long and would have to parse the record again; a test holds the
    two equal.
    """
    kind, at, task, agent, server, tool, verdict, reason, decision, record = columns
    link = (
        f'{previous}\n{{"agent":{_text(agent)},"at":{_text(at)},"decision":{_text(decision)},'
        f'"kind":{_text(kind)},"reason":{_text(reason)},"record":{record},"seq":{seq},'
        f'"server":{_text(server)},"task":{_text(task)},"tool":{_text(tool)},"verdict":{_text(verdict)}}}'
    )
    return sha256(link.encode()).hexdigest()


def entry(draft: Draft) -> Entry:
    """The entry of a draft.

    Raises `LedgerError` (`row_invalid`) for a record that is not JSON, a reservation that would give budget
    back, and a `follow` row with a condition of its own: it is written exactly if its parent is.
    """
    reserve = draft.reserve
    if reserve is not None and min([reserve.calls, reserve.writes, *[it.amount for it in reserve.takes]]) < 0:
        raise _invalid(draft, "it reserves less than nothing")
    follow = tuple([columns for child in draft.follow for columns in _following(child)])
    data = (draft.moved, draft.labels, draft.values)
    asked = (draft.at, draft.consumes, draft.binding, draft.asks, draft.watch, draft.takes, draft.settles)
    links = (draft.hops, draft.opens)
    return Entry(_columns(draft), draft.epoch, reserve, follow, *links, *data, *asked, draft.head)


_NOTHING = (None,) * 7


def _following(draft: Draft) -> list[Columns]:
    of_its_own = (draft.watch, draft.takes, draft.epoch, draft.reserve, draft.opens, draft.moved, draft.asks)
    effects = (draft.hops, draft.labels, draft.values, draft.consumes, draft.settles)
    if any(effects) or of_its_own != _NOTHING:
        raise _invalid(draft, "a row that follows another has no condition or effect of its own")
    return [_columns(draft), *[columns for child in draft.follow for columns in _following(child)]]


def _columns(draft: Draft) -> Columns:
    try:
        record = (compact_plain if draft.plain else compact)(draft.record).decode()
        columns = (
            draft.kind,
            _told(draft.at),
            draft.task,
            draft.agent,
            draft.server,
            draft.tool,
            draft.verdict,
            draft.reason,
            draft.decision,
            record,
        )
        # A lone surrogate has no UTF-8 form: found here it fails this draft, found in the commit all of them.
        "".join(columns).encode()
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _invalid(draft, str(error)) from error
    return columns


def _told(at: Instant) -> str:
    """As `iso`, which takes longer than all the rest of a row: rows of one second share what it says."""
    return f"{_second(at // SECOND)}{at % SECOND:06d}Z"


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    return iso(second * SECOND).removesuffix("000000Z")


def _invalid(draft: Draft, why: str) -> LedgerError:
    return LedgerError(
        f"A {draft.kind} row cannot be written: {why}.",
        error="row_invalid",
        advice="This is a mistake of the program that wrote it; please report it.",
    )
