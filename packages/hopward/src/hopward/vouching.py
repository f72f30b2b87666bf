"""Fields of an untrusted result that the server itself answers for: an id, the account a payment went to.

A field is named by where it stands, as a JSON Pointer (RFC 6901) in which `*` is every item of a list; a name
alone is a field of the outermost object. Only those places count, and only as a whole: a text is never looked
into, so nobody vouches for himself by writing `{"recipient": ...}` into the subject of a payment.
"""

import json
from collections.abc import Iterable, Iterator
from typing import cast

from hopward.canonical import JSON

EVERY = "*"


def wrong_place(place: str) -> str:
    """What is wrong with the place of a field, or an empty text."""
    if not place.strip() or any(not step for step in _steps(place)):
        return "names no field: write a name, or /NAME/*/NAME"
    return ""


def vouched(places: Iterable[str], result: JSON) -> list[str]:
    """The texts that stand at these places of a tool's result.

    Of an MCP result, the places are those of its `structuredContent`, or where it has none, of each of its
    texts that is JSON as a whole.
    """
    roots = list(_roots(result))
    return [text for place in places for root in roots for text in _at(root, _steps(place))]


def _steps(place: str) -> list[str]:
    if not place.startswith("/"):
        return [place]
    return [step.replace("~1", "/").replace("~0", "~") for step in place[1:].split("/")]


def _at(value: JSON, steps: list[str]) -> Iterator[str]:
    if not steps:
        if isinstance(value, str):
            yield value
        return
    step, *further = steps
    if isinstance(value, list) and step == EVERY:
        for one in value:
            yield from _at(one, further)
    elif isinstance(value, dict) and step in value:
        yield from _at(value[step], further)


def _roots(result: JSON) -> Iterator[JSON]:
    content = result.get("content") if isinstance(result, dict) else None
    if not isinstance(result, dict) or not isinstance(content, list):
        yield _read(result) if isinstance(result, str) else result
    elif "structuredContent" in result:
        yield result["structuredContent"]
    else:
        for block in content:
            if isinstance(block, dict) and isinstance(block.get("text"), str):
                yield _read(cast("str", block["text"]))


def _read(text: str) -> JSON:
    try:
        return cast("JSON", json.loads(text))
    except (ValueError, RecursionError):
        return None
