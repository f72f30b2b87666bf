"""Server-sent events (WHATWG HTML, section 9.2), read piecewise and written again."""

from collections.abc import Iterator
from dataclasses import dataclass

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""A stream may begin with it."""
_SOONEST = 0.1
"""Seconds that a reader stays away at least, whatever the server says."""


class StreamError(Exception):
    """An event stream that cannot be read on: an event over the size limit, or bytes that are not UTF-8."""


class TooLargeError(StreamError):
    """An event over the size limit."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data` is None for one without data; a comment (a keep-alive) has no field at all."""

    data: bytes | None = None
    name: str = ""
    id: str | None = None
    retry: str | None = None


@dataclass(slots=True)
class Place:
    """How far a stream has been read: the server goes on after the event `id`, after a wait of `seconds`."""

    id: str = ""
    seconds: float = 1.0

    def note(self, event: Event) -> None:
        """Take what an event says about it."""
        if event.id is not None:
            self.id = event.id
        if event.retry is not None:
            self.seconds = max(int(event.retry[:9]) / 1000, _SOONEST)


class Events:
    """Cuts an event stream into events of at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._partial = bytearray()
        self._after_cr = False
        self._first = True
        self._size = 0
        self._clear()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that `chunk` completes; raises `StreamError` behind those that are whole."""
        return (event for event in self.steps(chunk) if event is not None)

    def steps(self, chunk: bytes) -> Iterator[Event | None]:
        """The same line by line, with None for a line that completes no event."""
        # A line feed after a carriage return ends no second line, also where the two were cut apart.
        rest = chunk[1:] if self._after_cr and chunk.startswith(b"\n") else chunk
        self._after_cr = chunk.endswith(b"\r")
        for part in rest.splitlines(keepends=True):
            line = part.rstrip(b"\r\n")
            ended = len(line) < len(part)
            self._size += len(line) + ended
            if self._size > self._max_bytes:
                raise TooLargeError("an event is over the size limit")
            self._partial += line
            if not ended:
                return
            whole = bytes(self._partial)
            self._partial.clear()
            if self._first:
                self._first, whole = False, whole.removeprefix(_BYTE_ORDER_MARK)
            yield self._line(whole)

    def _line(self, line: bytes) -> Event | None:
        if line:
            self._field(line)
            return None
        data = b"\n".join(self._data) if self._data else None
        seen = self._seen
        event = Event(data, self._name, self._id, self._retry)
        self._clear()
        self._size = 0
        return event if seen else None

    def _field(self, line: bytes) -> None:
        self._seen = True
        name, _, value = line.partition(b":")
        if not name:
            return
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            return
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            raise StreamError("an event field is not UTF-8") from None
        if name == b"event":
            self._name = text
        elif name == b"id" and "\0" not in text:
            self._id = text
        elif name == b"retry" and text.isascii() and text.isdecimal():
            self._retry = text

    def _clear(self) -> None:
        self._data: list[bytes] = []
        self._name = ""
        self._id: str | None = None
        self._retry: str | None = None
        self._seen = False


KEEP_ALIVE = b": keep-alive\r\n\r\n"


def written(event: Event, data: bytes | None) -> bytes:
    """An event with the fields of `event` around other data, which holds no newline."""
    lines: list[bytes] = []
    if event.name:
        lines.append(b"event: " + event.name.encode())
    if event.id is not None:
        lines.append(b"id: " + event.id.encode())
    if event.retry is not None:
        lines.append(b"retry: " + event.retry.encode())
    if data is not None:
        lines.append(b"data: " + data)
    return b"\r\n".join(lines) + b"\r\n\r\n" if lines else KEEP_ALIVE
