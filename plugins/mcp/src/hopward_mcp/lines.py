"""A byte stream cut into lines of bounded length; an over-long line costs its sender that line, no more."""

import re
from dataclasses import dataclass

_START = 512
_ANSWER_START = re.compile(rb'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d{1,15})\s*[,}]')


@dataclass(frozen=True, slots=True)
class Overlong:
    """In place of a line over the limit: how it began."""

    start: bytes

    @property
    def answered(self) -> int | None:
        """The id of the request it answers, where it began as answers begin."""
        found = _ANSWER_START.match(self.start)
        return int(found[1]) if found else None


class Lines:
    """Cuts what is fed to it at newlines. At most `max_bytes` and one read are held at a time. `skipping` is
    whether it stands in a line that is too long, of which nothing is kept."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._partial = bytearray()
        self.skipping = False

    def feed(self, data: bytes) -> list[bytes | Overlong]:
        """The lines that `data` completes, without their newline; blank lines are left out."""
        *whole, rest = data.split(b"\n")
        lines: list[bytes | Overlong] = []
        for part in whole:
            if self.skipping:
                self.skipping = False
                continue
            if self._partial:
                self._partial += part
                part = bytes(self._partial)
                self._partial.clear()
            if len(part) > self._max_bytes:
                lines.append(Overlong(part[:_START]))
            elif part and not part.isspace():
                lines.append(part)
        if rest and not self.skipping:
            self._partial += rest
            if len(self._partial) > self._max_bytes:
                lines.append(Overlong(bytes(self._partial[:_START])))
                self._partial.clear()
                self.skipping = True
        return lines

    def end(self) -> list[bytes | Overlong]:
        """What is left when the stream ends without a last newline."""
        return self.feed(b"\n") if self._partial else []
