"""A relay in front of the HTTP proxy, for clients that cannot send a token: it adds one to every request.

It changes nothing else: a request keeps its bytes but for one header line, an answer keeps all of them, both
are passed on as they come, and so is the end of a connection. The proxy is told of its address
(`allowed_hosts`, `allowed_origins`), so not even `Host` and `Origin` are touched.
"""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import BinaryIO, cast

_CHUNK = 1 << 16
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+) *\r\n", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked *\r\n", re.IGNORECASE)
_TOKEN = re.compile(rb"\r\nauthorization:", re.IGNORECASE)


class TokenRelay(ThreadingTCPServer):
    """Listens once it is made; serves once it knows the proxy and the token."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.proxy = ("", 0)
        self.exchanged: list[tuple[bytes, int]] = []
        """The body of each request whose length was told, and the status of its answer if it had one."""
        self.token = ""

    @property
    def address(self) -> str:
        """Where clients find it: `HOST:PORT`."""
        host, port = cast("tuple[str, int]", self.server_address)
        return f"{host}:{port}"

    @contextmanager
    def serving(self, port: int, token: str) -> Iterator[None]:
        """Relay to a proxy on this machine for as long as the context lasts."""
        self.proxy, self.token = ("127.0.0.1", port), token
        thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()


class _Connection(BaseRequestHandler):
    server: TokenRelay
    request: socket.socket

    def handle(self) -> None:
        self._body = b""
        with socket.create_connection(self.server.proxy) as onward:
            back = threading.Thread(target=self._pass_answers, args=(onward,), daemon=True)
            back.start()
            with suppress(OSError), self.request.makefile("rb") as reading:
                while self._pass_request(reading, onward.sendall):
                    pass
            _end(onward)
            back.join()

    def _pass_request(self, reading: BinaryIO, send: Callable[[bytes], None]) -> bool:
        """Pass one request on; whether there was one."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reading.readline()
            if not line:
                return False
            head += line
        assert not _TOKEN.search(head), "the client has a token of its own"
        send(head[:-2] + f"Authorization: Bearer {self.server.token}\r\n\r\n".encode())
        if length := _LENGTH.search(head):
            self._body = reading.read(int(length[1]))
            send(self._body)
        elif _CHUNKED.search(head):
            _pass_chunks(reading, send)
        return True

    def _pass_answers(self, onward: socket.socket) -> None:
        with suppress(OSError):
            while data := onward.recv(_CHUNK):
                if self._body and (status := _STATUS.match(data)):
                    self.server.exchanged.append((self._body, int(status[1])))
                    self._body = b""
                self.request.sendall(data)
        _end(self.request)


def _pass(reading: BinaryIO, send: Callable[[bytes], None], length: int) -> None:
    while length:
        data = reading.read(min(length, _CHUNK))
        if not data:
            raise ConnectionError("the client has gone")
        length -= len(data)
        send(data)


def _pass_chunks(reading: BinaryIO, send: Callable[[bytes], None]) -> None:
    size = -1
    while size:
        line = reading.readline()
        send(line)
        size = int(line.split(b";")[0], 16)
        _pass(reading, send, size + 2)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
