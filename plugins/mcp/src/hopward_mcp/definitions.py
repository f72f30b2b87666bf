"""What a person is shown of a tool's definition before accepting it: what counts, what would, and flags."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hopward import Guard

_ABOUT = {
    "changed": "its definition has changed",
    "new": "it appeared later",
    "doubled": "it is listed with two definitions at once",
}
_ORDER = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A definition that a person may accept: `shown`, as canonical JSON, with its digest.

    `before` is what counts now, empty where nothing does. `state` is `first-seen` where the two are the same
    and nobody has accepted it, `changed`, `new` or `doubled` where the tool is quarantined, and `reverted`
    where it is, and the server lists again what counts; `before` is then what was seen meanwhile.
    """

    server: str
    tool: str
    state: str
    digest: str
    shown: str
    before: str
    flags: tuple[str, ...]

    @property
    def about(self) -> str:
        """Why it waits, for people."""
        if self.state == "reverted":
            return "its definition changed, and is listed again as it counts"
        return _ABOUT.get(self.state, "first seen, and accepted by nobody")


def waiting(guard: Guard, server: str, listed: Mapping[str, str] | None = None) -> list[Waiting]:
    """What of a server's tools waits for a person, by name; `listed` are the digests of what it lists now."""
    found: list[Waiting] = []
    for tool, known in guard.pins.candidates(server).items():
        pinned, seen = known.get("pinned"), known.get("seen")
        if seen is not None and pinned is not None and (listed or {}).get(tool) == pinned.digest:
            state, one, before = "reverted", pinned, seen.definition
        elif seen is not None:
            state, one, before = seen.state, seen, pinned.definition if pinned is not None else ""
        elif pinned is not None and pinned.state == "first-seen":
            state, one, before = pinned.state, pinned, ""
        else:
            continue
        found.append(Waiting(server, tool, state, one.digest, one.definition, before, one.flags))
    return found


def readable(definition: str) -> str:
    """A definition as lines for people: its texts as they read, everything else as JSON."""
    if not definition:
        return ""
    members: dict[str, Any] = json.loads(definition)
    names = [*(name for name in _ORDER if name in members), *sorted(members.keys() - set(_ORDER))]
    return "".join(_member(name, members[name]) for name in names)


def _member(name: str, value: Any) -> str:
    if isinstance(value, str) and "\n" not in value:
        return f"{name}: {value}\n"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    # Split at what a terminal takes for a line's end and nothing else; the rest is made visible.
    return f"{name}:\n" + "".join(f"    {line}\n" for line in text.split("\n"))
