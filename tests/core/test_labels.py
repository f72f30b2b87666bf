"""What a call moves, on top of what its task has moved before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopward.labels import INTEGRITIES, above, joined, raised, taken, unwritten
from hopward.model import SENSITIVITIES, Action, Flow, Integrity, Label, Sensitivity, Tool

FLOWS: tuple[Flow, ...] = ("from", "into", "out")
LABELS = st.builds(
    Label,
    flow=st.sampled_from(FLOWS),
    name=st.sampled_from(("desk", "web", "mail")),
    sensitivity=st.sampled_from(SENSITIVITIES),
    integrity=st.sampled_from(INTEGRITIES),
)


def tool(
    server: str = "desk",
    action: Action = "read",
    sensitivity: Sensitivity = "internal",
    integrity: Integrity = "trusted",
    destination: str = "internal",
) -> Tool:
    return Tool(
        server=server,
        name="t",
        action=action,
        sensitivity=sensitivity,
        integrity=integrity,
        destination=destination,
    )


def label(
    flow: Flow, name: str, sensitivity: Sensitivity = "public", integrity: Integrity = "trusted"
) -> Label:
    return Label(flow=flow, name=name, sensitivity=sensitivity, integrity=integrity)


def test_a_task_that_has_taken_in_nothing_has_taken_in_what_is_public_and_trusted() -> None:
    found = taken((label("into", "desk", "restricted", "untrusted"), label("out", "x", "restricted")))
    assert (found.sensitivity, found.integrity, found.untrusted) == ("public", "trusted", ())


def test_what_was_taken_in_is_the_worst_of_it_and_says_where_untrusted_content_came_from() -> None:
    found = taken(
        (
            label("from", "web", "public", "untrusted"),
            label("from", "desk", "confidential"),
            label("from", "feed", "internal", "untrusted"),
        )
    )
    assert (found.sensitivity, found.integrity, found.untrusted) == (
        "confidential",
        "untrusted",
        ("feed", "web"),
    )


def test_a_read_takes_in_what_it_returns_and_its_question_goes_out() -> None:
    known = [label("from", "vault", "restricted", "untrusted")]
    assert raised(tool("web"), ("internet",), known) == (
        label("from", "web", "internal", "trusted"),
        label("out", "internet", "restricted", "untrusted"),
    )


def test_what_does_more_than_read_hands_into_its_server_all_that_was_taken_in() -> None:
    known = [label("from", "web", "public", "untrusted")]
    assert label("into", "desk", "public", "untrusted") in raised(tool(action="write"), ("internal",), known)
    assert all(one.flow != "into" for one in raised(tool(action="read"), ("internal",), known))


def test_a_call_that_moves_nothing_new_raises_nothing() -> None:
    known = raised(tool(action="send"), ("internal",), ())
    assert len(known) == 3
    # What it returned the first time may go with it the second time.
    again = raised(tool(action="send"), ("internal",), known)
    assert {one.flow for one in again} == {"into", "out"}
    final = (*(one for one in known if one.flow == "from"), *again)
    assert raised(tool(action="send"), ("internal",), final) == ()


@pytest.mark.parametrize("ceiling", SENSITIVITIES)
@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
def test_data_may_go_up_to_its_own_level_and_higher(sensitivity: Sensitivity, ceiling: Sensitivity) -> None:
    assert above(sensitivity, ceiling) == (SENSITIVITIES.index(sensitivity) > SENSITIVITIES.index(ceiling))


def test_a_trusted_tool_is_not_believed_once_the_task_may_have_written_there_what_an_attacker_wrote() -> None:
    assert unwritten("desk", [label("into", "desk", "public", "trusted")])
    assert unwritten("desk", [label("into", "mail", "public", "untrusted")])
    assert not unwritten("desk", [label("into", "desk", "public", "untrusted")])


@given(LABELS, LABELS)
def test_joining_only_rises_and_is_the_same_from_both_sides(one: Label, other: Label) -> None:
    up, back = joined(one, other), joined(other, one)
    assert (up.sensitivity, up.integrity) == (back.sensitivity, back.integrity)
    assert not above(one.sensitivity, up.sensitivity)
    assert not above(other.sensitivity, up.sensitivity)
    assert joined(up, one) == up


@given(st.lists(LABELS, max_size=6), st.sampled_from(("read", "write", "send")))
def test_whatever_was_taken_in_before_is_covered_where_a_call_may_carry_it(
    labels: list[Label], action: Action
) -> None:
    known: dict[tuple[str, str], Label] = {}
    for one in labels:
        key = (one.flow, one.name)
        known[key] = joined(known[key], one) if key in known else one
    before = taken(known.values())
    called = tool("desk", action)
    for one in raised(called, ("internet",), tuple(known.values())):
        key = (one.flow, one.name)
        known[key] = joined(known[key], one) if key in known else one
    reached = [("out", "internet")] + ([("into", "desk")] if action != "read" else [])
    for key in reached:
        assert not above(before.sensitivity, known[key].sensitivity)
        assert before.integrity == "trusted" or known[key].integrity == "untrusted"
    assert raised(called, ("internet",), tuple(known.values())) == () or taken(known.values()) != before
