"""Results as tables: on the terminal, and between two markers in `docs/performance.md`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bench.errors import BenchError
from bench.results import Entry, Ratio, Results

BEGIN = "<!-- measured: begin (written by `make bench`, do not edit) -->"
END = "<!-- measured: end -->"

_TITLES = {
    "stdio sdk": "A tool call over stdio, mcp SDK client",
    "stdio raw": "A tool call over stdio, raw client",
    "http sdk": "A tool call over Streamable HTTP, mcp SDK client",
    "http raw": "A tool call over Streamable HTTP, raw client",
    "gateway sdk": "HTTP in front of a stdio server (2025-11-25), mcp SDK client",
    "gateway raw": "HTTP in front of a stdio server (2025-11-25), raw client",
    "authorize": "`authorize` alone, in process, verified chain",
    "steps": "The steps around it",
    "facts": "What policies can know of a call, looked at or not",
    "programs": "LangChain: a tool of the program, and an agent's step with it",
    "chains": "Chains of several agents",
    "exchange": "Token exchange alone",
    "log": "Log append alone: a decision row and its credential row, unless said otherwise",
    "start-up": "Start-up",
    "isolation": "A call to a good server, before and beside calls to a bad one, same `hopward mcp serve`",
    "soak stdio": "Memory of the proxy in a long run over stdio, 32 calls in flight",
    "soak http": "Memory of the proxy in a long run over Streamable HTTP, 32 clients",
}


@dataclass(frozen=True, slots=True)
class Column:
    """The heading of a metric on the page, and its short one on the terminal (empty: not shown there)."""

    text: str
    short: str


_COLUMNS = {
    "p50_us": Column("p50 µs", "p50 µs"),
    "p99_us": Column("p99 µs", "p99 µs"),
    "wall_us": Column("wall µs", "wall µs"),
    "proxy_cpu_us": Column("proxy CPU µs", "proxy CPU"),
    "server_cpu_us": Column("server CPU µs", "server CPU"),
    "cpu_us": Column("CPU µs", "CPU µs"),
    "per_second_1": Column("calls/s, 1 client", ""),
    "per_second_32": Column("calls/s, 32 clients", "per s at 32"),
    "cpu_32_us": Column("CPU µs at 32", "CPU at 32"),
    "per_second": Column("per second", "per second"),
    "proxy_rss_kib": Column("proxy RSS MiB", "RSS MiB"),
}

_RULED = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A line under the headings and nothing else: fits 80 columns, needs no colour."""


def console_report(results: Results, console: Console) -> None:
    """Everything as plain tables; nothing depends on colour."""
    for group, entries in _groups(results.entries):
        table = Table(title=_TITLES.get(group, group), title_justify="left", box=_RULED, title_style="")
        table.show_edge, table.padding = False, (0, 1, 0, 0)
        metrics = [metric for metric in _metrics(entries) if _COLUMNS[metric].short]
        table.add_column("", no_wrap=True, min_width=max(len(entry.name) for entry in entries))
        for metric in metrics:
            table.add_column(_COLUMNS[metric].short, justify="right")
        for entry in entries:
            table.add_row(entry.name, *_cells(entry, metrics))
        console.print(table)
        console.print()
    for ratio in results.ratios:
        console.print(_said(ratio), markup=False, highlight=False)
    console.print()
    console.print(_provenance(results), markup=False)


def markdown(results: Results) -> str:
    """The generated part of `docs/performance.md`."""
    lines = [_provenance(results), "", "### Ratios", ""]
    lines += [_line("ratio", "lowest to highest round", "target", ""), "|---|---|---|---|"]
    ordered = sorted(results.ratios, key=lambda ratio: ratio.target is None)
    lines += [
        _line(f"{ratio.sentence}: **{_amount(ratio)}**", _spread(ratio), _target(ratio), _met(ratio))
        for ratio in ordered
    ]
    for group, entries in _groups(results.entries):
        metrics = _metrics(entries)
        lines += ["", f"### {_TITLES.get(group, group)}", ""]
        lines.append(_line("", *(_COLUMNS[metric].text for metric in metrics)))
        lines.append("|---|" + "---:|" * len(metrics))
        lines += [_line(entry.name, *_cells(entry, metrics)) for entry in entries]
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return "\n".join([*lines, "", f"Versions: {versions}.", ""])


def embed(page: str, generated: str) -> str:
    """The page with the part between the markers replaced; raises `BenchError` without markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError("docs/performance.md has lost its markers")
    return f"{before}{BEGIN}\n\n{generated}\n{END}{after}"


def publish(results: Results, page: Path) -> None:
    """Write the generated part into the page."""
    page.write_text(embed(page.read_text(), markdown(results)))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _groups(entries: Iterable[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    order = list(_TITLES)
    ordered = sorted(
        entries, key=lambda entry: order.index(entry.group) if entry.group in order else len(order)
    )
    for group, members in groupby(ordered, key=lambda entry: entry.group):
        yield group, list(members)


def _metrics(entries: list[Entry]) -> list[str]:
    return [metric for metric in _COLUMNS if any(metric in entry.metrics for entry in entries)]


def _cells(entry: Entry, metrics: list[str]) -> list[str]:
    return [
        _number(metric, entry.metrics[metric].median) if metric in entry.metrics else "" for metric in metrics
    ]


def _number(metric: str, value: float) -> str:
    if metric.endswith("_kib"):
        return f"{value / 1024:.0f}" if value else "-"
    if metric.endswith("cpu_us") and value == 0:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _said(ratio: Ratio) -> str:
    judged = "" if ratio.met is None else f"; target {_target(ratio)}: {_met(ratio)}"
    return f"{_amount(ratio):>7}  {ratio.sentence} ({_spread(ratio)}{judged})"


def _amount(ratio: Ratio) -> str:
    return f"{_factor(ratio.value)}{ratio.unit and ' ' + ratio.unit}"


def _factor(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _spread(ratio: Ratio) -> str:
    return f"{_factor(ratio.lowest)} to {_factor(ratio.highest)}"


def _target(ratio: Ratio) -> str:
    return "" if ratio.target is None else f"{ratio.sense} {ratio.target:g} {ratio.unit}".rstrip()


def _met(ratio: Ratio) -> str:
    return "" if ratio.met is None else "reached" if ratio.met else "missed"


def _provenance(results: Results) -> str:
    machine = results.machine
    kind = "a quick run that proves nothing about speed" if results.quick else f"{results.rounds} rounds"
    return (
        f"Measured {results.date} at commit {results.commit}, protocol {results.era}, {kind}, "
        f"in {results.seconds:.0f} s: {machine.cpu}, {machine.cores} cores, {machine.memory_mib} MiB, "
        f"{machine.system}, {machine.filesystem}; load average {machine.load_before} before, "
        f"{machine.load_after} after."
    )
