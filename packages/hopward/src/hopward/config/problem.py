"""One mistake in `hopward.toml`: where it stands and what is wrong."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias, cast

KeyPath: TypeAlias = tuple[str | int, ...]
"""A place in a parsed document: keys of tables and indices of arrays, outermost first."""

Table: TypeAlias = dict[str, Any]
"""A TOML table as `tomllib` gives it, not yet checked."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Problem(NamedTuple):
    """A mistake at `path`; `text` says what is wrong and, where it can, what would be right. `stray` is
    whether it is a key that nothing in its table is like."""

    path: KeyPath
    text: str
    stray: bool = False


def spelled(path: KeyPath) -> str:
    """A path as TOML would write it: `workflows.refunds.capabilities[0].tools`."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            name = part if _BARE_KEY.fullmatch(part) else json.dumps(part)
            out += f".{name}" if out else name
    return out


def table(value: object) -> Table:
    """The value if it is a table, else an empty one: its wrong type is reported by the shape check."""
    return cast("Table", value) if isinstance(value, dict) else {}


def text(value: object) -> str:
    """The value if it is text, else the empty text."""
    return value if isinstance(value, str) else ""


def items(value: object) -> list[Any]:
    """The value if it is an array, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def tables(document: Table, section: str) -> Iterator[tuple[KeyPath, str, Table]]:
    """Path, name and content of each `[section.NAME]`."""
    for name, content in table(document.get(section)).items():
        yield (section, name), name, table(content)
