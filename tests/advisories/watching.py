"""What this process starts and where it connects to, seen from below: by audit hooks of the interpreter."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Seen:
    """While a test looks: the words of every process that was started, the addresses connected to."""

    started: list[tuple[str, ...]] = field(default_factory=list)
    connected: list[Any] = field(default_factory=list)


_watching: list[Seen] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    for seen in _watching:
        if event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
            seen.started.append(tuple(arguments[1]))
        elif event in ("os.system", "os.spawn", "os.startfile"):
            seen.started.append((event, *map(repr, arguments)))
        elif event == "socket.connect":
            seen.connected.append(arguments[1])


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[Seen]:
    """Everything of this process meanwhile."""
    seen = Seen()
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)
