"""The command line of `make bench`: measure, publish, or only show what was measured last."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import (
    appending,
    authorizing,
    exchanging,
    facts,
    gateways,
    isolating,
    programs,
    proxying,
    soaking,
    starting,
)
from bench.context import Context
from bench.errors import BenchError
from bench.machine import commit, describe, load, versions
from bench.plan import FULL, QUICK
from bench.ratios import answer, questions
from bench.rawclient import LEGACY, MODERN
from bench.report import console_report, publish
from bench.results import Entry, Results, save
from bench.results import load as load_results
from hopward import HopwardError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results.json"
PAGE = ROOT / "docs" / "performance.md"

GROUPS: dict[str, Callable[[Context], list[Entry]]] = {
    "calls": proxying.measure,
    "gateways": gateways.measure,
    "authorize": authorizing.measure,
    "facts": facts.measure,
    "programs": programs.measure,
    "exchange": exchanging.measure,
    "log": appending.measure,
    "start-up": starting.measure,
    "isolation": isolating.measure,
    "soak": soaking.measure,
}


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; 1 and a message if a measurement failed."""
    options = _options(arguments)
    console = Console()
    if options.show:
        results = load_results(options.out or RESULTS)
        console_report(results, console)
        if options.out is None:
            publish(results, PAGE)
        return 0
    whole = not options.quick and set(options.only) == set(GROUPS)
    out = options.out or (RESULTS if whole else options.work / "results.json")
    try:
        results = _measure(options, console)
    except (BenchError, HopwardError) as error:
        console.print(f"bench: {error}", markup=False, highlight=False)
        return 1
    save(results, out)
    console_report(results, console)
    console.print(f"Written: {out}", markup=False, highlight=False)
    if whole and options.out is None:
        publish(results, PAGE)
        console.print(f"Written: {PAGE}", markup=False, highlight=False)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a handful of calls: does everything work?")
    parser.add_argument(
        "--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="some groups; nothing is published"
    )
    parser.add_argument("--rounds", type=int, help="another number of rounds than the full run has")
    parser.add_argument("--soak", type=int, help="another number of calls in the soak than the full run has")
    parser.add_argument(
        "--era", choices=[MODERN, LEGACY], default=MODERN, help="protocol version of the calls"
    )
    parser.add_argument("--out", type=Path, help="where to write results.json, without publishing")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".cache" / "bench", help="scratch and cached logs"
    )
    parser.add_argument(
        "--show", action="store_true", help="measure nothing: show results.json, redo the page"
    )
    options = parser.parse_args(arguments)
    # The servers under test run in folders of their own, where a relative path would mean another place.
    options.work = options.work.resolve()
    return options


def _measure(options: argparse.Namespace, console: Console) -> Results:
    started, load_before = time.monotonic(), load()
    plan = QUICK if options.quick else FULL
    plan = replace(plan, rounds=options.rounds or plan.rounds, soak=options.soak or plan.soak)
    options.work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=options.work))
    entries: list[Entry] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
            for name in options.only:
                task = progress.add_task(name, total=0)
                context = Context(
                    folder=folder,
                    cache=options.work,
                    plan=plan,
                    era=options.era,
                    expect=lambda steps, task=task: progress.update(task, total=steps),
                    step=lambda text, task=task: progress.update(task, advance=1, description=text),
                )
                entries += GROUPS[name](context)
        return Results(
            date=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            commit=commit(ROOT),
            quick=options.quick,
            era=options.era,
            groups=tuple(options.only),
            rounds=plan.rounds,
            seconds=round(time.monotonic() - started, 1),
            machine=describe(folder, load_before),
            versions=versions(),
            entries=tuple(entries),
            ratios=answer(questions(plan), entries, judged=not options.quick),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
