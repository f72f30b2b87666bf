"""A row's hash is SHA-256 over the hash before it and the compact envelope."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopward.canonical import compact
from hopward.clock import SECOND, iso
from hopward.errors import LedgerError
from hopward.ledger.chain import GENESIS, entry, row_hash
from hopward.testing.samples import a_draft

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = ("kind", "at", "task", "agent", "server", "tool", "verdict", "reason", "decision")


@given(st.tuples(*[TEXT] * len(NAMES)), st.dictionaries(TEXT, JSON, max_size=3), st.integers(1, 2**63 - 1))
def test_the_hash_is_over_the_compact_envelope(columns: tuple[str, ...], record: object, seq: int) -> None:
    envelope = {**dict(zip(NAMES, columns, strict=True)), "record": record, "seq": seq}
    link = GENESIS.encode() + b"\n" + compact(envelope)
    text = compact(record).decode()
    assert row_hash(GENESIS, seq, (*columns, text)) == sha256(link).hexdigest()  # pyright: ignore[reportArgumentType]


def test_the_hash_of_a_row_never_changes() -> None:
    """A log written by any version of Hopward verifies with every later one."""
    columns = entry(a_draft(reason='says "é"\n')).columns
    assert columns[-1] == '{"call":{"arguments":{"id":7}}}'
    assert row_hash(GENESIS, 1, columns) == "50fda68ab27c92ed7d6d793f013525fd58f1e9ddd0a8cde533952e5a029eeffe"


@pytest.mark.parametrize("at", [-(10**20), 10**20])
def test_an_instant_no_calendar_has_is_refused(at: int) -> None:
    with pytest.raises(LedgerError, match="cannot be written") as refused:
        entry(a_draft(at=at))
    assert refused.value.error == "row_invalid"


def test_a_record_nested_too_deep_is_refused() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(LedgerError, match="cannot be written"):
        entry(a_draft(record={"deep": deep}))


def test_a_column_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(LedgerError, match="cannot be written"):
        entry(a_draft(tool="\ud800"))


def test_a_record_that_holds_itself_is_refused() -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    with pytest.raises(LedgerError, match="cannot be written") as refused:
        entry(a_draft(record=endless))
    assert refused.value.error == "row_invalid"


@given(st.integers(0, 4_102_444_800 * SECOND))
def test_a_row_says_its_instant_as_everything_else_does(at: int) -> None:
    assert entry(a_draft(at=at)).columns[1] == iso(at)
    assert entry(a_draft(at=at + 1)).columns[1] == iso(at + 1)
