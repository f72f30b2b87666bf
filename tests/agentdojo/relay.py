"""A server's standard input and output, led to a socket: relay.py SOCKET RUN. Starts at once."""

import os
import socket
import sys
import threading


def main(path: str, run: str) -> None:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.sendall(f"{run}\n".encode())
    threading.Thread(target=_from_client, args=(connection,), daemon=True).start()
    while data := connection.recv(1 << 16):
        os.write(1, data)


def _from_client(connection: socket.socket) -> None:
    while data := os.read(0, 1 << 16):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


main(*sys.argv[1:])
