"""Each attack is stopped, its benign twin passes without a person, and without the defence it succeeds."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace

import pytest

from .attacks import GROUPS
from .gaps import GAPS, Gap
from .playing import passed, play, stopped, succeeded
from .project import Change
from .scenario import Scenario
from .stage import Office, Stage, proxied, staged

EVERY = [scenario for group in GROUPS for scenario in group.scenarios]
each = pytest.mark.parametrize("scenario", EVERY, ids=lambda one: one.name.replace(" ", "-"))


@asynccontextmanager
async def played(office: Office, scenario: Scenario, changes: Iterable[Change]) -> AsyncIterator[Stage]:
    """A stage for a scenario, in a project of its own with these changes."""
    folder, url = office.run()
    async with proxied(folder, url, changes) as proxy:
        # What changes more than its task is done by another process than the proxy.
        proxy = replace(proxy, guard=None) if scenario.alone else proxy
        async with staged(folder, url, proxy, **scenario.about) as stage:
            yield stage


@each
async def test_an_attack_is_stopped_and_the_log_says_why(office: Office, scenario: Scenario) -> None:
    async with played(office, scenario, scenario.project) as stage:
        await play(stage, scenario.steps)
        stopped(stage, scenario)


@each
async def test_its_benign_twin_passes_without_approval(office: Office, scenario: Scenario) -> None:
    async with played(office, scenario, scenario.project) as stage:
        await play(stage, scenario.twin)
        passed(stage, scenario)


@each
async def test_without_its_defence_the_attack_succeeds(office: Office, scenario: Scenario) -> None:
    assert scenario.without or scenario.patched, "nothing says what stops it"
    changes = (*scenario.project, *scenario.without)
    with scenario.patched() if scenario.patched else nullcontext():
        async with played(office, scenario, changes) as stage:
            await play(stage, scenario.steps, scenario.behind)
            if not scenario.behind:
                succeeded(stage, scenario)


@pytest.mark.parametrize("gap", GAPS, ids=lambda one: one.name.replace(" ", "-"))
async def test_what_the_page_says_is_not_stopped_goes_through(office: Office, gap: Gap) -> None:
    folder, url = office.run()
    async with proxied(folder, url) as proxy, staged(folder, url, proxy, **gap.about) as stage:
        await play(stage, gap.steps)
        assert stage.rows(kind="approval") == []
