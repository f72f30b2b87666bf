"""Which ratios are published, in words, and the targets they are held against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.results import Entry, Ratio
from bench.stats import paired_ratio

Key = tuple[str, str]
"""Group and name of an entry."""

Sense = Literal["at most", "at least", ""]


@dataclass(frozen=True, slots=True)
class Question:
    """One ratio: a metric of `ours` over the same metric of `theirs` (or `their_metric`)."""

    name: str
    sentence: str
    ours: Key
    theirs: Key
    metric: str
    sense: Sense = ""
    target: float | None = None
    their_metric: str = ""


_GUARDED = "hopward"


def _call(
    transport: str, metric: str, other: str, sentence: str, sense: Sense = "", target: float | None = None
) -> list[Question]:
    """The same ratio for the SDK client, for which targets are set, and for the raw client."""
    return [
        Question(
            name=f"{transport} {client} {metric} / {other}",
            sentence=f"{sentence} ({'mcp SDK' if client == 'sdk' else 'raw'} client)",
            ours=(f"{transport} {client}", _GUARDED),
            theirs=(f"{transport} {client}", other),
            metric=metric,
            sense=sense if client == "sdk" else "",
            target=target if client == "sdk" else None,
        )
        for client in ("sdk", "raw")
    ]


QUESTIONS: tuple[Question, ...] = (
    *_call(
        "stdio", "p50_us", "fastmcp", "stdio: guarded p50 over FastMCP's unguarded proxy", "at most", 0.5
    ),
    *_call(
        "stdio", "cpu_us", "fastmcp", "stdio: guarded CPU (proxy and server) over FastMCP's", "at most", 0.45
    ),
    *_call(
        "stdio", "per_second_32", "fastmcp", "stdio: guarded calls/s, 32 in flight, over FastMCP's",
        "at least", 2.5,
    ),
    *_call("stdio", "p50_us", "direct", "stdio: guarded p50 over the direct call", "at most", 1.5),
    *_call("stdio", "proxy_cpu_us", "fastmcp", "stdio: CPU of our proxy process alone over FastMCP's"),
    *_call(
        "http", "p50_us", "fastmcp-reused", "HTTP: guarded p50 over FastMCP's proxy with a reused client",
        "at most", 0.4,
    ),
    *_call(
        "http", "per_second_32", "fastmcp-reused",
        "HTTP: guarded calls/s from 32 clients over FastMCP's with a reused client", "at least", 3.5,
    ),
    *_call(
        "http", "per_second_32", "fastmcp",
        "HTTP: guarded calls/s from 32 clients over FastMCP's default proxy", "at least", 25.0,
    ),
    *_call("http", "p50_us", "direct", "HTTP: guarded p50 over the direct call", "at most", 1.25),
    *_call(
        "http", "cpu_us", "fastmcp-reused",
        "HTTP: guarded CPU (proxy and server) over FastMCP's with a reused client",
    ),
    *_call(
        "http", "proxy_cpu_us", "fastmcp-reused",
        "HTTP: CPU of our proxy process alone over FastMCP's with a reused client",
    ),
)  # fmt: skip


def answer(questions: Sequence[Question], entries: Sequence[Entry]) -> tuple[Ratio, ...]:
    """The ratios whose both sides were measured, each paired round by round."""
    by_key: Mapping[Key, Entry] = {(entry.group, entry.name): entry for entry in entries}
    found: list[Ratio] = []
    for question in questions:
        ours, theirs = by_key.get(question.ours), by_key.get(question.theirs)
        if ours is None or theirs is None:
            continue
        value, lowest, highest = paired_ratio(
            ours.metrics[question.metric].rounds,
            theirs.metrics[question.their_metric or question.metric].rounds,
        )
        found.append(
            Ratio(
                name=question.name,
                sentence=question.sentence,
                value=round(value, 3),
                lowest=round(lowest, 3),
                highest=round(highest, 3),
                sense=question.sense,
                target=question.target,
            )
        )
    return tuple(found)
