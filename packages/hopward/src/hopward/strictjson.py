"""JSON with one meaning: no member twice at any depth, no non-finite numbers, nothing UTF-8 cannot carry."""

import json
import math
from typing import Any

from hopward.canonical import compact


def parse(data: bytes) -> Any:
    """The value of a UTF-8 JSON text (RFC 8259, I-JSON of RFC 7493 where it matters).

    Raises `ValueError` for anything doubtful, nesting beyond Python's recursion limit included.
    """
    text = data.decode("utf-8")
    try:
        value = _decoder.decode(text)
        if "\\u" in text:
            compact(value)  # a lone surrogate is only possible as an escape, and has no UTF-8
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply") from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
