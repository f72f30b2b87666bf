"""A workflow as an SVG image that stands for itself: no fonts, scripts or style sheets from elsewhere."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from hopward.model import Step
from hopward.workflows.layout import LINE, Box, arranged

_COLOURS = """\
.paper { fill: %s; }
.box { fill: %s; stroke: %s; }
.line { stroke: %s; }
.tip { fill: %s; }
text { fill: %s; }
"""

# Colours are written out for both, because not every viewer knows variables of CSS.
_STYLE = f"""
svg {{ font: 13px sans-serif; }}
text {{ text-anchor: middle; }}
.name {{ font-weight: bold; }}
.line {{ fill: none; stroke-width: 1.5; marker-end: url(#tip); }}
.rules-out {{ stroke-dasharray: 4 4; }}
{_COLOURS % ("#ffffff", "#f6f8fa", "#57606a", "#57606a", "#57606a", "#1f2328")}\
@media (prefers-color-scheme: dark) {{
{_COLOURS % ("#0d1117", "#161b22", "#8b949e", "#8b949e", "#8b949e", "#e6edf3")}}}
"""


def svg(title: Sequence[str], steps: Sequence[Step]) -> str:
    """The image, `title` line by line on top, readable on light and on dark screens."""
    return "\n".join(_elements(title, steps)) + "\n"


def _elements(title: Sequence[str], steps: Sequence[Step]) -> Iterator[str]:
    drawing = arranged(title, steps)
    width, height = round(drawing.width), round(drawing.height)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    yield f"<title>{escape(title[0])}</title>"
    yield f"<style>{_STYLE}</style>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="tip" d="M0,0 L8,4 L0,8 z"/></marker></defs>'
    )
    yield f'<rect class="paper" width="{width}" height="{height}"/>'
    for points in drawing.lines:
        yield f'<polyline class="line" points="{_points(points)}"/>'
    for points in drawing.dotted:
        yield f'<polyline class="line rules-out" points="{_points(points)}"/>'
    for number, box in enumerate(drawing.boxes):
        yield from _box(box, round_=number == 0)
    yield "</svg>"


def _box(box: Box, *, round_: bool) -> Iterator[str]:
    corner = 16 if round_ else 4
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    yield f'<rect class="box" rx="{corner}" {place}/>'
    x = box.x + box.width / 2
    for number, line in enumerate(box.label):
        kind = ' class="name"' if number == 0 else ""
        y = box.y + LINE * (number + 1) + 2
        yield f'<text{kind} x="{x:.1f}" y="{y:.1f}">{escape(line)}</text>'


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
