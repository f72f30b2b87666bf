"""What does not work through Hopward, where, and why. A run that differs from this table fails its test.

`refused` is a rule of Hopward's; `missing` is something that it does not do, or not yet; `absent` is
something that the server's era does not have.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal


@dataclass(frozen=True)
class Gap:
    """Features by their names, and cells by patterns (`A | B`), with the reason that they have in common."""

    kind: Literal["refused", "missing", "absent"]
    reason: str
    features: tuple[str, ...]
    cells: str = "*"

    def explains(self, feature: str, cell: str) -> bool:
        return feature in self.features and self.is_about(cell)

    def is_about(self, cell: str) -> bool:
        return any(fnmatchcase(cell, pattern) for pattern in self.cells.split(" | "))


GAPS = (
    Gap(
        "missing",
        "A process of 2026-07-28, or an older server before such clients, serves several requests at once,"
        " and a notification does not say to which it belongs: only progress, log messages and subscriptions"
        " find their way.",
        ("vendor notification of the server",),
        "modern, http-to-stdio | modern to older, http* | older to modern, http-to-stdio",
    ),
    Gap(
        "missing",
        "Hopward keeps no events, and a process over stdio has none: the stream of an answer of its cannot be"
        " resumed.",
        ("a client that lost a stream resumes it with `Last-Event-ID`",),
        "older, http-to-stdio",
    ),
    Gap(
        "missing",
        "`hopward mcp serve` reads on where its caller has gone, so that the outcome is recorded; a caller"
        " that comes back finds the server's stream taken.",
        ("a client that lost a stream resumes it with `Last-Event-ID`",),
        "older, http",
    ),
    Gap(
        "absent",
        "2026-07-28 has nothing like it, so a server of that version neither gets nor sends it.",
        (
            "other members of `initialize` reach the server",
            "`notifications/initialized`",
            "`ping` of the server",
            "vendor notification of the client",
            "a vendor request of the server",
            "the error that a client answers with",
            "progress of what the client does for the server",
            "the server gives up what it has asked",
            "`notifications/elicitation/complete`",
            "`notifications/roots/list_changed`",
            "a client that lost a stream resumes it with `Last-Event-ID`",
            "a stream that the server ends before the answer is resumed",
            "core: announced in `initialize`",
            "core: a call as a task, `tasks/get`, `tasks/result`, `notifications/tasks/status`",
            "core: `tasks/list`, `tasks/cancel`",
            "core: a task that asks the client something",
            "core: the client does something for the server as a task",
            "the error for a task that there is not",
        ),
        "older to modern, *",
    ),
    Gap(
        "absent",
        "2025-11-25 has nothing like it, so a server of that version neither gets nor sends it.",
        (
            "an interim result with nothing but a `requestState`",
            "`subscriptions/listen`: the server ends it with a result",
            "`subscriptions/listen` ends at the server when the client leaves",
            "the server ends a subscription with `notifications/cancelled`",
            "extension: announced in `server/discover`",
            "extension: a call becomes a task, `tasks/get`, result inside it",
            "extension: a task that asks the client something, `tasks/update`",
            "extension: `tasks/cancel`",
            "extension: `notifications/tasks` in a subscription",
            "`Mcp-Param-*` of arguments that the schema marks reach the server",
            "`Mcp-Param-*` that are not the argument: 400 and -32020",
            "`Mcp-Param-*` that nobody knows reach the server",
            "`Mcp-Method` and `Mcp-Name` reach the server",
        ),
        "modern to older, *",
    ),
)


def explained(feature: str, cell: str, gaps: Iterable[Gap] = GAPS) -> Gap | None:
    """Why a feature does not work in a cell; None if nobody has said."""
    return next((gap for gap in gaps if gap.explains(feature, cell)), None)
