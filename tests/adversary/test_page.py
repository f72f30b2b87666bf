"""What the page about the attacks says is there is there."""

from tests.docs.reason_codes import codes

from .attacks import GROUPS
from .playing import UNLOGGED

EVERY = [scenario for group in GROUPS for scenario in group.scenarios]


def test_every_reason_of_an_attack_is_one_that_the_reference_explains() -> None:
    known = {code.partition(" ")[0] for code in codes()}
    behind = {one.behind for one in EVERY if one.behind}
    assert {reason for one in EVERY for reason in one.reasons} | behind <= known | set(UNLOGGED)


def test_no_two_attacks_have_one_name() -> None:
    assert len({one.name for one in EVERY}) == len(EVERY)


def test_every_attack_has_a_twin_and_something_that_is_taken_away() -> None:
    assert [one.name for one in EVERY if not one.twin or not (one.without or one.patched)] == []
