"""Projects and processes for the end-to-end tests; whatever a test starts has ended when the test has."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from .project import Project, recorded
from .wire import Wire

Connect = Callable[..., Wire]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that guards the recorder over stdio."""
    return recorded(tmp_path)


@pytest.fixture
def connect(project: Project) -> Iterator[Connect]:
    """Starts `hopward mcp run` in the project, as often as asked."""
    with ExitStack() as started:

        def connect(*, greet: bool = True, **how: Any) -> Wire:
            wire = Wire(project, **how)
            started.callback(wire.end)
            if greet:
                wire.greet()
            return wire

        yield connect
