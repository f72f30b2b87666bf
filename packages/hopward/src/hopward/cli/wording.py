"""Values in words for people."""

from collections.abc import Iterable, Iterator

from hopward.clock import Instant, iso
from hopward.constraint import describe
from hopward.model import Capability


def moment(instant: Instant) -> str:
    """An instant to the second, UTC."""
    return short(iso(instant))


def short(text: str) -> str:
    """The time of a log row, cut to the second."""
    return text[:19].replace("T", " ") + "Z"


def capability_lines(capabilities: Iterable[Capability]) -> Iterator[str]:
    """One line per capability."""
    for granted in capabilities:
        parts = [
            "/".join(granted.actions),
            "with " + ", ".join(granted.tools),
            f"up to {granted.sensitivity}",
            "at " + ", ".join(granted.destinations),
        ]
        for argument, conditions in granted.constraints.items():
            parts.append(f"{argument} " + " and ".join(describe(condition) for condition in conditions))
        if granted.closed:
            parts.append("no other arguments")
        yield "; ".join(parts)
