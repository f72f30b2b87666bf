"""One check: what a client sees of one feature of MCP, in one session.

A check returns what it saw, as JSON. Directly, it has to see what it wants; through Hopward the same, changed
only as `guarded` says.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from .cells import Cell
    from .talk import Talk, Transport

Check: TypeAlias = "Callable[[Talk], Awaitable[Any]]"
Guarded: TypeAlias = "Callable[[Any, Cell], Any]"


class DiffersError(Exception):
    """A check did not see what it wants; the text is the same on every run."""


def unchanged(seen: Any, cell: "Cell") -> Any:
    """The guard changes nothing of what a check sees."""
    return seen


@dataclass(frozen=True)
class Feature:
    """A feature of MCP. `eras` are those of a client that has it, `client` and `server` the transports where
    it is one of theirs alone. `guarded` is what the guard makes of what is seen directly, `bridged` what is
    seen with a server of the other era."""

    group: str
    name: str
    check: Check
    eras: tuple[str, ...]
    client: "Transport | Literal['']"
    server: "Transport | Literal['']"
    guarded: Guarded
    bridged: Guarded

    def directly(self, cell: "Cell") -> "Cell":
        """The session without Hopward that a cell is compared with."""
        return cell.direct(self.server)

    def applies(self, cell: "Cell") -> bool:
        """Whether it is to be found where a cell looks."""
        return (
            cell.client in self.eras
            and self.client in ("", cell.speaks)
            and self.server in ("", cell.spoken_to)
        )


FEATURES: list[Feature] = []


def feature(
    group: str,
    name: str,
    *,
    eras: str = "older modern",
    client: "Transport | Literal['']" = "",
    server: "Transport | Literal['']" = "",
    guarded: Guarded = unchanged,
    bridged: Guarded = unchanged,
) -> Callable[[Check], Check]:
    """Make a function the check of a feature."""

    def made(check: Check) -> Check:
        assert name not in {one.name for one in FEATURES}, name
        FEATURES.append(Feature(group, name, check, tuple(eras.split()), client, server, guarded, bridged))
        return check

    return made


def expect(seen: Any, wanted: Any, what: str) -> None:
    """Raise `DiffersError` where something is not as it is wanted."""
    found = difference(wanted, seen, what)
    if found:
        raise DiffersError(found)


def expect_note(seen: Any) -> None:
    """Raise `DiffersError` unless `_meta` has what the server noted in it, and the rest survives."""
    expect(seen.get("_meta", {}).get("example.com/note"), {"of": ["the", "server"]}, "_meta")


def difference(wanted: Any, seen: Any, at: str = "") -> str:
    """The first place where two JSON values differ, and how; empty if nowhere."""
    if isinstance(wanted, dict) and isinstance(seen, dict):
        for key in wanted:
            if key not in seen:
                return f"{at}.{key} is missing".lstrip(".")
            if found := difference(wanted[key], seen[key], f"{at}.{key}".lstrip(".")):
                return found
        more = [key for key in seen if key not in wanted]
        return f"{at}.{more[0]} is added".lstrip(".") if more else ""
    if isinstance(wanted, list) and isinstance(seen, list):
        if len(wanted) != len(seen):
            return f"{at} has {len(seen)} items, not {len(wanted)}"
        pairs = enumerate(zip(wanted, seen, strict=True))
        return next((found for n, (a, b) in pairs if (found := difference(a, b, f"{at}[{n}]"))), "")
    if type(wanted) is type(seen) and wanted == seen:
        return ""
    return steady(f"{at} is {seen!r}, not {wanted!r}")


def steady(text: str) -> str:
    """A text without what is another on every run, and not too long."""
    return re.sub(r"\b(dec|task)_[0-9a-f]{24}\b", r"\1_N", text)[:200]
