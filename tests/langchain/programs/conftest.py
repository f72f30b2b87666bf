"""A till or an office per test, and LangChain's process-wide hooks as they were before."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from langchain_core.tracers import context

from hopward.clock import SECOND, Clock, SystemClock

from . import notes
from . import office as offices
from .held import Held, hold
from .office import ASKED, Office
from .till import Till, install


@pytest.fixture(autouse=True)
def hooks() -> Iterator[None]:
    """What `install` does to the process lasts as long as the test: there is no way back in the product."""
    kept = list(context._configure_hooks)
    yield
    context._configure_hooks[:] = kept


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation in which nothing has happened; each test works in a copy."""
    folder = tmp_path_factory.mktemp("till")
    install(folder)
    return folder


@pytest.fixture
def till(installed: Path, tmp_path: Path) -> Iterator[Till]:
    shutil.copytree(installed, tmp_path, dirs_exist_ok=True)
    made = Till(tmp_path)
    yield made
    made.guard.close()


@pytest.fixture
def held(installed: Path, tmp_path: Path) -> Iterator[Held]:
    """A till whose policies have a person decide about large amounts."""
    shutil.copytree(installed, tmp_path, dirs_exist_ok=True)
    hold(tmp_path)
    made = Held(tmp_path)
    made.clock.advance(SECOND)  # type: ignore[attr-defined]
    made.guard.policies.current()
    yield made
    made.guard.close()


@pytest.fixture
def open_office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    """Offices with the given hops; one that other processes take part in needs the `SystemClock`."""
    opened: list[Office] = []

    def made(hops: str, clock: Clock | None = None) -> Office:
        folder = tmp_path / f"office{len(opened)}"
        folder.mkdir()
        offices.install(folder, hops)
        opened.append(Office(folder, clock))
        return opened[-1]

    yield made
    for office in opened:
        office.close()


@pytest.fixture
def office(open_office: Callable[[str], Office]) -> Office:
    """An office whose agents are asked by the tools `ask_payer` and `ask_researcher`."""
    return open_office(ASKED)


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """The file into which the notes server writes what it gets."""
    return tmp_path / "received.jsonl"


@pytest.fixture
def library(open_office: Callable[..., Office], received: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    """An office whose researcher may read notes behind the proxy; the boss and the payer may not."""
    monkeypatch.setattr(offices, "CONFIG", notes.configured())
    made = open_office(notes.server(notes.on_stdio(received)), SystemClock())
    made.hopward.install()
    return made
