"""A configuration that is put in force while Hopward serves: where a part of it fails, nothing changes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hopward import HopwardError
from hopward_mcp.change import Change, checked
from hopward_mcp.serving import Serving

from .installation import http_server, install

URL = "http://127.0.0.1:9/mcp"


class Served:
    """What is served, and from which file."""

    def __init__(self, config: Path, first: Change, serving: Serving) -> None:
        self.config = config
        self.first = first
        self.serving = serving
        self.endpoint = serving.endpoints[0]

    def changed(self) -> Change:
        """Another server is added."""
        text = self.config.read_text() + http_server(URL, "other")
        return checked(self.config, text, self.serving.settings)

    def is_as_it_was(self) -> bool:
        gate, guard = self.endpoint.gate, self.first.guard
        same = gate.guard is guard and gate.turn.guard is guard
        return same and self.serving.endpoints == [self.endpoint]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    config = install(tmp_path, http_server(URL))
    first = checked(config, config.read_text())
    async with Serving(first) as serving:
        yield Served(config, first, serving)


def is_closed(change: Change) -> bool:
    try:
        change.guard.ledger.agent("assistant")
    except HopwardError:
        return True
    return False


async def test_an_endpoint_that_cannot_be_opened_changes_nothing_and_closes_the_others(
    served: Served,
) -> None:
    change = served.changed()
    change = replace(change, ways=[*change.ways, replace(change.ways[-1], server="nowhere")])
    with pytest.raises(KeyError):
        await served.serving.adopt(change)
    assert served.is_as_it_was()
    assert is_closed(change)
    assert not is_closed(served.first)


async def test_a_log_that_cannot_be_written_changes_nothing(served: Served) -> None:
    change = served.changed()
    change.guard.close()
    with pytest.raises(HopwardError):
        await served.serving.adopt(change)
    assert served.is_as_it_was()


async def test_after_a_failure_the_next_change_comes_into_force(served: Served) -> None:
    failed, change = served.changed(), served.changed()
    failed.guard.close()
    with pytest.raises(HopwardError):
        await served.serving.adopt(failed)
    await served.serving.adopt(change)
    assert [one.gate.server for one in served.serving.endpoints] == ["desk", "other"]
    assert all(one.gate.guard is change.guard for one in served.serving.endpoints)
