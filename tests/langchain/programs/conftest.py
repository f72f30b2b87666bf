"""A till per test, and LangChain's process-wide hooks as they were before."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.tracers import context

from .till import Till


@pytest.fixture(autouse=True)
def hooks() -> Iterator[None]:
    """What `install` does to the process lasts as long as the test: there is no way back in the product."""
    kept = list(context._configure_hooks)
    yield
    context._configure_hooks[:] = kept


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    made = Till(tmp_path)
    yield made
    made.guard.close()
