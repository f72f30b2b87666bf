"""The tables of docs/reference/mcp-coverage.md, from what `python -m tests.mcp.probe` has found."""

import json
import re
from collections.abc import Iterator
from typing import Any

from .markdown import ROOT

RESULTS = ROOT / "tests" / "mcp" / "probe" / "coverage.json"

_PAIRS = {
    "stdio": "stdio",
    "http": "HTTP",
    "http-to-stdio": "HTTP to stdio",
    "stdio-to-http": "stdio to HTTP",
}
_ERAS = {"older": "2025-11-25", "modern": "2026-07-28"}
_REGION = re.compile(r"(?<=<!-- coverage: begin -->\n).*(?=<!-- coverage: end -->)", re.DOTALL)


def refreshed(text: str) -> str:
    """The page with its tables as the results are now."""
    found = json.loads(RESULTS.read_text("utf-8"))
    return _REGION.sub(lambda _: "\n" + "\n".join(_lines(found)) + "\n", text)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    for side in dict.fromkeys(name.partition(", ")[0] for name in found["cells"]):
        yield from _table(found, side)
    yield "## Why not"
    yield ""
    yield "| | | reason |"
    yield "|---|---|---|"
    yield from (f"| {n} | {one['kind']} | {one['reason']} |" for n, one in enumerate(found["reasons"], 1))


def _table(found: dict[str, Any], side: str) -> Iterator[str]:
    """One table: a client of an era and a server of an era, by pairs of transports."""
    client, _, server = side.partition(" to ")
    yield f"## A {_ERAS[client]} client and a {_ERAS[server or client]} server"
    yield ""
    yield "| | " + " | ".join(_PAIRS.values()) + " |"
    yield "|---|" + "---|" * len(_PAIRS)
    group = ""
    for entry in found["features"]:
        cells = [entry["cells"].get(f"{side}, {pair}") for pair in _PAIRS]
        if any(cells):
            if entry["group"] != group:
                group = entry["group"]
                yield f"| **{group}** |" + " |" * len(_PAIRS)
            yield f"| {entry['feature']} | " + " | ".join(_shown(found, one) for one in cells) + " |"
    yield ""


def _shown(found: dict[str, Any], said: Any) -> str:
    if said is None:
        return ""
    if said == "works":
        return "works"
    numbers = {one["reason"]: (one["kind"], n) for n, one in enumerate(found["reasons"], 1)}
    kind, number = numbers[said["because"]]
    return f"{kind} ({number})"
