"""What a webhook is told of approvals: which rows of the log, in which form, and when again if it fails.

The log is what is told (`hopward.ledger.outbox`), so a call writes nothing for it, and waits for nobody. Each
row is told at least once, under an id that stays the same; whoever sends it need only take, send, and say how
it went. If it says nothing, because it has ended, the row is given out again.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import msgspec

from hopward import webhook
from hopward.approval import Approval
from hopward.canonical import compact
from hopward.clock import SECOND, Clock, Instant, iso
from hopward.model import plain
from hopward.record import Draft, Outbox, Row, Waiting
from hopward.settings import Settings
from hopward.summary import Summary

LEASE = 60 * SECOND
"""How long one sender has a notice before another one may take it; sending takes less."""

RETRIES: tuple[Instant, ...] = tuple(
    SECOND * wait for wait in (5, 15, 60, 120, 400, 1_200, 1_800, 3_600, 7_200, 14_400, 28_800, 28_800)
)
"""How long after each failure it is tried again; a day in all. An approval is over sooner than that."""

STALE = sum(RETRIES)
"""What nobody has tried to tell for so long is not told any more: whoever asked is gone by then."""

_LONGEST_WAIT = 3600 * SECOND
"""A receiver cannot ask for more patience than this."""

LARGEST = 20_000
"""Bytes of a message; the specification recommends no more. Long values are shortened for it."""

_FEW = 20
"""Members of a list that a shortened message has."""

_SHORTER = (400, 200, 100, 50, 32)
"""Characters of a value: the first with which the message is small enough; no id or time is longer."""

_MARKUP = re.compile(
    r"[<>`*~|]|(?<=\])\(|://|(?<!\w)_|_(?!\w)|(?<![\w.])@|@(?=everyone\b|here\b|channel\b|all\b)",
    re.IGNORECASE,
)
"""What chats read as links, mentions, formats, or as text to hide; bare addresses become links there."""

_EVENTS = {
    "requested": "asked",
    "agreed": "agreed",
    "approved": "approved",
    "rejected": "rejected",
    "edited": "edited",
    "taken_back": "taken_back",
}
"""What a row of kind `approval` tells, and what the message is called: `approval.asked`."""


class OutboxLedger(Protocol):
    """Where the rows stand, and which of them are still to be told."""

    def take_waiting(self, at: Instant, until: Instant) -> Waiting | None: ...
    def end_waiting(self, taken: Waiting, draft: Draft | None = None) -> None: ...
    def put_off_waiting(self, taken: Waiting, due_at: Instant, why: str) -> None: ...
    def outbox(self) -> Outbox: ...
    def row(self, name: int | str) -> Row: ...


class Summaries(Protocol):
    """What people are shown of an approval, and where."""

    def summary(self, approval: Approval) -> Summary: ...
    def address(self, approval_id: str) -> str: ...


class Notice(NamedTuple):
    """One message, signed, as it is to be POSTed to `url`."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    taken: Waiting


