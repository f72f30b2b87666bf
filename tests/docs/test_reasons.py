"""Every reason code in the code is explained on docs/reference/errors.md, and nothing else is."""

from .markdown import page
from .reason_codes import codes

PAGE = page("docs/reference/errors.md")


def explained() -> list[list[str]]:
    return [*PAGE.table("reason"), *PAGE.table("error")]


def test_every_reason_code_of_the_code_is_on_the_page_and_no_other() -> None:
    shown = {row[0].strip("`") for row in explained()}
    assert shown - codes() == set()
    assert codes() - shown == set()


def test_every_reason_code_has_a_meaning() -> None:
    assert [row[0] for row in explained() if not row[1]] == []
