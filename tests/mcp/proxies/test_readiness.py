"""Probes: whether the process is alive, and whether a call could be permitted now."""

from pathlib import Path

import pytest

from .fronting import Fronted


async def test_ready_is_told_without_a_token(fronted: Fronted) -> None:
    answered = await fronted.send("GET", "/readyz", {})
    assert (answered.status, answered.message) == (200, {"status": "ready"})
    assert (await fronted.send("POST", "/readyz", {})).status == 405
    assert (await fronted.send("GET", "/readyz", {"Host": "evil.example"})).status == 403


@pytest.mark.parametrize(
    ("gone", "lacking"), [("decisions.db", ["log"]), ("keys/authority.json", ["keys"])], ids=["log", "keys"]
)
async def test_what_is_missing_is_told_by_its_name_only(
    fronted: Fronted, tmp_path: Path, gone: str, lacking: list[str]
) -> None:
    (tmp_path / ".hopward" / gone).rename(tmp_path / "aside")
    answered = await fronted.send("GET", "/readyz", {})
    assert (answered.status, answered.message) == (503, {"status": "not_ready", "lacking": lacking})
    assert (await fronted.send("GET", "/healthz", {})).status == 200
    (tmp_path / "aside").rename(tmp_path / ".hopward" / gone)


async def test_who_is_being_stopped_is_not_ready_and_serves_nobody(fronted: Fronted) -> None:
    fronted.app.draining = True
    assert (await fronted.send("GET", "/readyz", {})).message["lacking"] == ["draining"]
    answered = await fronted.call(fronted.token(), "echo")
    assert (answered.status, answered.headers["Retry-After"]) == (503, "1")
    assert fronted.servers["desk"].received == []


async def test_asking_leaves_no_row_in_the_log_and_is_answered_from_memory_for_a_while(
    fronted: Fronted,
) -> None:
    head = fronted.guard.ledger.head()
    assert (await fronted.send("GET", "/readyz", {})).status == 200
    assert fronted.guard.ledger.head() == head
    log = fronted.guard.settings.log_file
    aside = log.rename(log.with_name("aside"))
    assert (await fronted.send("GET", "/readyz", {})).status == 200
    aside.rename(log)


async def test_while_everything_is_stopped_the_proxy_is_not_ready_and_alive(fronted: Fronted) -> None:
    fronted.guard.stop_all(by="carol", why="an incident")
    answered = await fronted.send("GET", "/readyz", {})
    assert (answered.status, answered.message) == (503, {"status": "not_ready", "lacking": ["stopped"]})
    assert (await fronted.send("GET", "/healthz", {})).status == 200
    assert "Everything is stopped" not in answered.body.decode()
