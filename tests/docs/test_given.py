"""What pages take for given is what other pages tell their readers to write."""

import pytest

from .markdown import page
from .reader import GIVEN

PAGES = ("docs/quickstart.md", "docs/guides/verify-credentials-in-your-server.md")

WRITTEN = {
    block.directives["file"]: block.text
    for name in PAGES
    for block in page(name).blocks
    if "file" in block.directives
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_that_is_given_is_the_one_of_the_page_that_shows_it(name: str) -> None:
    assert (GIVEN / name).read_text("utf-8") == WRITTEN[name]


def test_no_other_file_is_given() -> None:
    assert {path.name for path in GIVEN.iterdir() if path.is_file()} == WRITTEN.keys()
