"""Where the boxes and lines of a drawn workflow go: layer by layer, downwards, sizes in pixels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hopward.model import Step
from hopward.workflows.graph import layers
from hopward.workflows.mermaid import label_of

LINE = 18
"""Between the lines of a label."""

_GAP, _DROP, _MARGIN, _PADDING, _SIGN = 32, 56, 24, 16, 7.6
_TURN, _LANE = 14, 12
_ROUNDS = 4

_Slot: TypeAlias = tuple[str, str]
"""A place in a layer: the name of a step and an empty text, or both ends of a line that passes through."""


Points: TypeAlias = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A step; `x` and `y` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    label: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes, and lines as the points they pass. `dotted` lines say what rules out what."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Points, ...]
    dotted: tuple[Points, ...]


def arranged(title: Sequence[str], steps: Sequence[Step]) -> Drawing:
    """The drawing of a workflow, a box with its title on top."""
    ranked = [(Step(name="", agent=""),), *layers(steps)]
    labels = {"": tuple(title)} | {step.name: label_of(step) for step in steps}
    level = {step.name: number for number, layer in enumerate(ranked) for step in layer}
    edges = [(before, step.name) for step in steps for before in (step.after or ("",))]
    down = [edge for edge in edges if level[edge[0]] < level[edge[1]]]
    back = [edge for edge in edges if edge not in down]
    ruling = [(other, step.name) for step in steps for other in step.unless]
    grid = _placed(_ordered(ranked, down, level), labels)
    lines = [_downwards(edge, grid, level) for edge in down]
    around = [_around(edge, grid, level, lane) for lane, edge in enumerate((*back, *ruling))]
    return Drawing(
        grid.width + _LANE * len(around),
        grid.bottoms[-1] + _MARGIN + (_TURN if around else 0),
        tuple(grid.boxes.values()),
        (*lines, *around[: len(back)]),
        tuple(around[len(back) :]),
    )


def _ordered(
    ranked: Sequence[Sequence[Step]], edges: Iterable[tuple[str, str]], level: Mapping[str, int]
) -> list[list[_Slot]]:
    """The slots of each layer, those of lines that pass through included, neighbours near each other."""
    rows: list[list[_Slot]] = [[(step.name, "") for step in layer] for layer in ranked]
    above: dict[_Slot, list[_Slot]] = {}
    for start, end in edges:
        before: _Slot = (start, "")
        for between in range(level[start] + 1, level[end]):
            rows[between].append((start, end))
            above.setdefault((start, end), []).append(before)
            before = (start, end)
        above.setdefault((end, ""), []).append(before)
    for _ in range(_ROUNDS):
        for number in range(1, len(rows)):
            place = {slot: index for index, slot in enumerate(rows[number - 1])}
            middles = {
                slot: _middle([place[one] for one in above[slot] if one in place]) for slot in rows[number]
            }
            rows[number].sort(key=middles.__getitem__)
    return rows


def _middle(places: Sequence[int]) -> float:
    return sum(places) / len(places) if places else 0


@dataclass(frozen=True, slots=True)
class _Grid:
    """Boxes by step, where passing lines cross each layer, where each layer ends, and the width of all."""

    boxes: dict[str, Box]
    passed: dict[tuple[str, str, int], float]
    bottoms: list[float]
    width: float


def _placed(rows: Sequence[Sequence[_Slot]], labels: Mapping[str, tuple[str, ...]]) -> _Grid:
    widths = [[_width(slot, labels) for slot in row] for row in rows]
    whole = max(sum(row) + _GAP * (len(row) - 1) for row in widths)
    grid = _Grid({}, {}, [], whole + 2 * _MARGIN)
    y: float = _MARGIN
    for number, (row, sizes) in enumerate(zip(rows, widths, strict=True)):
        x = _MARGIN + (whole - sum(sizes) - _GAP * (len(row) - 1)) / 2
        for (name, end), width in zip(row, sizes, strict=True):
            if end:
                grid.passed[name, end, number] = x + width / 2
            else:
                grid.boxes[name] = Box(x, y, width, len(labels[name]) * LINE + _PADDING, labels[name])
            x += width + _GAP
        grid.bottoms.append(y + max(len(labels[name]) for name, end in row if not end) * LINE + _PADDING)
        y = grid.bottoms[-1] + _DROP
    return grid


def _width(slot: _Slot, labels: Mapping[str, tuple[str, ...]]) -> float:
    if slot[1]:
        return 8
    return max(len(line) for line in labels[slot[0]]) * _SIGN + 2 * _PADDING


def _downwards(edge: tuple[str, str], grid: _Grid, level: Mapping[str, int]) -> Points:
    """A line from one box to another below it, between the boxes of the layers that it passes."""
    start, end = (grid.boxes[name] for name in edge)
    points = [(start.x + start.width / 2, start.y + start.height)]
    for number in range(level[edge[0]] + 1, level[edge[1]]):
        x = grid.passed[*edge, number]
        points += [(x, grid.bottoms[number - 1] + _DROP - _TURN), (x, grid.bottoms[number] + _TURN)]
    return (*points, (end.x + end.width / 2, end.y))


def _around(edge: tuple[str, str], grid: _Grid, level: Mapping[str, int], lane: int) -> Points:
    """A line below the layer of one box, along the right of everything, to the top of the other box."""
    start, end = (grid.boxes[name] for name in edge)
    below = grid.bottoms[level[edge[0]]] + _TURN
    above = grid.bottoms[level[edge[1]] - 1] + _DROP - _TURN
    right = grid.width + _LANE * lane
    leaves, enters = start.x + start.width * 0.75, end.x + end.width * 0.75
    return (
        (leaves, start.y + start.height),
        (leaves, below),
        (right, below),
        (right, above),
        (enters, above),
        (enters, end.y),
    )
