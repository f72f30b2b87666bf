"""Every feature of MCP through Hopward, on every pair of transports: as coverage.json and its page say."""

import asyncio
import json
from typing import Any

import pytest

from . import spec
from .cells import CELLS, DIRECT, ERAS, Cell
from .feature import DiffersError, Feature, difference, expect, unchanged
from .gaps import GAPS
from .results import FILE, UNEXPLAINED, document, verdicts
from .run import WORKS, Saw, place, probed, verdict
from .talk import Era

STALE = "coverage.json is out of date: python -m tests.mcp.probe, then make docs"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[Cell, Saw]:
    """What every cell has seen; one run for all tests."""
    with place(tmp_path_factory.mktemp("probe")) as found:
        return asyncio.run(probed(found, CELLS))


def test_every_feature_works_without_hopward(seen: dict[Cell, Saw]) -> None:
    failed = [
        (cell.name, name, said) for _, name, cell, said in verdicts(seen) if not cell.pair and said != WORKS
    ]
    assert failed == []


def test_what_does_not_work_has_a_reason(seen: dict[Cell, Saw]) -> None:
    failed = [
        (entry["feature"], cell, said)
        for entry in document(seen)["features"]
        for cell, said in entry["cells"].items()
    ]
    assert [one for one in failed if one[2] != WORKS and one[2]["because"] == UNEXPLAINED] == []


def test_no_reason_is_given_for_what_works(seen: dict[Cell, Saw]) -> None:
    found = {(name, cell.name): said for _, name, cell, said in verdicts(seen) if cell.pair}
    given = [(gap, name, cell) for name, cell in found for gap in GAPS if gap.explains(name, cell)]
    assert [(name, cell) for _, name, cell in given if found[name, cell] == WORKS] == []
    tried = {gap for gap in GAPS if any(gap.is_about(cell.name) for cell in CELLS)}
    assert {gap for gap, _, _ in given} == tried


def test_the_results_that_are_kept_are_those_of_this_run(seen: dict[Cell, Saw]) -> None:
    assert difference(json.loads(FILE.read_text("utf-8")), document(seen)) == "", STALE


@pytest.mark.parametrize("era", ERAS)
def test_nothing_that_the_specification_names_is_left_out(seen: dict[Cell, Saw], era: Era) -> None:
    wire = [one for cell in DIRECT if cell.client == era for one in seen[cell].wire]
    assert spec.named(era) - spec.said(wire) == set()
    sessions = [seen[cell].wire for cell in DIRECT if cell.client == era]
    told = set().union(*(spec.fields_said(era, session) for session in sessions))
    assert sorted(spec.fields(era) - told) == []
    assert spec.kinds_of_content() - spec.types_said([message for _, message in wire]) == set()


FEATURE = Feature("a group", "a feature", None, ("older",), "", "", unchanged, unchanged)  # type: ignore[arg-type]
THROUGH = Cell("older", "both", "stdio", "stdio")


@pytest.mark.parametrize(
    ("through", "said"),
    [
        ({"a": [1, {"b": None}]}, WORKS),
        ({"a": [1, {}]}, "it.a[1].b is missing"),
        ({"a": [1, {"b": None, "c": 1}]}, "it.a[1].c is added"),
        ({"a": [1.0, {"b": None}]}, "it.a[0] is 1.0, not 1"),
        ({"a": [1]}, "it.a has 1 items, not 2"),
        ({"a": [True, {"b": None}]}, "it.a[0] is True, not 1"),
    ],
)
def test_a_feature_works_only_if_nothing_differs_from_what_is_seen_directly(through: Any, said: str) -> None:
    seen = {
        THROUGH.direct(): Saw({FEATURE.name: {"a": [1, {"b": None}]}}),
        THROUGH: Saw({FEATURE.name: through}),
    }
    assert verdict(FEATURE, THROUGH, seen) == said


def test_a_check_that_fails_directly_says_nothing_about_hopward() -> None:
    seen = {THROUGH.direct(): Saw(differs={FEATURE.name: "no answer came"}), THROUGH: Saw({FEATURE.name: 1})}
    assert verdict(FEATURE, THROUGH, seen) == "directly: no answer came"


def test_what_a_check_wants_is_the_same_value_of_the_same_type() -> None:
    with pytest.raises(DiffersError, match="of is 2, not 1"):
        expect({"of": 2}, {"of": 1}, "")
