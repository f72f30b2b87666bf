"""Every page does what it says: its blocks are followed in order, by a reader in a fresh folder."""

from pathlib import Path

import pytest

from .markdown import Page, pages
from .reader import LANGUAGES, reading

MOST_NOT_RUN = 4


@pytest.mark.parametrize("shown", pages(), ids=lambda page: page.name)
def test_every_block_of_the_page_does_what_the_page_says(
    shown: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with reading(shown, tmp_path) as reader:
        for block in shown.blocks:
            reader.follow(block)


def test_every_block_is_in_a_language_the_reader_knows() -> None:
    strange = [
        f"{page.name}:{b.line}: {b.language}"
        for page in pages()
        for b in page.blocks
        if b.language not in LANGUAGES
    ]
    assert strange == []


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    left_out = {
        f"{page.name}:{block.line}": block.directives["not run"]
        for page in pages()
        for block in page.blocks
        if "not run" in block.directives
    }
    assert len(left_out) <= MOST_NOT_RUN, left_out
    assert all(len(why.split()) > 3 for why in left_out.values()), left_out
