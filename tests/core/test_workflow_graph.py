"""The steps of a workflow as a graph, and drawn."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from hopward.constraint import Equals
from hopward.model import Step
from hopward.workflows import mermaid, svg
from hopward.workflows.graph import layers, loops, reachable
from hopward.workflows.layout import Box, arranged


def step(name: str, *after: str, **more: Any) -> Step:
    return Step(name=name, agent="clerk", tool=f"desk/{name}", after=after, **more)


LINE = (step("a"), step("b", "a"), step("c", "b"))
LOOP = (step("a"), step("b", "a", "c"), step("c", "b"))
DIAMOND = (step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c", "a", unless=("c",)))


def test_what_nothing_leads_to_is_not_reachable() -> None:
    assert reachable((*LINE, step("x", "y"), step("y", "x"))) == {"a", "b", "c"}
    assert reachable(LINE, frozenset({"b"})) == {"a"}


def test_layers_follow_the_longest_way_and_leave_loops_out() -> None:
    assert [[one.name for one in layer] for layer in layers(DIAMOND)] == [["a"], ["b", "c"], ["d"]]
    assert [[one.name for one in layer] for layer in layers(LOOP)] == [["a"], ["b"], ["c"]]
    closed = (step("x", "y"), step("y", "x"))
    assert sorted(one.name for layer in layers(closed) for one in layer) == ["x", "y"]


def test_loops_are_steps_that_lead_to_one_another_or_may_be_repeated() -> None:
    assert loops(LINE) == ()
    assert loops(LOOP) == (frozenset({"b", "c"}),)
    assert loops((step("a", times=3), *LOOP[1:])) == (frozenset({"a"}), frozenset({"b", "c"}))


def test_the_flowchart_has_a_box_and_an_arrow_for_each_step() -> None:
    bound = step("b", "a", arguments={"id": (Equals("x"),)}, bound={"id": "claim"}, unless=("a",), times=2)
    assert mermaid(("claims", "claim (string)"), (step("a"), bound)) == (
        "flowchart TD\n"
        '  opened(["claims<br>claim (string)"])\n'
        '  step1["a<br>clerk: desk/a"]\n'
        '  step2["b (up to 2 times)<br>clerk: desk/b<br>id #61; #123;claim#125;"]\n'
        "  opened --> step1\n"
        "  step1 --> step2\n"
        "  step1 -. rules out .-> step2\n"
    )


def test_no_name_breaks_out_of_its_box() -> None:
    hostile = Step(name="a", agent="clerk", tool='desk/x"]; click a "javascript:1"<script>&lt;')
    told = mermaid(('t"]',), (hostile,))
    assert len(told.splitlines()) == 4
    assert not re.search(r'"\]?;|<script|javascript:1"', told)
    image = ElementTree.fromstring(svg(('t"]<',), (hostile,)))  # noqa: S314 - written by ourselves
    assert [one.tag.partition("}")[2] for one in image.iter() if "script" in one.tag] == []
    assert any(hostile.tool in "".join(one.itertext()) for one in image)


def test_an_image_needs_nothing_from_elsewhere_and_knows_dark_screens() -> None:
    told = svg(("claims",), DIAMOND)
    assert "prefers-color-scheme: dark" in told
    assert not re.search(r"href|url\((?!#)|@import|<script|on\w+=", told)
    assert told.count("http") == told.count('xmlns="http://www.w3.org/2000/svg"') == 1


@pytest.mark.parametrize("steps", [LINE, LOOP, DIAMOND, (), tuple(step(f"s{n}") for n in range(12))])
def test_boxes_do_not_overlap_and_lie_within_the_image(steps: Sequence[Step]) -> None:
    drawing = arranged(("claims", "claim (string)"), steps)
    assert len(drawing.boxes) == len(steps) + 1
    for box in drawing.boxes:
        assert box.x >= 0 <= box.y
        assert box.x + box.width <= drawing.width
        assert box.y + box.height <= drawing.height
    for number, box in enumerate(drawing.boxes):
        assert not any(_overlap(box, other) for other in drawing.boxes[number + 1 :])


@pytest.mark.parametrize("steps", [LINE, LOOP, DIAMOND])
def test_lines_end_at_boxes_and_pass_through_none(steps: Sequence[Step]) -> None:
    drawing = arranged(("claims",), steps)
    for line in (*drawing.lines, *drawing.dotted):
        for (x, y), (next_x, next_y) in pairwise(line):
            for part in range(1, 20):
                at = (x + (next_x - x) * part / 20, y + (next_y - y) * part / 20)
                assert not any(_inside(box, *at) for box in drawing.boxes)
        assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for x, y in line)


def _overlap(one: Box, other: Box) -> bool:
    apart = one.x + one.width <= other.x or other.x + other.width <= one.x
    return not (apart or one.y + one.height <= other.y or other.y + other.height <= one.y)


def _inside(box: Box, x: float, y: float) -> bool:
    return box.x < x < box.x + box.width and box.y < y < box.y + box.height
