"""In a browser as well, one yes to several calls, or to what several tasks ask."""

from collections.abc import Iterator

import pytest

from hopward import ToolCall

from .approving import Desk

MEMBERS = 'members = ["lena", "omar", "ines", "local:carol"]'


@pytest.fixture
def granting(desk: Desk) -> Iterator[Desk]:
    """A desk whose supervisors may say yes to three refunds at once."""
    config = desk.config.read_text()
    for old, new in (
        (MEMBERS, f"{MEMBERS}\nmost_times = 3"),
        ('names = ["ticket"]', 'names = ["ticket"]\nspends = { amount = "amount", currency = "EUR" }'),
        ("writes = 50 }", 'writes = 50, money = { EUR = "5000" } }'),
    ):
        assert config.count(old) == 1
        config = config.replace(old, new)
    desk.config.write_text(config)
    with desk.reopened() as again:
        yield again


def verdict(desk: Desk, approval_id: str, **arguments: object) -> str:
    approval = desk.guard.approvals.get(approval_id)
    call = ToolCall(server="desk", tool="refund", arguments=approval.arguments | arguments)  # type: ignore[arg-type]
    return desk.guard.authorize(call, approval.chain).verdict.reason


def test_a_yes_may_be_to_several_calls_and_is_taken_back(granting: Desk) -> None:
    approval, lena = granting.ask(), granting.paired("lena")
    page = lena.get(f"/approvals/{approval.id}").text
    assert "up to 3 such calls of this task: amount up to 45.00 EUR, any note; all else as shown" in page
    assert lena.answer(approval, "several", "one order", times="3").status_code == 303
    assert [verdict(granting, approval.id, amount=amount) for amount in (44, 46)] == [
        "granted",
        "approval_required",
    ]
    page = lena.get(f"/approvals/{approval.id}").text
    assert "2 of them left" in page
    assert lena.answer(approval, "no", "enough").status_code == 303
    assert granting.guard.approvals.get(approval.id).state == "rejected"
    assert verdict(granting, approval.id, amount=43) == "approval_required"
    assert "Take the yes back" not in lena.get(f"/approvals/{approval.id}").text


@pytest.mark.parametrize(
    ("said", "fields", "status"),
    [
        ("several", {}, 400),
        ("several", {"times": "4"}, 409),
        ("several", {"times": "0"}, 409),
        ("several", {"times": "-1"}, 400),
        ("several", {"times": "two"}, 400),
        ("several", {"times": "2", "same": "apr_1"}, 400),
        ("yes", {"times": "2"}, 400),
        ("edit", {"same": "apr_1", "argument-0": "1"}, 400),
    ],
)
def test_what_no_page_of_ours_sends_grants_nothing(
    granting: Desk, said: str, fields: dict[str, str], status: int
) -> None:
    approval, lena = granting.ask(), granting.paired("lena")
    assert lena.answer(approval, said, "", **fields).status_code == status
    assert granting.guard.approvals.get(approval.id).state == "pending"


def test_where_no_group_lets_it_nothing_of_several_calls_is_offered(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired("lena")
    assert 'value="several"' not in lena.get(f"/approvals/{approval.id}").text
    assert lena.answer(approval, "several", "", times="2").status_code == 409


def test_what_asks_the_same_is_answered_together_as_far_as_it_was_shown(desk: Desk) -> None:
    shown, other, own = desk.ask("noor"), desk.ask("sigrid"), desk.ask("lena")
    lena = desk.paired("lena")
    page = lena.get(f"/approvals/{shown.id}").text
    assert "The same is asked 1 more time<" in page
    assert f'name="same" value="{other.id}"' in page
    later = desk.ask("ines")
    assert lena.answer(shown, "yes", "", same=other.id).headers["location"] == "/approvals"
    states = [desk.guard.approvals.get(one.id).state for one in (shown, other, own, later)]
    assert states == ["approved", "approved", "pending", "pending"]


def test_what_is_not_this_persons_to_answer_is_named_and_stays(desk: Desk) -> None:
    shown, own = desk.ask("noor"), desk.ask("lena")
    lena = desk.paired("lena")
    answered = lena.answer(shown, "yes", "", same=own.id)
    assert (answered.status_code, f"Not answered: {own.id}." in answered.text) == (200, True)
    assert [desk.guard.approvals.get(one.id).state for one in (shown, own)] == ["approved", "pending"]


def test_one_no_on_the_page_ends_all_that_ask_the_same(desk: Desk) -> None:
    shown, other = desk.ask("noor"), desk.ask("sigrid")
    lena = desk.paired("lena")
    assert "needs a reason" in lena.answer(shown, "no", "", same=other.id).text
    assert lena.answer(shown, "no", "paid already", same=other.id).status_code == 303
    assert {desk.guard.approvals.get(one.id).state for one in (shown, other)} == {"rejected"}
