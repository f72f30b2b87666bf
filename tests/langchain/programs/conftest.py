"""A till per test, and LangChain's process-wide hooks as they were before."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.tracers import context

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
