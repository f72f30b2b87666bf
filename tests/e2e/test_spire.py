"""A real SPIRE: its server and agent run, and give SVIDs to the workloads that have an entry."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from .spire import Spire, running_spire


@pytest.fixture(scope="module")
def spire() -> Iterator[Spire]:
    # Not pytest's folder: the path of a socket may be 107 bytes long.
    with TemporaryDirectory(prefix="spire") as folder, running_spire(Path(folder)) as started:
        yield started


def test_a_workload_gets_its_own_svid_and_none_of_another_user(spire: Spire) -> None:
    own = spire.register("attested/own")
    other = spire.register("attested/other", user=4_294_967)
    assert spire.fetched(own)
    assert not spire.fetched(other)


def test_a_workload_whose_entry_is_deleted_gets_no_more_svids(spire: Spire) -> None:
    own = spire.register("deleted/own")
    assert spire.fetched(own)
    spire.delete(own)
    spire.gone(own)
