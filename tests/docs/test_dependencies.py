"""docs/dependencies.md names every dependency there is, with its versions and its licence."""

from importlib.metadata import PackageNotFoundError, metadata

import pytest

from .dependency_lists import declared
from .markdown import page

PAGE = page("docs/dependencies.md")
ROWS = [[cell.strip("`") for cell in row] for row in [*PAGE.table("distribution"), *PAGE.table("group")]]


def stated_licence(name: str) -> str | None:
    """What an installed package states in the standard way (PEP 639)."""
    try:
        return dict(metadata(name).items()).get("License-Expression")  # pyright: ignore - typed as a Protocol without items
    except PackageNotFoundError:
        return None


def test_every_dependency_is_on_the_page_with_its_versions_and_no_other_is() -> None:
    assert sorted(tuple(row[:3]) for row in ROWS) == sorted(declared())


def test_every_dependency_has_a_licence_and_a_reason() -> None:
    assert [row[1] for row in ROWS if not (row[3] and row[4])] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_the_licence_is_the_one_the_package_states_where_it_states_one_in_the_standard_way(
    row: list[str],
) -> None:
    assert stated_licence(row[1]) in (None, row[3])
