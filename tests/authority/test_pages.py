"""People answer in a browser: what they are shown, and what becomes of what they say."""

import base64
import hashlib
import re
from typing import Any

import pytest

from hopward import ToolCall
from hopward.clock import SECOND

from .approving import PAGE, Desk, MakeDesk


def test_a_paired_person_sees_what_waits_and_approves_exactly_that_once(desk: Desk) -> None:
    approval = desk.ask()
    lena = desk.paired("lena")
    listed = lena.get("/approvals").text
    assert f'href="/approvals/{approval.id}"' in listed
    assert "desk/refund" in listed
    answered = lena.answer(approval, "yes", "it was late indeed")
    assert (answered.status_code, answered.headers["location"]) == (303, f"/approvals/{approval.id}")
    assert "lena" in lena.get(f"/approvals/{approval.id}").text
    stored = desk.guard.approvals.get(approval.id)
    assert stored.state == "approved"
    assert [(one.by, one.why) for one in stored.answers] == [("lena", "it was late indeed")]
    call = ToolCall(server="desk", tool="refund", arguments=approval.arguments)
    assert [desk.guard.authorize(call, approval.chain).verdict.name for _ in range(2)] == [
        "permit",
        "step-up",
    ]


def test_who_pairs_a_browser_for_an_approval_comes_to_that_approval(desk: Desk) -> None:
    approval, browser = desk.ask(), desk.browser()
    stranger = browser.get(f"/approvals/{approval.id}?from=chat")
    assert (stranger.status_code, 'href="/pair"' in stranger.text) == (403, True)
    page = browser.get("/pair", Referer=f"{PAGE}/approvals/{approval.id}?from=chat")
    assert f'name="back" value="{approval.id}"' in page.text
    wrong = browser.post("/pair", {"code": "7K3M-Q9TX-4HDV", "label": "", "back": approval.id})
    assert (wrong.status_code, f'name="back" value="{approval.id}"' in wrong.text) == (403, True)
    code = desk.guard.devices.offer("lena", by="local:root").code
    paired = browser.post("/pair", {"code": code, "label": "", "back": approval.id})
    assert (paired.status_code, paired.headers["location"]) == (303, f"/approvals/{approval.id}")
    assert browser.get(paired.headers["location"]).status_code == 200


def test_the_list_shows_the_first_arguments_of_each_call_on_a_short_line(desk: Desk) -> None:
    extra: dict[str, Any] = {f"x{number}": number for number in range(9)}
    desk.ask(note="n" * 500, **extra)
    listed = desk.paired().get("/approvals").text
    for part in ("amount = 45", "n" * 50, "; and 8 more"):
        assert part in listed
    assert "n" * 61 not in listed
    assert ".000000Z" not in listed


def test_no_number_of_later_questions_buries_one_that_waits(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hopward_authority.pages._SHOWN", 3)
    desk = make_desk(approvals="most_pending = 300\nmost_pending_of_subject = 300\nmost_per_hour = 300")
    first = desk.ask(note="first")
    desk.clock.advance(SECOND)
    rejected = [desk.ask(note=f"rejected {number}") for number in range(210)]
    for one in rejected:
        desk.guard.approvals.reject(one.id, by="omar", why="no")
    later = [desk.ask(note=f"later {number}") for number in range(4)]
    lena = desk.paired()
    listed = lena.get("/approvals").text
    assert listed.index(first.id) < listed.index(later[0].id)
    assert "2 more, asked later, are not shown here" in listed
    for one in later:
        desk.guard.approvals.reject(one.id, by="omar", why="no")
    alone = lena.get("/approvals").text
    assert f'href="/approvals/{first.id}"' in alone.split("Recent")[0]
    assert "not shown here" not in alone


def test_where_recent_answers_were_not_all_looked_through_the_page_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    lena, told = desk.paired(), "Only the latest 2 that are over have been looked through"
    monkeypatch.setattr("hopward_authority.pages._LOOKED_THROUGH", 2)
    desk.guard.approvals.approve(desk.ask().id, by="omar")
    assert told not in lena.get("/approvals").text
    desk.guard.approvals.approve(desk.ask(note="b").id, by="omar")
    assert told in lena.get("/approvals").text


def test_the_page_shows_who_why_what_where_and_how_it_would_be_undone(desk: Desk) -> None:
    approval = desk.ask(ticket="T-77", amount=912)
    text = desk.paired().get(f"/approvals/{approval.id}").text
    for shown in (
        *("ines", "assistant", "answer one ticket", "desk/refund", "T-77", "912", "untrusted"),
        *("pay at payments", "payments", "Ask the bank to take it back.", "A supervisor decides."),
        *("1 of supervisors", "lena, omar", "2026-"),
    ):
        assert shown in text, shown


def test_a_no_needs_a_reason_which_the_agent_is_told(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    without = lena.answer(approval, "no")
    assert without.status_code == 409
    assert "needs a reason" in without.text
    assert desk.guard.approvals.get(approval.id).state == "pending"
    assert lena.answer(approval, "no", "it was\r\npaid already").status_code == 303
    call = ToolCall(server="desk", tool="refund", arguments=approval.arguments)
    assert "it was\npaid already" in desk.guard.authorize(call, approval.chain).verdict.sentence


def test_a_yes_with_other_arguments_is_for_the_call_with_these(desk: Desk) -> None:
    approval, lena = desk.ask(note="ünïcode \u202e \x9b"), desk.paired()
    shown = [one.value for one in desk.guard.approvals.summary(approval).arguments]
    fields = {f"argument-{place}": value for place, value in enumerate(shown)}
    place = list(approval.arguments).index("amount")
    answered = lena.answer(approval, "edit", "60 is right", **(fields | {f"argument-{place}": " 60 "}))
    assert answered.status_code == 303
    new = desk.guard.approvals.get(answered.headers["location"].rpartition("/")[2])
    assert (new.state, new.arguments) == ("approved", approval.arguments | {"amount": 60})
    assert new.id in lena.get(f"/approvals/{approval.id}").text


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("ticket", "T-9", "T-9"), ("ticket", '"T-9"', "T-9"), ("ticket", "9", "9"), ("amount", "99", 99)],
)
def test_text_may_be_typed_without_quotation_marks_where_text_is_declared(
    desk: Desk, name: str, text: str, value: object
) -> None:
    approval, lena = desk.ask(), desk.paired()
    place = list(approval.arguments).index(name)
    answered = lena.answer(approval, "edit", "", **{f"argument-{place}": text})
    new = desk.guard.approvals.get(answered.headers["location"].rpartition("/")[2])
    assert new.arguments[name] == value


