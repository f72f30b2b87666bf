"""The office, one for the whole session."""

from collections.abc import Iterator

import pytest

from .stage import Office


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """The process of the firm's servers."""
    office = Office(tmp_path_factory.mktemp("office"))
    yield office
    office.end()