class Notices:
    """Gives out what is due to be told. Safe to share between threads and processes."""

    def __init__(self, settings: Settings, ledger: OutboxLedger, summaries: Summaries, clock: Clock) -> None:
        """Raises `ConfigError` without a webhook, or where its secret cannot be read."""
        hook = settings.approvals.webhook
        if hook is None:
            raise webhook.not_configured()
        self._url = hook.url
        self._keys = webhook.read_secrets(settings.root / hook.secret_file)
        self._ledger = ledger
        self._summaries = summaries
        self._clock = clock

    def take(self) -> Notice | None:
        """The next message that is due, which nobody else gets within `LEASE`. Raises `LedgerError`."""
        now = self._clock.now()
        while True:
            taken = self._ledger.take_waiting(now, now + LEASE)
            if taken is None:
                return None
            row = self._ledger.row(taken.seq)
            fresh = taken.attempts > 1 or row.at >= iso(now - STALE)
            if fresh and row.record.get("event") in _EVENTS:
                return self._notice(taken, row, now)
            self._ledger.end_waiting(taken)

    def told(self, notice: Notice) -> None:
        """Its receiver has answered with success (2xx): it is never sent again."""
        self._ledger.end_waiting(notice.taken)

    def failed(self, notice: Notice, why: str, wait: int = 0) -> None:
        """It has not arrived, as far as one can tell. `wait` is how many seconds its receiver asked for.

        After the last try it is given up, and the log says so.
        """
        taken, now = notice.taken, self._clock.now()
        if taken.attempts <= len(RETRIES):
            asked = min(wait * SECOND, _LONGEST_WAIT)
            self._ledger.put_off_waiting(taken, now + max(RETRIES[taken.attempts - 1], asked), why)
            return
        sentence = f"The webhook was not told of it, in {taken.attempts} tries; the last one: {why}"
        row = self._ledger.row(taken.seq)
        record = {"event": "untold", "approval": row.record["approval"], "by": "", "why": sentence}
        self._ledger.end_waiting(taken, _draft(row, now, record))

    def _notice(self, taken: Waiting, row: Row, now: Instant) -> Notice:
        approval = msgspec.convert(row.record["approval"], Approval)
        body = _body(row, self._data(row, approval, self._summaries.summary(approval)))
        message = f"msg_{row.seq}_{row.hash[:24]}"
        headers = {
            "content-type": "application/json",
            "user-agent": "hopward",
            **webhook.signed(self._keys, message, now // SECOND, body),
        }
        return Notice(self._url, headers, body, taken)

    def _data(self, row: Row, approval: Approval, summary: Summary) -> dict[str, Any]:
        said = {name: row.record[name] for name in ("by", "why") if name in row.record}
        address = self._summaries.address(approval.id)
        return {
            "approval": approval.id,
            "state": approval.state,
            "address": address,
            **said,
            **({"replaced_by": approval.replaced_by} if approval.replaced_by else {}),
            "summary": plain(summary),
            "text": _text(summary, address),
        }


def _text(told: Summary, address: str, left: int = 0) -> str:
    """A summary for a chat: none of its text, which comes from agents, is markup, and its page comes last.

    `left` is how many arguments it leaves out.
    """
    lines = told.text().split("\n") + ([f"{left} more arguments are not shown here."] if left > 0 else [])
    page = f"{'Answer' if told.state == 'pending' else 'See'} it at {address}"
    return "\n".join([*map(_plain, lines), *([page] if address else [])])


def _plain(line: str) -> str:
    """A line with what a chat could read as markup written as escapes, as in `hopward.harmless`."""
    return _MARKUP.sub(lambda found: "".join(f"\\x{ord(one):02x}" for one in found[0]), line)


def _draft(row: Row, at: Instant, record: dict[str, Any]) -> Draft:
    return Draft(
        kind="approval",
        at=at,
        record=record,
        task=row.task,
        agent=row.agent,
        server=row.server,
        tool=row.tool,
        decision=row.decision,
    )


def _body(row: Row, data: dict[str, Any]) -> bytes:
    def body(data: dict[str, Any]) -> bytes:
        event = f"approval.{_EVENTS[row.record['event']]}"
        return compact({"type": event, "timestamp": row.at, "data": data})

    whole = body(data)
    for longest in _SHORTER:
        if len(whole) <= LARGEST:
            break
        short = _shortened(data["summary"], longest)
        left = len(data["summary"]["arguments"]) - _FEW
        text = _text(msgspec.convert(short, Summary), data["address"], left)
        whole = body({**data, "summary": short, "text": text, "shortened": True})
    return whole


def _shortened(value: Any, longest: int) -> Any:
    """A value with every long text in it cut, and every long list."""
    if isinstance(value, str):
        return value if len(value) <= longest else f"{value[:longest]}... ({len(value)} characters in all)"
    if isinstance(value, list | tuple):
        return [_shortened(one, longest) for one in cast("Sequence[Any]", value)[:_FEW]]
    if isinstance(value, dict):
        return {name: _shortened(one, longest) for name, one in cast("dict[str, Any]", value).items()}
    return value