def test_what_is_shown_as_escapes_may_be_changed_around_them(desk: Desk) -> None:
    note = 'a\x1b[2J\u202e\U000e0041 \\x1b "q"'
    approval, lena = desk.ask(note=note), desk.paired()
    place = list(approval.arguments).index("note")
    (shown,) = (one.value for one in desk.guard.approvals.summary(approval).arguments if one.name == "note")
    answered = lena.answer(approval, "edit", "", **{f"argument-{place}": shown.replace("[2J", "[3J")})
    new = desk.guard.approvals.get(answered.headers["location"].rpartition("/")[2])
    assert new.arguments["note"] == note.replace("[2J", "[3J")


@pytest.mark.parametrize("text", [r'"late\q"', r'"late" or "later"', r'"\Uffffffff"'])
def test_quotation_marks_that_are_no_json_are_never_taken_along(desk: Desk, text: str) -> None:
    approval, lena = desk.ask(), desk.paired()
    place = list(approval.arguments).index("note")
    answered = lena.answer(approval, "edit", "", **{f"argument-{place}": text})
    assert answered.status_code == 409
    assert "without quotation marks" in answered.text
    assert desk.guard.approvals.get(approval.id).state == "pending"


@pytest.mark.parametrize("text", ["sixty", "", "NaN", "6 0", '{"a":1,"a":2}', "[" * 5_000])
def test_what_is_no_json_changes_nothing(desk: Desk, text: str) -> None:
    approval, lena = desk.ask(), desk.paired()
    place = list(approval.arguments).index("amount")
    answered = lena.answer(approval, "edit", "", **{f"argument-{place}": text})
    assert answered.status_code == 409
    assert "is no JSON" in answered.text
    assert desk.guard.approvals.get(approval.id).state == "pending"


