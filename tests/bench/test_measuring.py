"""`make bench`: what it measures is checked, and what it publishes is what it measured. Nothing is timed."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from bench.calls import Lane, Processes, run_round
from bench.errors import BenchError
from bench.gateways import installed
from bench.plan import QUICK
from bench.ratios import Question, answer
from bench.rawclient import check_echo
from bench.report import BEGIN, END, embed, markdown
from bench.results import Entry, Measure, load
from bench.run import GROUPS, PAGE, RESULTS, ROOT
from bench.stats import paired_ratio, percentile

CALL_METRICS = {
    "p50_us",
    "p99_us",
    "proxy_cpu_us",
    "server_cpu_us",
    "cpu_us",
    "cpu_32_us",
    "per_second_1",
    "per_second_32",
    "proxy_rss_kib",
}
WAYS = {"direct", "hopward", "hopward-power", "sdk-passthrough", "fastmcp", "fastmcp-reused"}
TRANSPORTS = ("stdio sdk", "stdio raw", "http sdk", "http raw")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run with a handful of calls, written somewhere else."""
    folder = tmp_path_factory.mktemp("bench")
    out = folder / "results.json"
    work = os.path.relpath(folder, ROOT)  # the servers under test run in other folders than we do
    command = [sys.executable, "-m", "bench", "--quick", "--work", work, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def entry(name: str, *rounds: float) -> Entry:
    return Entry(group="calls", name=name, metrics={"p50_us": Measure.of(list(rounds))})


def test_a_quick_run_measures_every_way_with_every_client(quick: Path) -> None:
    entries = load(quick).entries
    for transport in TRANSPORTS:
        found = {entry.name: set(entry.metrics) for entry in entries if entry.group == transport}
        assert found == dict.fromkeys(WAYS, CALL_METRICS)


def test_a_quick_run_measures_the_parts_alone(quick: Path) -> None:
    counted = {entry.group: 0 for entry in load(quick).entries}
    alone = {"authorize", "facts", "steps", "programs", "chains", "exchange", "log", "start-up", "isolation"}
    assert set(counted) == {*TRANSPORTS, *alone, "gateway sdk", "gateway raw", "soak stdio", "soak http"}


def test_a_quick_run_measures_the_proxies_that_are_installed(quick: Path) -> None:
    for client in ("sdk", "raw"):
        found = {entry.name for entry in load(quick).entries if entry.group == f"gateway {client}"}
        assert found == {"hopward", *installed()}


def test_results_say_where_when_and_with_what_they_were_measured(quick: Path) -> None:
    results = load(quick)
    assert results.quick
    assert results.date.endswith("Z")
    assert results.commit
    assert results.machine.cores >= 1
    assert {"python", "sqlite", "hopward", "mcp", "fastmcp", "cedarpy", "cryptography"} <= set(
        results.versions
    )


def test_every_ratio_of_the_full_run_is_also_answered_by_a_quick_one(quick: Path) -> None:
    ratios = load(quick).ratios
    assert len(ratios) > 20
    assert all(ratio.lowest <= ratio.value <= ratio.highest for ratio in ratios)


def test_a_quick_run_judges_no_target(quick: Path) -> None:
    assert {ratio.met for ratio in load(quick).ratios} == {None}


def test_the_published_page_is_what_the_published_results_generate() -> None:
    page = PAGE.read_text()
    assert embed(page, markdown(load(RESULTS))) == page


def test_the_published_results_are_of_a_whole_run() -> None:
    results = load(RESULTS)
    assert not results.quick
    assert set(results.groups) == set(GROUPS)


def test_results_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"date": "2026-11-25T00:00:00Z", "surprise": 1}')
    with pytest.raises(msgspec.ValidationError):
        load(path)


def test_a_page_without_markers_is_not_written() -> None:
    with pytest.raises(BenchError, match="markers"):
        embed(f"{END} {BEGIN}", "table")


@pytest.mark.parametrize(
    "answer_",
    [
        {"result": {"isError": True, "content": [{"type": "text", "text": "x"}]}},
        {"result": {"content": [{"type": "text", "text": "y"}]}},
        {"result": {"content": []}},
        {"error": {"code": -32000, "message": "refused"}},
    ],
)
def test_an_answer_that_is_no_echo_ends_the_run(answer_: dict[str, object]) -> None:
    with pytest.raises(BenchError, match="not echoed"):
        check_echo(answer_, "x")


class _BreaksAt:
    """A session whose call number `n` goes wrong."""

    def __init__(self, n: int) -> None:
        self._left = n

    async def echo(self, text: str) -> None:
        self._left -= 1
        if self._left == 0:
            raise BenchError("a measured call was not echoed")

    async def close(self) -> None:
        return None


@pytest.mark.parametrize("call", [1, 3, 8])
async def test_one_wrong_call_ends_the_round_whether_alone_or_among_many(call: int) -> None:
    lane = Lane("stdio raw", "direct", [_BreaksAt(call)], Processes((), ()))
    with pytest.raises(BenchError, match="not echoed"):
        await asyncio.wait_for(run_round([lane], QUICK, 0, lambda _: None), 30)


def test_a_ratio_compares_within_a_round_so_a_machine_that_drifts_cancels_out() -> None:
    asked = Question(
        "r", "ours over theirs", ("calls", "ours"), ("calls", "theirs"), "p50_us", "at most", 0.6
    )
    (ratio,) = answer([asked], [entry("ours", 10, 100, 1_000), entry("theirs", 20, 200, 2_000)])
    assert (ratio.value, ratio.lowest, ratio.highest, ratio.met) == (0.5, 0.5, 0.5, True)


def test_rounds_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_ratio([1.0, 2.0], [1.0])


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([4, 1, 3, 2], 0.5) == 2
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile([7], 0.99) == 7
