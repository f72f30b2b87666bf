"""Each attack is stopped, its benign twin passes without a person, and without the defence it succeeds."""

from contextlib import nullcontext

import pytest

from .attacks import GROUPS
from .gaps import GAPS, Gap
from .playing import passed, play, stopped, succeeded
from .scenario import Scenario
from .stage import Office, proxied, staged

EVERY = [scenario for group in GROUPS for scenario in group.scenarios]
each = pytest.mark.parametrize("scenario", EVERY, ids=lambda one: one.name.replace(" ", "-"))


@each
async def test_an_attack_is_stopped_and_the_log_says_why(office: Office, scenario: Scenario) -> None:
    folder, url = office.run()
    async with (
        proxied(folder, url, scenario.project) as proxy,
        staged(folder, url, proxy, **scenario.about) as stage,
    ):
        await play(stage, scenario.steps)
        stopped(stage, scenario)


@each
async def test_its_benign_twin_passes_without_approval(office: Office, scenario: Scenario) -> None:
    folder, url = office.run()
    about = scenario.about if scenario.twin_about is None else scenario.twin_about
    async with proxied(folder, url, scenario.project) as proxy, staged(folder, url, proxy, **about) as stage:
        await play(stage, scenario.twin)
        passed(stage, scenario)


@each
async def test_without_its_defence_the_attack_succeeds(office: Office, scenario: Scenario) -> None:
    assert scenario.without or scenario.patched, "nothing says what stops it"
    folder, url = office.run()
    changes = (*scenario.project, *scenario.without)
    with scenario.patched() if scenario.patched else nullcontext():
        async with (
            proxied(folder, url, changes) as proxy,
            staged(folder, url, proxy, **scenario.about) as stage,
        ):
            await play(stage, scenario.steps, scenario.behind)
            if not scenario.behind:
                succeeded(stage, scenario)


@pytest.mark.parametrize("gap", GAPS, ids=lambda one: one.name.replace(" ", "-"))
async def test_what_the_page_says_is_not_stopped_goes_through(office: Office, gap: Gap) -> None:
    folder, url = office.run()
    async with proxied(folder, url) as proxy, staged(folder, url, proxy, **gap.about) as stage:
        await play(stage, gap.steps)
        assert stage.rows(kind="approval") == []