def test_an_argument_that_is_not_there_is_not_changed(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    assert lena.answer(approval, "edit", "", **{"argument-3": "1"}).status_code == 409
    assert desk.guard.approvals.get(approval.id).state == "pending"


def test_arguments_that_the_log_does_not_keep_are_not_shown_and_cannot_be_changed(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk(approvals='[log]\narguments = "digest"\n')
    approval, lena = desk.ask(note="a secret"), desk.paired()
    page = lena.get(f"/approvals/{approval.id}").text
    assert "Not all of the arguments can be shown" in page
    assert "a secret" not in page
    assert 'value="edit"' not in page
    assert lena.answer(approval, "edit", "", **{"argument-0": '"T-9"'}).status_code == 409
    assert lena.answer(approval, "yes").status_code == 303


def test_the_subject_sees_why_they_may_not_approve_and_may_still_say_no(desk: Desk) -> None:
    """Ines is a supervisor herself."""
    approval, ines = desk.ask(subject="ines"), desk.paired("ines")
    page = ines.get(f"/approvals/{approval.id}").text
    assert "on behalf of ines, so ines may not approve it" in page
    assert 'value="yes"' not in page
    assert approval.id in ines.get("/approvals").text.partition("Waiting for somebody else")[2]
    assert ines.answer(approval, "yes").status_code == 409
    assert desk.guard.approvals.get(approval.id).state == "pending"
    assert ines.answer(approval, "no", "not me").status_code == 303
    assert desk.guard.approvals.get(approval.id).state == "rejected"


def test_somebody_it_does_not_concern_is_told_who_may_and_nothing_of_the_call(desk: Desk) -> None:
    approval, sigrid = desk.ask(ticket="T-77"), desk.paired("sigrid")
    page = sigrid.get(f"/approvals/{approval.id}")
    assert page.status_code == 403
    assert "sigrid is not among those who may approve this" in page.text
    assert not any(one in page.text for one in ("T-77", "desk/refund", "assistant"))
    assert approval.id not in sigrid.get("/approvals").text
    form = {"answer": "yes", "why": "", "token": "0" * 64}
    assert sigrid.post(f"/approvals/{approval.id}", form).status_code == 403
    assert desk.guard.approvals.get(approval.id).state == "pending"


def test_an_approval_that_was_given_can_only_be_taken_back_and_a_second_yes_changes_nothing(
    desk: Desk,
) -> None:
    approval, lena = desk.ask(), desk.paired()
    token = lena.token(approval)
    form = {"token": token, "answer": "yes", "why": ""}
    assert [lena.post(f"/approvals/{approval.id}", form).status_code for _ in range(2)] == [303, 409]
    page = lena.get(f"/approvals/{approval.id}").text
    assert page.count(f'action="/approvals/{approval.id}"') == page.count("Take it back") == 1
    assert len(desk.guard.approvals.get(approval.id).answers) == 1
    assert [row.record["event"] for row in desk.rows("approval")] == ["requested", "approved"]


def test_where_two_people_have_to_say_yes_the_first_waits_for_the_second(desk: Desk) -> None:
    desk.config.write_text(desk.config.read_text().replace('"local:carol"]', '"local:carol"]\npeople = 2'))
    with desk.reopened() as strict:
        approval, lena, omar = strict.ask(), strict.paired("lena"), strict.paired("omar")
        assert lena.answer(approval, "yes").status_code == 303
        page = lena.get(f"/approvals/{approval.id}").text
        assert "lena has said yes already; another person has to" in page
        assert 'value="yes"' not in page
        assert lena.answer(approval, "yes").status_code == 409
        assert strict.guard.approvals.get(approval.id).state == "pending"
        assert omar.answer(approval, "yes").status_code == 303
        assert strict.guard.approvals.get(approval.id).state == "approved"


def test_an_approval_that_has_expired_says_so_and_cannot_be_answered(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    token = lena.token(approval)
    desk.clock.advance(901 * 1_000_000)
    assert "expired" in lena.get(f"/approvals/{approval.id}").text
    answered = lena.post(f"/approvals/{approval.id}", {"token": token, "answer": "yes", "why": ""})
    assert answered.status_code == 409
    assert "is expired" in answered.text


def test_a_page_below_a_path_of_its_own_leads_to_itself(make_desk: MakeDesk) -> None:
    desk = make_desk(page=f"{PAGE}/hop")
    approval, browser = desk.ask(), desk.browser()
    code = desk.guard.devices.offer("lena", by="local:root").code
    paired = browser.post("/hop/pair", {"code": code, "label": ""})
    assert (paired.status_code, paired.headers["location"]) == (303, "/hop/approvals")
    assert f'action="/hop/approvals/{approval.id}"' in browser.get(f"/hop/approvals/{approval.id}").text
    assert browser.get("/approvals").status_code in (403, 404)


def test_without_a_page_configured_nothing_is_served(make_desk: MakeDesk) -> None:
    desk = make_desk(page="")
    for path in ("/approvals", "/approvals/apr_1", "/pair", "/unpair"):
        assert desk.browser().http.get(path, headers={"Host": "authority.example"}).status_code == 404


def test_the_page_needs_no_script_and_asks_for_nothing_from_elsewhere(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    for path in ("/approvals", f"/approvals/{approval.id}", "/pair"):
        text = lena.get(path).text
        assert '<meta name="viewport" content="width=device-width' in text
        assert "prefers-color-scheme:dark" in text
        assert not any(one in text.lower() for one in ("<script", "src=", "<link", "@import", "url(", "http"))


def test_every_field_has_a_label_and_every_page_one_heading_of_the_first_rank(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    for path in ("/approvals", f"/approvals/{approval.id}", "/pair", "/approvals/none"):
        text = lena.get(path).text
        assert text.count("<h1>") == 1
        assert '<html lang="en">' in text
        fields = re.findall(r'<(?:input|textarea) id="([^"]+)"', text)
        assert fields == re.findall(r'<label for="([^"]+)"', text)
        assert len(re.findall(r"<(?:input|textarea)", text)) == len(fields) + text.count('type="hidden"')


def test_the_hash_of_the_policy_is_that_of_the_style_on_the_page(desk: Desk) -> None:
    answer = desk.browser().get("/pair")
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{hashed}'" in answer.headers["content-security-policy"]
