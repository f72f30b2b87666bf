"""What does not work through Hopward, where, and why. A run that differs from this table fails its test.

`refused` is a rule of Hopward's; `missing` is something that it does not do, or not yet.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal


@dataclass(frozen=True)
class Gap:
    """Features by their names, and cells by a pattern of theirs, with the reason that they have in common."""

    kind: Literal["refused", "missing"]
    reason: str
    features: tuple[str, ...]
    cells: str = "*"

    def explains(self, feature: str, cell: str) -> bool:
        return feature in self.features and fnmatchcase(cell, self.cells)


GAPS = (
    Gap(
        "refused",
        "MCP tasks are not forwarded, and servers' offers of them not shown: what a task does later would be"
        " no call that was decided on.",
        (
            "core: announced in `initialize`",
            "extension: announced in `server/discover`",
            "core: a call as a task, `tasks/get`, `tasks/result`, `notifications/tasks/status`",
            "core: `tasks/list`, `tasks/cancel`",
            "core: a task that asks the client something",
            "core: the client does something for the server as a task",
            "extension: a call becomes a task, `tasks/get`, result inside it",
            "extension: a task that asks the client something, `tasks/update`",
            "extension: `tasks/cancel`",
            "extension: `notifications/tasks` in a subscription",
            "the error for a task that there is not",
        ),
    ),
    Gap(
        "refused",
        "A method that is not in the specification is refused: nobody has said what it does.",
        (
            "vendor request of the client",
            "vendor notification of the client",
            "vendor notification of the server",
        ),
    ),
    Gap(
        "missing",
        "Hopward keeps no events, and a process over stdio has none: the stream of an answer of its cannot be"
        " resumed.",
        ("a client that lost a stream resumes it with `Last-Event-ID`",),
        "*http-to-stdio",
    ),
    Gap(
        "missing",
        "`hopward mcp run` does not take up a stream again that has ended before the answer: the call's"
        " outcome is unknown.",
        ("a stream that the server ends before the answer is resumed",),
        "*stdio-to-http",
    ),
    Gap(
        "missing",
        "`hopward mcp serve` reads on where its caller has gone, so that the outcome is recorded; a caller"
        " that comes back finds the server's stream taken.",
        ("a client that lost a stream resumes it with `Last-Event-ID`",),
        "*, http",
    ),
)


def explained(feature: str, cell: str, gaps: Iterable[Gap] = GAPS) -> Gap | None:
    """Why a feature does not work in a cell; None if nobody has said."""
    return next((gap for gap in gaps if gap.explains(feature, cell)), None)
