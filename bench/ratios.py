"""Which ratios are published, in words, and the targets they are held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench import facts
from bench.plan import Plan
from bench.results import Entry, Ratio
from bench.soaking import after
from bench.stats import paired_ratio

Key = tuple[str, str]
"""Group and name of an entry."""

Sense = Literal["at most", "at least", ""]


@dataclass(frozen=True, slots=True)
class Question:
    """One ratio: a metric of `ours` over the same metric of `theirs`; without `theirs` the metric itself."""

    name: str
    sentence: str
    ours: Key
    theirs: Key | None
    metric: str
    sense: Sense = ""
    target: float | None = None


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


_CALLS: tuple[Question, ...] = (
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


def _floor(transport: str, metric: str, other: str, sentence: str) -> Question:
    """What the direct call makes of a ratio against another proxy: no proxy can do better than that."""
    group = f"{transport} sdk"
    return Question(
        name=f"{transport} sdk direct {metric} / {other}",
        sentence=f"{sentence} (mcp SDK client): what no proxy can do better than",
        ours=(group, "direct"),
        theirs=(group, other),
        metric=metric,
    )


_FLOORS = (
    _floor("stdio", "p50_us", "fastmcp", "stdio: the direct call's p50 over FastMCP's proxy"),
    _floor("stdio", "cpu_us", "fastmcp", "stdio: the direct call's CPU over FastMCP's proxy"),
    _floor("http", "p50_us", "fastmcp-reused", "HTTP: the direct call's p50 over FastMCP's, client reused"),
    _floor(
        "http", "per_second_32", "fastmcp-reused",
        "HTTP: direct calls/s from 32 clients over FastMCP's, client reused",
    ),
    _floor(
        "http", "per_second_32", "fastmcp",
        "HTTP: direct calls/s from 32 clients over FastMCP's default proxy",
    ),
)  # fmt: skip

_GATEWAYS = (
    *_call(
        "gateway", "p50_us", "npm-mcp-proxy",
        "HTTP in front of a stdio server: guarded p50 over npm `mcp-proxy`, unguarded", "at most", 0.95,
    ),
    *_call(
        "gateway", "cpu_us", "npm-mcp-proxy",
        "HTTP in front of a stdio server: guarded CPU (proxy and server) over npm `mcp-proxy`'s",
        "at most", 0.6,
    ),
    *(
        question
        for other in ("supergateway", "pypi-mcp-proxy")
        for metric, what in (("p50_us", "p50"), ("cpu_us", "CPU"))
        for question in _call(
            "gateway", metric, other, f"HTTP in front of a stdio server: guarded {what} over `{other}`'s"
        )
    ),
)  # fmt: skip


def questions(plan: Plan) -> tuple[Question, ...]:
    """Every ratio of a run; the names of some entries say how much was measured."""
    return (
        *_CALLS,
        *_FLOORS,
        *_GATEWAYS,
        *_authorize(plan),
        *_facts(plan),
        *_SMALL,
        *_soak(plan),
        *_ISOLATION,
    )


def _soak(plan: Plan) -> tuple[Question, ...]:
    """Memory at the end over memory after the first tenth, which is the warm-up."""
    return tuple(
        Question(
            f"soak {transport} rss, end / warm",
            f"{said}: memory of the proxy {after(plan.soak, 10)} over its memory {after(plan.soak, 1)}",
            (f"soak {transport}", after(plan.soak, 10)), (f"soak {transport}", after(plan.soak, 1)),
            "proxy_rss_kib", "at most", 1.05,
        )
        for transport, said in (("stdio", "stdio"), ("http", "HTTP"))
    )  # fmt: skip


def _authorize(plan: Plan) -> tuple[Question, ...]:
    def key(policies: int, rows: int) -> Key:
        return ("authorize", f"{policies:,} policies, {rows:,} rows")

    few = key(plan.few_policies, plan.few_rows)
    return (
        Question(
            "authorize cpu_us",
            f"authorize alone, process-durable, {few[1]}: CPU median",
            few, None, "cpu_us", "at most", 300.0,
        ),
        Question(
            "authorize cpu_us, many policies / few",
            f"authorize CPU with {plan.many_policies:,} policies over {plan.few_policies:,}",
            key(plan.many_policies, plan.few_rows), few, "cpu_us", "at most", 1.2,
        ),
        Question(
            "authorize cpu_us, many rows / few",
            f"authorize CPU with {plan.many_rows:,} log rows over {plan.few_rows:,}",
            key(plan.few_policies, plan.many_rows), few, "cpu_us", "at most", 1.2,
        ),
    )  # fmt: skip


def _facts(plan: Plan) -> tuple[Question, ...]:
    return (
        Question(
            "facts added cpu_us",
            "what labels, provenance, path, budgets, pins and behaviour add to `authorize`: CPU median",
            (facts.GROUP, facts.ADDED), None, "cpu_us", "at most", 250.0,
        ),
        Question(
            "facts cpu_us, long history / short",
            f"`authorize` CPU with all facts {facts.after(plan.history)[11:]} over one "
            f"{facts.after(facts.SHORT)[11:]}",
            (facts.GROUP, facts.after(plan.history)), (facts.GROUP, facts.after(facts.SHORT)), "cpu_us",
            "at most", 1.2,
        ),
    )  # fmt: skip


_SMALL = (
    Question(
        "tool.invoke added cpu_us",
        "what protecting adds to LangChain's `tool.invoke`, decision and outcome durable: CPU median",
        ("programs", "added to tool.invoke"), None, "cpu_us", "at most", 350.0,
    ),
    Question(
        "agent step p50_us, guarded / bare",
        "a `create_agent` step (scripted model, one tool), guarded over bare, p50",
        ("programs", "agent step, guarded"), ("programs", "agent step, bare"), "p50_us", "at most", 1.1,
    ),
    Question(
        "authorize cpu_us, 8 agents / 1",
        "authorize CPU of a chain of 8 agents over one of a single agent",
        ("chains", "authorize, 8 agents"), ("chains", "authorize, 1 agent"), "cpu_us", "at most", 8.0,
    ),
    Question(
        "links cpu_us, read before / never",
        "reading the signed links of 8 agents that were read before, over reading them anew, CPU",
        ("chains", "links of 8 agents, read before"), ("chains", "links of 8 agents, never read"), "cpu_us",
    ),
    Question(
        "start-up cpu_us / import mcp",
        "start-up CPU of `hopward mcp run` to its first response over `python -c 'import mcp'`",
        ("start-up", "hopward"), ("start-up", "import mcp"), "cpu_us", "at most", 0.2,
    ),
    Question(
        "exchange p50_us, in process / HTTP",
        "an exchange in process over one at an authority over HTTP, p50",
        ("exchange", "plan and mint, in process"), ("exchange", "authority over HTTP"), "p50_us",
    ),
    Question(
        "log cpu_us / sqlite-utils",
        "a chained, durable log row over the same row inserted with sqlite-utils, CPU",
        ("log", "one row, process, 1 thread"), ("log", "one row, sqlite-utils insert"), "cpu_us",
    ),
    Question(
        "log power per_second, 8 threads / 1",
        "power-durable decisions per second from 8 threads over 1 (group commit)",
        ("log", "power, 8 threads"), ("log", "power, 1 thread"), "per_second",
    ),
)  # fmt: skip


_NEIGHBOURS = {
    "slow": "that answers after two seconds",
    "dead": "that takes connections and reads nothing",
    "silent": "that never answers",
    "flooding": "that sends notifications without end",
}
_ISOLATION = tuple(
    Question(
        f"isolation {metric}, beside {name} / alone",
        f"HTTP: {metric.removesuffix('_us')} of calls to a good server beside calls to one {what}, over none",
        ("isolation", f"beside {name}"), ("isolation", f"before {name}"), metric,
        "at most" if metric == "p99_us" else "", 1.2 if metric == "p99_us" else None,
    )
    for name, what in _NEIGHBOURS.items()
    for metric in ("p99_us", "p50_us")
)  # fmt: skip


def answer(asked: Sequence[Question], entries: Sequence[Entry], *, judged: bool = True) -> tuple[Ratio, ...]:
    """The ratios whose both sides were measured, each paired round by round; `judged` against the targets."""
    by_key = {(entry.group, entry.name): entry for entry in entries}
    found: list[Ratio] = []
    for question in asked:
        ours = by_key.get(question.ours)
        theirs = by_key.get(question.theirs) if question.theirs else None
        if ours is None or (question.theirs and theirs is None):
            continue
        mine = ours.metrics[question.metric].rounds
        other = theirs.metrics[question.metric].rounds if theirs else [1.0] * len(mine)
        value, lowest, highest = paired_ratio(mine, other)
        found.append(
            Ratio(
                name=question.name,
                sentence=question.sentence,
                value=round(value, 3),
                lowest=round(lowest, 3),
                highest=round(highest, 3),
                unit="" if theirs else "µs",
                sense=question.sense if judged else "",
                target=question.target if judged else None,
            )
        )
    return tuple(found)
