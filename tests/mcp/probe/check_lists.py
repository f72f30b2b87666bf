"""The four lists: every field of what is listed, page by page."""

from typing import Any

from . import offers
from .cells import Cell
from .feature import expect, expect_note, feature
from .talk import Talk

GROUP = "Lists"


def _filtered(seen: Any, cell: Cell) -> Any:
    """What the task does not reach is not listed, and what is listed is this caller's own."""
    pages = [
        {
            **page,
            **({"cacheScope": "private"} if "cacheScope" in page else {}),
            **{
                key: [one for one in page[key] if one["name"] != offers.HIDDEN]
                for key in _MEMBERS
                if key in page
            },
        }
        for page in seen
    ]
    assert pages != seen or cell.client == "modern", "nothing was there to be filtered"
    return pages


_MEMBERS = ("tools", "resources", "resourceTemplates", "prompts")


async def _pages(talk: Talk, method: str) -> list[Any]:
    first = await talk.result(method)
    pages = [
        first,
        await talk.result(method, {"cursor": first["nextCursor"], "_meta": {"example.com/page": 2}}),
    ]
    for page in pages:
        expect_note(page)
        expect(page["x-probe"], offers.UNKNOWN["x-probe"], "x-probe")
        if talk.modern and not talk.bridged:
            expect(page["ttlMs"], 60_000, "ttlMs")
    expect("nextCursor" in pages[1], False, "a third page")
    return pages


def _all(pages: list[Any], member: str, wanted: list[Any]) -> None:
    """Every item but the hidden one is there as offered, in its order."""
    seen = [one for page in pages for one in page[member] if one["name"] != offers.HIDDEN]
    expect(seen, [one for one in wanted if one["name"] != offers.HIDDEN], member)


def _common(seen: Any, cell: Cell) -> Any:
    """An older server does not say how long a list may be kept, and a tool has what both eras have."""
    named = {one["name"]: one for one in offers.tools(modern=True)}
    pages = [{**page, **({"ttlMs": 0} if cell.offered == "older" else {})} for page in seen]
    return [
        {**page, **({"tools": [named[one["name"]] for one in page["tools"]]} if "tools" in page else {})}
        for page in pages
    ]


@feature(GROUP, "`tools/list`: every field of a tool, pages", guarded=_filtered, bridged=_common)
async def tools(talk: Talk) -> Any:
    pages = await _pages(talk, "tools/list")
    _all(pages, "tools", offers.tools(modern=talk.modern or talk.bridged))
    return pages


@feature(GROUP, "`resources/list`: every field of an MCP resource, pages", guarded=_filtered, bridged=_common)
async def resources(talk: Talk) -> Any:
    pages = await _pages(talk, "resources/list")
    _all(pages, "resources", offers.RESOURCES)
    return pages


@feature(
    GROUP,
    "`resources/templates/list`: every field of a template, pages",
    guarded=_filtered,
    bridged=_common,
)
async def templates(talk: Talk) -> Any:
    pages = await _pages(talk, "resources/templates/list")
    _all(pages, "resourceTemplates", offers.TEMPLATES)
    return pages


@feature(GROUP, "`prompts/list`: every field of a prompt, pages", guarded=_filtered, bridged=_common)
async def prompts(talk: Talk) -> Any:
    pages = await _pages(talk, "prompts/list")
    _all(pages, "prompts", offers.PROMPTS)
    return pages


@feature(GROUP, "the error for a cursor that is not valid")
async def cursor(talk: Talk) -> Any:
    answer = await talk.ask("tools/list", {"cursor": "no such page"})
    expect(answer.get("error", {}).get("data"), {"cursor": "no such page"}, "error.data")
    return answer
