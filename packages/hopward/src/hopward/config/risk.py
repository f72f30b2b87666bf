"""What must hold in `[risk]` beyond types."""

from collections.abc import Iterator

from hopward.config.problem import KeyPath, Problem, Table, table, text
from hopward.policy import nearest
from hopward.thresholds import RiskSettings

_LONGEST = 86_400
_MOST_POINTS = 1_000_000
_PERCENT = 100
_LEVELS = ("elevated", "high", "critical")
_PERCENTAGES = (("thresholds", "drift"), ("thresholds", "hour"))
_SHORTEST = 6
"""A window is counted in six parts."""


def risk_problems(document: Table) -> Iterator[Problem]:
    """Every rule that `[risk]` breaks."""
    section = table(document.get("risk"))
    yield from _within(("risk",), section, dict.fromkeys(_LEVELS, (1, _MOST_POINTS)))
    histories = {"history_calls": (1, _MOST_POINTS), "history_days": (1, 31), "usual_percent": (1, _PERCENT)}
    yield from _within(("risk",), section, histories)
    limits = {"thresholds": (1, _MOST_POINTS), "windows": (_SHORTEST, _LONGEST), "weights": (0, _MOST_POINTS)}
    for name, limit in limits.items():
        inner = table(section.get(name))
        within = {key: (1, _PERCENT) if (name, key) in _PERCENTAGES else limit for key in inner}
        yield from _within(("risk", name), inner, within)
    yield from _ordered(section)
    yield from _asking(section, table(table(document.get("approvals")).get("groups")))


def _within(path: KeyPath, section: Table, limits: dict[str, tuple[int, int]]) -> Iterator[Problem]:
    for key, (least, most) in limits.items():
        value = section.get(key, least)
        if isinstance(value, int) and not least <= value <= most:
            yield Problem((*path, key), f"must be {least} to {most}")


def _ordered(section: Table) -> Iterator[Problem]:
    points = [section.get(level, getattr(RiskSettings(), level)) for level in _LEVELS]
    for number in (1, 2):
        lower, higher = points[number - 1], points[number]
        if isinstance(lower, int) and isinstance(higher, int) and higher <= lower:
            told = f"must be more than {_LEVELS[number - 1]}, which is {lower}"
            yield Problem(("risk", _LEVELS[number]), told)


def _asking(section: Table, groups: Table) -> Iterator[Problem]:
    asking = "step-up" in [text(value) for value in table(section.get("actions")).values()]
    group = text(section.get("approvers"))
    if asking and "approvers" not in section:
        yield Problem(("risk", "approvers"), 'missing; "step-up" needs the group that may approve')
    if "approvers" in section and not asking:
        yield Problem(("risk", "approvers"), 'has no effect without an action "step-up"; leave it out')
    if asking and group.strip() and group not in groups:
        told = f"there is no group {group!r} in [approvals.groups]{nearest(group, groups)}"
        yield Problem(("risk", "approvers"), told)
