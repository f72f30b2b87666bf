"""The same through `hopward mcp serve` as a process, and what only several processes show."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .approvals import ABOUT, EVIL
from .attacks import GROUPS
from .definitions import INJECTED, changed, send
from .handing_on import HANDING_ON
from .playing import passed, play, stopped
from .project import Without, settled
from .scenario import Scenario
from .stage import Office, Proxy, Stage, free_port, over_stdio, served, staged, unmoved
from .steps import Redefines

ALONE = [one for group in GROUPS if group is not HANDING_ON for one in group.scenarios]
TOGETHER = [one for one in ALONE if not (one.alone or one.project)]
ON_STDIO = {
    "sends the handbook to the stranger whose mail asks for it": "mail",
    "pays small amounts, each below what a person is asked about": "bank",
    "reaches into the local network": "web",
    "saves outside of the folder": "docs",
    "calls a tool that nobody has classified": "mail",
}
"""Attacks at one server, which is what a session over stdio is about."""

together = pytest.mark.parametrize("scenario", TOGETHER, ids=lambda one: one.name.replace(" ", "-"))


@dataclass(frozen=True)
class Running:
    """A project whose proxy is a process; `second` is another one, with the same log."""

    folder: Path
    office: str
    first: Proxy
    second: Proxy


@pytest.fixture(scope="module")
def running(office: Office) -> Iterator[Running]:
    """Two proxies of one project, behind one URL as far as their tokens know."""
    folder, url = office.run()
    # Together, the attacks of so many tasks are out of the ordinary.
    config = settled(folder, url, free_port(), (Without("unusual-errands"),))
    other = folder / "second.toml"
    text = config.read_text("utf-8")
    listen = text.split("listen = ", 1)[1].splitlines()[0]
    other.write_text(text.replace(f"listen = {listen}", f'listen = "127.0.0.1:{free_port()}"'), "utf-8")
    with served(config) as first, served(other) as second:
        yield Running(folder, url, Proxy(first, unmoved), Proxy(second, unmoved))


@together
async def test_an_attack_is_stopped_by_a_proxy_that_has_seen_all_others(
    running: Running, scenario: Scenario
) -> None:
    async with staged(running.folder, running.office, running.first, **scenario.about) as stage:
        await play(stage, scenario.steps)
        stopped(stage, scenario)


@together
async def test_its_benign_twin_still_passes_there(running: Running, scenario: Scenario) -> None:
    async with staged(running.folder, running.office, running.first, **scenario.about) as stage:
        await play(stage, scenario.twin)
        passed(stage, scenario)


@pytest.mark.parametrize("name", ON_STDIO, ids=lambda name: name.replace(" ", "-"))
async def test_attack_and_twin_over_stdio(office: Office, name: str) -> None:
    (scenario,) = [one for one in ALONE if one.name == name]
    folder, url = office.run()
    settled(folder, url, free_port(), scenario.project)
    async with over_stdio(folder, url, ON_STDIO[name], **scenario.about) as stage:
        await play(stage, scenario.steps)
        stopped(stage, scenario)
    async with over_stdio(folder, url, ON_STDIO[name], **scenario.about) as stage:
        await play(stage, scenario.twin)
        passed(stage, scenario)


async def test_a_definition_that_changes_between_two_sessions_is_refused_in_the_second(
    office: Office,
) -> None:
    folder, url = office.run()
    settled(folder, url, free_port())
    async with over_stdio(folder, url, "mail") as stage:
        assert "send" in await stage.tools("mail")
        assert await send().take(stage) == ""
    await Redefines("mail", changed("send", description=INJECTED)).take(stage)
    async with over_stdio(folder, url, "mail") as stage:
        assert "send" not in await stage.tools("mail")
        assert await send().take(stage) == "tool_changed"
        assert stage.done() == ()
        assert INJECTED not in "".join(stage.seen)


async def test_of_two_processes_one_uses_an_approval_up(running: Running) -> None:
    async with staged(running.folder, running.office, running.first, **ABOUT) as first:
        assert await first.tools("bank")
        await first.call("docs/letter", {"name": "invoice"})
        async with staged(running.folder, running.office, running.second, **ABOUT) as second:
            second.task = first.task
            assert await second.tools("bank")
            for amount in range(10, 18):
                await _both(first, second, amount)
        assert len(first.done()) == 1 + 8
        assert first.guard.ledger.verify().ok


async def _both(first: Stage, second: Stage, amount: int) -> None:
    """An approved payment is asked for by two processes at once: one has it, the other asks again."""
    arguments = {"account": EVIL, "amount": amount}
    asked = await first.call("bank/pay", arguments)
    first.guard.approvals.approve(asked.approval, by="olga@firm.example")
    answers = await asyncio.gather(*(one.call("bank/pay", arguments) for one in (first, second)))
    assert sorted(answer.reason for answer in answers) == ["", "approval_required"]
    (late,) = [answer.approval for answer in answers if answer.approval]
    assert late != asked.approval
    first.guard.approvals.reject(late, by="olga@firm.example", why="once is enough")
