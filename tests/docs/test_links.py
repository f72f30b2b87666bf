"""Every link of a page leads somewhere."""

import pytest

from .markdown import Page, page, pages


@pytest.mark.parametrize("shown", pages(), ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one_and_to_a_heading_of_it(shown: Page) -> None:
    assert [
        f"{shown.name}:{line}: {target}" for line, target in shown.links if not _leads(shown, target)
    ] == []


def test_every_page_can_be_reached_from_the_first_one() -> None:
    names = {one.name for one in pages()}
    reached, waiting = {"README.md"}, ["README.md"]
    while waiting:
        here = page(waiting.pop())
        for _, target in here.links:
            name = _name(here, target)
            if name in names and name not in reached:
                reached.add(name)
                waiting.append(name)
    assert names - reached == set()


def _name(here: Page, target: str) -> str | None:
    """The path of what a relative link names, from the root; None for links to elsewhere."""
    if "://" in target or target.startswith("mailto:"):
        return None
    path = target.partition("#")[0]
    root = page("README.md").path.parent
    return here.name if not path else str((here.path.parent / path).resolve().relative_to(root))


def _leads(here: Page, target: str) -> bool:
    name = _name(here, target)
    if name is None:
        return True
    fragment = target.partition("#")[2]
    if not (page("README.md").path.parent / name).exists():
        return False
    return not fragment or fragment in page(name).anchors
