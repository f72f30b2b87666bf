"""The seam to whoever has made a request, for what comes before its answer: a person is asked, and waited
for."""

from collections.abc import Callable
from typing import Protocol


class Caller(Protocol):
    """Of one request. `hears` is whether it can be told anything before the answer."""

    @property
    def hears(self) -> bool: ...

    def waits(self) -> None:
        """The answer will take as long as a person does; the caller may go meanwhile."""
        ...

    def tell(self, body: bytes, /) -> None:
        """Send it a message before the answer."""
        ...


class Piped:
    """The client at our stdin and stdout, which is there until the session ends."""

    hears = True

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self.tell = tell

    def waits(self) -> None:
        """Its end is seen by whoever reads the pipe."""
