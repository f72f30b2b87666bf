"""What one agent hands on to the next, as an `authorization_details` object (RFC 9396).

In a request it says what the delegator asks for, in an answer and in the hop's token what is really carried.
Its members are those of `hopward.model.Narrowing`; `expires_in` is seconds since the hop was opened.
"""

from typing import Any, cast

import msgspec

from hopward.clock import to_seconds
from hopward.errors import ExchangeRefusedError
from hopward.model import Hop, Narrowing, plain
from hopward.strictjson import parse

TYPE = "hopward_delegation"
"""The `type` of the object."""

LONGEST = 8_192
"""Characters of JSON that are read: what comes of it must fit into a token."""

MOST_CAPABILITIES = 8
"""Entries of `capabilities` and of `delegable`, each; each is met with all that may be handed on."""

LONGEST_PURPOSE = 500
_LARGEST = 2**31 - 1


def read(text: str) -> Narrowing:
    """What a request asks to hand on; raises `ExchangeRefusedError` unless it is exactly one such object."""
    if len(text) > LONGEST:
        raise _refused(f"The authorization_details are longer than {LONGEST} characters.")
    try:
        value = parse(text.encode("utf-8"))
    except ValueError as error:
        raise _refused("The authorization_details are not proper JSON.") from error
    asked = _narrowing(_only_entry(value))
    if max(len(asked.capabilities), len(asked.delegable)) > MOST_CAPABILITIES:
        raise _refused(f"More than {MOST_CAPABILITIES} capabilities are handed on.")
    if len(asked.purpose) > LONGEST_PURPOSE or not asked.purpose.isprintable():
        raise _refused(f"A purpose is one printable line of at most {LONGEST_PURPOSE} characters.")
    # Those of `Budget` that have a default are within bounds by themselves.
    numbers = (asked.budget.calls, asked.budget.writes, asked.expires_in, asked.depth, asked.fan_out)
    if not all(0 <= number <= _LARGEST for number in numbers):
        raise _refused("A number of the delegation is out of range.")
    return asked


def asked(narrowing: Narrowing) -> list[dict[str, Any]]:
    """The request parameter."""
    return [{"type": TYPE, **plain(narrowing)}]


def carried(hop: Hop) -> list[dict[str, Any]]:
    """What a hop really carries: in the answer (RFC 9396 section 7), and in its token (section 9.1)."""
    return asked(
        Narrowing(
            purpose=hop.purpose,
            capabilities=hop.capabilities,
            budget=hop.budget,
            expires_in=to_seconds(hop.expires_at) - to_seconds(hop.opened_at),
            shared=hop.shared,
            delegable=hop.delegable,
            depth=hop.depth,
            fan_out=hop.fan_out,
        )
    )


def _only_entry(value: object) -> dict[str, Any]:
    entries = cast("list[object]", value) if isinstance(value, list) else []
    if len(entries) != 1 or not isinstance(entries[0], dict):
        raise _refused("The authorization_details are not one delegation.")
    entry = dict(cast("dict[str, Any]", entries[0]))
    if entry.pop("type", None) != TYPE:
        raise _refused(f"What is handed to an agent is of the type {TYPE}.")
    return entry


def _narrowing(entry: dict[str, Any]) -> Narrowing:
    try:
        return msgspec.convert(entry, Narrowing)
    except msgspec.ValidationError as error:
        raise _refused(f"The authorization_details are not a delegation: {error}") from error


def _refused(sentence: str) -> ExchangeRefusedError:
    return ExchangeRefusedError(sentence, error="invalid_authorization_details")
