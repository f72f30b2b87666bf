"""Where a key belongs that stands in a table which does not have it."""

from collections.abc import Iterator
from difflib import get_close_matches

from msgspec import inspect

_NAME = "NAME"
_MOST = 3
"""Places that are worth naming: a key that belongs in more of them says little."""
_LIKE = 0.8


def belonging(key: str, expected: inspect.Type) -> str:
    """`it belongs in [proxy]`, or which key there may be meant; empty where no table has one like it, or many
    have."""
    known = [*_keys(expected, ())]
    near = get_close_matches(key, {name for _, name in known}, n=1, cutoff=_LIKE)
    found = sorted({place for place, name in known if name in near})
    if not 0 < len(found) <= _MOST:
        return ""
    where = " or ".join(found)
    return f"it belongs in {where}" if near[0] == key else f'did you mean "{near[0]}" in {where}?'


def _keys(expected: inspect.Type, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Every table of the settings, as TOML writes it, with each of its keys."""
    match expected:
        case inspect.StructType():
            for field in expected.fields:
                yield f"[{'.'.join(path)}]" if path else "the top of the file", field.encode_name
                yield from _keys(field.type, (*path, field.encode_name))
        case inspect.DictType():
            yield from _keys(expected.value_type, (*path, _NAME))
        case inspect.VarTupleType():
            yield from _keys(expected.item_type, path)
        case inspect.UnionType():
            for one in expected.types:
                yield from _keys(one, path)
        case _:
            return
