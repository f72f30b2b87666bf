"""Names that a model or a client could take for one another, where each stands for something of its own.

A client shows a model the tools of all its servers together. It puts the server's name in front, or nothing,
and replaces what its model API does not take: `a.b` and `a/b` become `a_b`, and so does `b` of server `a`.
"""

import re
import unicodedata
from collections.abc import Iterator

from hopward.config.problem import Problem, Table, table, tables
from hopward.pattern import folded

_JOINTS = re.compile(r"[\s_./:-]+")


def name_problems(document: Table) -> Iterator[Problem]:
    """Tools and prompts with names that cannot be told apart, within a server and across all of them."""
    joined: dict[str, tuple[str, str]] = {}
    for path, server, content in tables(document, "servers"):
        for section in ("tools", "prompts"):
            seen: dict[str, str] = {}
            for name in table(content.get(section)):
                first = seen.setdefault(alike(name), name)
                if first != name:
                    told = f'cannot be told apart from "{first}"; Hopward guards one of them only'
                    yield Problem((*path, section, name), told)
        if "in_process" in content:
            continue
        for tool in table(content.get("tools")):
            other, its = joined.setdefault(alike(f"{server}_{tool}"), (server, tool))
            if other != server:
                told = f'becomes the same as "{its}" of server "{other}" in a client; rename a server'
                yield Problem((*path, "tools", tool), told)


def alike(name: str) -> str:
    """What two names have in common if one could be taken for the other: case, compatibility forms, signs
    that are not seen, and which joint stands between words."""
    seen = "".join(sign for sign in name if unicodedata.category(sign) != "Cf")
    return _JOINTS.sub("_", folded(seen))
