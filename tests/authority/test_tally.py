"""Whoever can connect can be refused as often as he likes; the decision log does not grow with it."""

import pytest

from hopward_authority.tally import ROWS, SPAN, Tally

from .approving import PAGE, Desk
from .conftest import Authority

MANY = ROWS * 3
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def refused(desk: Desk | Authority) -> int:
    """How many refusals the log tells of."""
    return sum(row.record.get("count", 1) for row in desk.rows("refusal"))


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_requests_that_are_not_for_us_take_a_bounded_number_of_rows(
    desk: Desk, headers: dict[str, str]
) -> None:
    before, browser = len(desk.rows("refusal")), desk.browser()
    for _ in range(MANY):
        assert browser.get("/approvals", **headers).status_code == 403
    assert len(desk.rows("refusal")) - before <= ROWS


def test_clients_that_do_not_authenticate_take_a_bounded_number_of_rows(authority: Authority) -> None:
    for _ in range(MANY):
        assert authority.http.post("/token", content=b"grant_type=x", headers=FORM).status_code >= 400
    assert len(authority.rows("refusal")) == ROWS


def test_codes_that_nobody_gave_out_take_a_bounded_number_of_rows(desk: Desk) -> None:
    for number in range(MANY):
        desk.browser(client=(f"10.0.0.{number}", 5000)).pair("7K3M-Q9TX-4HDV")
    assert len([row for row in desk.rows("refusal") if row.reason == "no_code"]) == ROWS


def test_what_has_no_row_of_its_own_is_counted_when_the_authority_ends(desk: Desk) -> None:
    with desk.browser().http as served:
        for _ in range(MANY):
            served.get("/approvals", headers={"Host": "evil.example"})
    assert (len(desk.rows("refusal")), refused(desk)) == (ROWS + 1, MANY)


def test_after_a_span_refusals_have_rows_again_and_the_ones_before_are_counted(desk: Desk) -> None:
    at = [0.0]
    tally = Tally(desk.guard, lambda: at[0])
    for _ in range(MANY):
        tally.note("invalid_request", "x")
    at[0] += SPAN
    tally.note("invalid_request", "y")
    assert refused(desk) == MANY + 1
    assert desk.rows("refusal")[-1].record["sentence"] == "y"


def test_what_the_log_does_not_take_stays_counted(desk: Desk) -> None:
    with desk.reopened() as other:
        tally = Tally(other.guard)
        other.guard.close()
        tally.note("invalid_request", "x")
        tally.note("invalid_request", "x")
        tally.write()
    with desk.reopened() as again:
        tally._guard = again.guard  # pyright: ignore[reportPrivateUsage]
        tally.write()
    assert refused(desk) == 2


def test_a_link_to_which_a_chat_has_added_parameters_leads_to_the_page_and_leaves_no_row(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    for path in ("/approvals", f"/approvals/{approval.id}", "/pair"):
        plain, tracked = lena.get(path), lena.get(f"{path}?utm_source=chat&fbclid=1")
        assert (tracked.status_code, tracked.text) == (200, plain.text)
    assert lena.post(f"/approvals/{approval.id}?answer=yes", {"answer": "yes"}).status_code == 400
    assert refused(desk) == 1


def test_an_address_with_a_slash_at_its_end_leads_to_the_page(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    assert lena.get("/approvals/").headers["location"] == "/approvals"
    answer = lena.get(f"/approvals/{approval.id}/", Host=PAGE.removeprefix("https://"))
    assert (answer.status_code, answer.headers["location"]) == (303, f"/approvals/{approval.id}")
    assert desk.browser().get("/approvals/").status_code == 403
