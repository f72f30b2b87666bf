"""One connection of a caller, before anybody knows who it is: bounded in what it may send and how slowly, and
in how many there may be.

uvicorn waits without end for the head of a request, keeps as many headers as come, and takes the trailer
fields of a chunked body for headers. Whoever can connect could use that.
"""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)
_MOST_UNREAD = 65_536
"""Bytes, and one read, that a head, a chunk's extension or trailer fields may take."""


class Connection(HttpToolsProtocol):
    """A connection that is closed when a head does not end. `patience` is the seconds it may take, `most` how
    many connections there may be."""

    patience: ClassVar[float] = 10.0
    most: ClassVar[int] = 65_536

    _unread = 0
    _timer: asyncio.TimerHandle | None = None
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self.transport.write(_TOO_MANY)
            self.transport.close()
            self.too_many()
            return
        self._expect_head()

    def too_many(self) -> None:
        """One too many has been turned away."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > _MOST_UNREAD and not self.transport.is_closing():
            self._refuse("The head of the request is too large.")
        elif self._timer is None and self._is_idle():
            self._expect_head()

    def on_message_begin(self) -> None:
        self._in_body = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_body = True
        self._unread = 0
        self._stop()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        super().on_message_complete()

    def _is_idle(self) -> bool:
        """Whether no request is being answered: then what comes should be the head of one."""
        # uvicorn declares the cycle as always there; before the first request it is None.
        return not self.cycle or self.cycle.response_complete

    def _expect_head(self) -> None:
        self._timer = self.loop.call_later(self.patience, self._late)

    def _late(self) -> None:
        if not self.transport.is_closing():
            self._refuse("The head of the request took too long.")

    def _refuse(self, why: str) -> None:
        if self._is_idle():
            self.send_400_response(why)
        else:
            # Another request is being answered on this connection.
            self.transport.close()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
