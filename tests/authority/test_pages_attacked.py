"""What somebody tries who is not the person, or not on our page, or no person at all."""

import json
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from typing import Any

import pytest

from hopward.approval import Approval
from hopward.clock import DAY
from hopward.pairing import IDLE, LASTING, OFFERED
from hopward.policies import PolicyStore
from hopward_authority.tries import MOST, Tries

from .approving import PAGE, Browser, Desk, MakeDesk

FORGED = {"Origin": None, "Sec_Fetch_Site": None}


def stands(desk: Desk, approval: Approval) -> bool:
    """Whether nobody has answered."""
    stored = desk.guard.approvals.get(approval.id)
    return (stored.state, stored.answers) == ("pending", ())


def form(browser: Browser, approval: Approval, **changes: str) -> dict[str, str]:
    return {"token": browser.token(approval), "answer": "yes", "why": "x"} | changes


# Who is not known.


def test_somebody_unknown_sees_the_same_whatever_they_ask_for(desk: Desk) -> None:
    """No oracle: neither the id of a call nor its content."""
    approval, nobody = desk.ask(ticket="T-77"), desk.browser()
    answers = [
        *(nobody.get(f"/approvals/{one}") for one in (approval.id, "apr_" + "0" * 24, "x", "%2e%2e")),
        nobody.get("/approvals"),
        *(nobody.post(f"/approvals/{one}", {"answer": "yes"}) for one in (approval.id, "apr_1")),
        nobody.post("/unpair", {"token": "x"}),
    ]
    assert {(one.status_code, one.text) for one in answers} == {(403, answers[0].text)}
    assert {json.dumps(sorted(one.headers.items())) for one in answers} == {
        json.dumps(sorted(answers[0].headers.items()))
    }
    assert "T-77" not in answers[0].text
    assert stands(desk, approval)


def test_a_person_cannot_tell_an_id_that_is_not_theirs_from_guessing(desk: Desk) -> None:
    lena = desk.paired()
    assert {lena.get(f"/approvals/apr_{number:024x}").status_code for number in range(20)} == {404}


@pytest.mark.parametrize(
    "value", ["", "x", "A" * 43, "A" * 5_000, "\xe9", '"quoted"', "%00", "dev_0000000000000000"]
)
def test_a_cookie_that_nobody_gave_out_is_nobodys(desk: Desk, value: str) -> None:
    header = f"__Host-hopward={value}".encode("latin-1")
    answer = desk.browser().http.get("/approvals", headers={b"Cookie": header})
    assert answer.status_code == 403


def test_two_cookies_of_the_name_are_nobodys(desk: Desk) -> None:
    lena = desk.paired()
    secret = lena.http.cookies["__Host-hopward"]
    for other in (secret, "A" * 43):
        header = f"__Host-hopward={secret}; __Host-hopward={other}"
        assert desk.browser().get("/approvals", Cookie=header).status_code == 403
    assert desk.browser().get("/approvals", Cookie=f"hopward={secret}").status_code == 403
    assert desk.browser().get("/approvals", Cookie=f"a=b; __Host-hopward={secret}").status_code == 200


def test_the_digest_that_is_stored_does_not_open_anything(desk: Desk) -> None:
    desk.paired()
    (device,) = desk.guard.devices.find()
    browser = desk.browser()
    assert browser.get("/approvals", Cookie=f"__Host-hopward={device.secret}").status_code == 403
    assert browser.pair(device.secret).status_code == 403


def test_the_cookie_of_a_device_that_was_ended_elsewhere_opens_nothing(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    sent = form(lena, approval)
    (device,) = desk.guard.devices.find()
    desk.guard.devices.end(device.id, by="local:root", why="lost")
    assert lena.get("/approvals").status_code == 403
    assert lena.post(f"/approvals/{approval.id}", sent).status_code == 403
    assert stands(desk, approval)
    assert [row.record["event"] for row in desk.rows("device")] == ["offered", "paired", "ended"]


def test_a_device_ends_on_itself_and_its_cookie_opens_nothing_more(desk: Desk) -> None:
    lena = desk.paired()
    secret = lena.http.cookies["__Host-hopward"]
    token = lena.get("/approvals").text.partition('name="token" value="')[2][:64]
    ended = lena.post("/unpair", {"token": token})
    assert ended.status_code == 200
    assert "Max-Age=0" in ended.headers["set-cookie"]
    assert desk.browser().get("/approvals", Cookie=f"__Host-hopward={secret}").status_code == 403
    row = desk.rows("device")[-1].record
    assert (row["event"], row["by"], row["person"]) == ("ended", "lena", "lena")


def test_a_device_that_was_not_used_for_a_week_is_not_paired_any_more(desk: Desk) -> None:
    lena = desk.paired()
    desk.clock.advance(IDLE - 1)
    assert lena.get("/approvals").status_code == 200
    desk.clock.advance(IDLE)
    assert lena.get("/approvals").status_code == 403


def test_a_device_is_paired_for_a_month_at_most_however_much_it_is_used(desk: Desk) -> None:
    lena = desk.paired()
    for _ in range(LASTING // DAY - 1):
        desk.clock.advance(DAY)
        assert lena.get("/approvals").status_code == 200
    desk.clock.advance(DAY)
    assert lena.get("/approvals").status_code == 403
    assert desk.guard.devices.find() == ()


def test_who_is_no_approver_any_more_has_no_device(desk: Desk) -> None:
    lena = desk.paired()
    desk.config.write_text(desk.config.read_text().replace('"lena", ', ""))
    with desk.reopened() as again:
        assert again.browser().get("/approvals", Cookie=lena.cookie).status_code == 403


def test_a_person_ends_another_of_their_devices_and_nobody_elses(desk: Desk) -> None:
    lena, lost, omar = desk.paired("lena"), desk.paired("lena", "the lost one"), desk.paired("omar")
    shown = lena.get("/approvals").text
    ids = {one.label: one.id for one in desk.guard.devices.find() if one.person == "lena"}
    (his,) = [one.id for one in desk.guard.devices.find() if one.person == "omar"]
    assert "the lost one" in shown
    assert his not in shown
    token = shown.partition('name="token" value="')[2][:64]
    for device in (his, "dev_0000000000000000", ""):
        assert lena.post("/unpair", {"token": token, "device": device}).status_code == 404
    assert lena.post("/unpair", {"token": token, "device": ids["the lost one"]}).status_code == 303
    codes = [one.get("/approvals").status_code for one in (lena, lost, omar)]
    assert codes == [200, 403, 200]


def test_what_was_said_on_which_device_can_be_told(desk: Desk) -> None:
    """Also of an answer that did not count: somebody has tried it there."""
    approval, lena, other = desk.ask(), desk.paired("lena", "phone"), desk.paired("lena", "laptop")
    ids = {one.label: one.id for one in desk.guard.devices.find()}
    lena.answer(approval, "yes")
    other.post(f"/approvals/{approval.id}", form(other, approval))
    said = [row.record for row in desk.rows("device") if row.record["event"] == "answering"]
    assert [(one["device"], one["person"], one["approval"], one["said"]) for one in said] == [
        (ids["phone"], "lena", approval.id, "yes"),
        (ids["laptop"], "lena", approval.id, "yes"),
    ]


# Codes.


def test_a_code_is_good_once_and_the_second_try_is_recorded(desk: Desk) -> None:
    code = desk.guard.devices.offer("lena", by="local:root").code
    assert desk.browser().pair(code).status_code == 303
    again = desk.browser().pair(code)
    assert again.status_code == 403
    assert "set-cookie" not in again.headers
    assert desk.rows("refusal")[-1].reason == "no_code"
    assert len(desk.guard.devices.find()) == 1


def test_a_code_is_good_for_ten_minutes(desk: Desk) -> None:
    code = desk.guard.devices.offer("lena", by="local:root").code
    desk.clock.advance(OFFERED)
    assert desk.browser().pair(code).status_code == 403


def test_a_code_that_was_taken_back_is_good_for_nothing(desk: Desk) -> None:
    offer = desk.guard.devices.offer("lena", by="local:root")
    desk.guard.devices.end(offer.device.id, by="local:root")
    assert desk.browser().pair(offer.code).status_code == 403


def test_a_code_may_be_typed_as_people_type(desk: Desk) -> None:
    code = desk.guard.devices.offer("lena", by="local:root").code
    assert desk.browser().pair(f" {code.lower().replace('-', ' ')} ").status_code == 303


def test_looking_at_the_page_does_not_use_a_code_up(desk: Desk) -> None:
    """Previews of links, prefetching and scanners GET; the code is in no address at all."""
    code = desk.guard.devices.offer("lena", by="local:root").code
    browser = desk.browser()
    for _ in range(3):
        assert browser.get("/pair", Purpose="prefetch").status_code == 200
    assert browser.http.head("/pair").status_code == 200
    assert browser.get(f"/pair/{code}").status_code == 403
    assert code not in browser.get(f"/pair?code={code}").text
    assert browser.pair(code).status_code == 303


@pytest.mark.parametrize(
    "referer",
    [
        "https://evil.example/approvals/apr_000000000000000000000000",
        "https://approve.example.evil.example/approvals/apr_000000000000000000000000",
        "http://approve.example/approvals/apr_000000000000000000000000",
        f"{PAGE}/approvals/apr_000000000000000000000000/../../x",
        f"{PAGE}/approvals//evil.example",
        f"{PAGE}/approvals/apr_00000000000000000000000g",
        f"{PAGE}/approvals?apr_000000000000000000000000",
        f"{PAGE}/pair",
        "",
    ],
)
def test_only_a_page_of_ours_says_where_to_go_after_pairing(desk: Desk, referer: str) -> None:
    assert 'name="back"' not in desk.browser().get("/pair", Referer=referer).text


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example", "../x", "apr_1", "apr_000000000000000000000000\n"]
)
def test_nobody_is_sent_anywhere_but_to_an_approval_after_pairing(desk: Desk, back: str) -> None:
    code = desk.guard.devices.offer("lena", by="local:root").code
    answer = desk.browser().post("/pair", {"code": code, "label": "", "back": back})
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    assert desk.browser().pair(code).headers["location"] == "/approvals"


def test_of_two_who_use_a_code_at_once_one_is_paired(desk: Desk) -> None:
    code = desk.guard.devices.offer("lena", by="local:root").code

    def pair(_: int) -> bool:
        try:
            desk.guard.devices.pair(code)
        except Exception:  # noqa: BLE001
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(pair, range(8))) == 1


def test_wrong_codes_of_one_address_are_counted_and_after_ten_even_a_right_one_waits(desk: Desk) -> None:
    code = desk.guard.devices.offer("lena", by="local:root").code
    browser = desk.browser(client=("192.0.2.1", 5))
    wrong = [browser.pair(f"0000-0000-{number:04d}").status_code for number in range(MOST)]
    assert wrong == [403] * MOST
    late = browser.pair(code)
    assert (late.status_code, late.headers["retry-after"]) == (429, "600")
    assert len(desk.rows("refusal")) == MOST
    assert desk.browser(client=("192.0.2.2", 5)).pair(code).status_code == 303


def test_tries_are_forgotten_after_their_time_and_take_only_so_much_memory() -> None:
    now = [0.0]
    tries = Tries(lambda: now[0])
    for number in range(5_000):
        if not tries.exhausted(f"192.0.{number // 256}.{number % 256}"):
            tries.wrong(f"192.0.{number // 256}.{number % 256}")
    assert tries.exhausted("198.51.100.1")
    assert not tries.exhausted("192.0.0.1")
    now[0] = 601.0
    assert not tries.exhausted("198.51.100.1")


def test_a_code_is_for_people_who_may_approve_and_names_the_one_that_was_meant(desk: Desk) -> None:
    for name in ("lina", "assistant", "agent:assistant", "", "Lena", "lena "):
        with pytest.raises(Exception, match="no group of approvers") as refused:
            desk.guard.devices.offer(name, by="local:root")
        if name == "lina":
            assert "did you mean lena?" in str(refused.value)
    assert desk.guard.devices.find() == ()


def test_neither_the_log_nor_the_file_holds_a_code_or_a_secret(desk: Desk) -> None:
    code = desk.guard.devices.offer("lena", by="local:root").code
    browser = desk.browser()
    browser.pair(code, "phone")
    secret = browser.http.cookies["__Host-hopward"]
    desk.guard.close()
    held = b"".join(path.read_bytes() for path in desk.config.parent.rglob("*") if path.is_file())
    for one in (code, code.replace("-", ""), secret):
        assert one.encode() not in held


def test_a_browser_that_is_paired_anew_is_not_what_it_was_before_as_well(desk: Desk) -> None:
    browser = desk.paired("lena")
    before = browser.cookie
    browser.pair(desk.guard.devices.offer("omar", by="local:root").code)
    assert [one.person for one in desk.guard.devices.find()] == ["omar"]
    assert desk.browser().get("/approvals", Cookie=before).status_code == 403


# Forms of somebody else.


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": None},
        {"Origin": None, "Sec_Fetch_Site": "cross-site"},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://authority.example"},
        {"Origin": "http://approve.example"},
        {"Origin": "https://approve.example.evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_a_form_that_another_page_sends_changes_nothing(desk: Desk, headers: dict[str, Any]) -> None:
    approval, lena = desk.ask(), desk.paired()
    assert lena.post(f"/approvals/{approval.id}", form(lena, approval), **headers).status_code == 403
    assert lena.post("/unpair", {"token": "0" * 64}, **headers).status_code == 403
    code = desk.guard.devices.offer("omar", by="local:root").code
    assert lena.pair(code, **headers).status_code == 403
    assert stands(desk, approval)
    assert {one.person for one in desk.guard.devices.find()} == {"lena", "omar"}
    assert desk.rows("refusal")


def test_a_form_without_its_token_changes_nothing_and_is_recorded(desk: Desk) -> None:
    approval, other, lena, omar = desk.ask(), desk.ask(), desk.paired("lena"), desk.paired("omar")
    unpair = lena.get("/approvals").text.partition('name="token" value="')[2][:64]
    right = lena.token(approval)
    for token in (
        "",
        "x",
        "0" * 64,
        right[:-1],
        right.upper(),
        lena.token(other),
        omar.token(approval),
        unpair,
    ):
        sent = form(lena, approval, token=token)
        assert lena.post(f"/approvals/{approval.id}", sent).status_code == 403, token
        assert desk.rows("refusal")[-1].reason == "forged_form"
    sent = form(lena, approval)
    del sent["token"]
    assert lena.post(f"/approvals/{approval.id}", sent).status_code == 403
    assert stands(desk, approval)


def test_a_token_of_an_earlier_session_of_the_same_person_is_worth_nothing(desk: Desk) -> None:
    approval, before, after = desk.ask(), desk.paired("lena"), desk.paired("lena")
    sent = form(before, approval)
    assert after.post(f"/approvals/{approval.id}", sent).status_code == 403
    assert stands(desk, approval)


def test_a_get_never_answers(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    query = "&".join(f"{name}={value}" for name, value in form(lena, approval).items())
    assert lena.get(f"/approvals/{approval.id}?{query}").status_code == 200
    assert lena.http.put(f"/approvals/{approval.id}", headers={"Origin": PAGE}).status_code == 405
    assert stands(desk, approval)


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": "maybe"},
        {"answer": ""},
        {"by": "omar"},
        {"argument-0": '"T-9"'},
        {"answer": "no", "argument-1": "1"},
        {"answer": "edit"},
        {"answer": "edit", "argument-x": "1"},
        {"answer": "edit", "argument-": "1"},
        {"answer": "edit", "argument-\u0661": "1"},
        {"answer": "edit", "argument-9999": "1"},
        {"answer": "edit", "argument--1": "1"},
        {"answer": "several"},
        {"answer": "several", "times": "-1"},
        {"answer": "several", "times": "\u0662"},
        {"answer": "several", "times": "9" * 9},
        {"answer": "yes", "times": "5"},
        {"why": "x" * 1_001},
    ],
)
def test_a_form_that_no_page_of_ours_sends_changes_nothing(desk: Desk, changes: dict[str, str]) -> None:
    approval, lena = desk.ask(), desk.paired()
    answer = lena.post(f"/approvals/{approval.id}", form(lena, approval, **changes))
    assert answer.status_code == 400
    assert stands(desk, approval)


def test_a_field_that_stands_twice_changes_nothing(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    headers = {"Origin": PAGE, "Content-Type": "application/x-www-form-urlencoded"}
    body = f"token={lena.token(approval)}&answer=no&answer=yes&why=x"
    path = f"/approvals/{approval.id}"
    assert lena.http.post(path, content=body, headers=headers).status_code == 400
    body = json.dumps(form(lena, approval))
    headers["Content-Type"] = "text/plain"
    assert lena.http.post(path, content=body, headers=headers).status_code == 415
    assert stands(desk, approval)


def test_of_many_answers_at_once_one_counts(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    sent = form(lena, approval)

    def post(_: int) -> int:
        return lena.post(f"/approvals/{approval.id}", sent).status_code

    with ThreadPoolExecutor(6) as pool:
        codes = sorted(pool.map(post, range(6)))
    assert codes == [303, 409, 409, 409, 409, 409]
    assert len(desk.guard.approvals.get(approval.id).answers) == 1


# Who may not.


def test_the_name_of_an_agent_never_counts_whatever_device_it_has(make_desk: MakeDesk) -> None:
    """Such a device cannot be made; if the file were changed by hand, the core would still refuse."""
    desk = make_desk()
    approval = desk.ask()
    for name in ("assistant", "Assistant", "agent:assistant", "\uff41ssistant"):
        assert desk.guard.approvals.why_not(approval, name)
        assert desk.guard.approvals.why_not(approval, name, yes=False)


def test_an_approval_that_is_void_by_now_cannot_be_answered(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    sent = form(lena, approval)
    desk.guard.revoke("task", approval.chain.task, by="local:root", why="x")
    page = lena.get(f"/approvals/{approval.id}").text
    assert "void" in page
    assert f'action="/approvals/{approval.id}"' not in page
    assert lena.post(f"/approvals/{approval.id}", sent).status_code == 409


# What agents write.

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</textarea></details><form action=https://evil.example>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;b&gt;",
    "\u202etxt.exe\u2066",
    "a\u0000b\x1b[31m",
    "\u2028\u2029\ufeff",
]


class Markup(HTMLParser):
    """The tags of a page, and where it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.names, self.leads = set[str](), set[str](), set[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.leads |= {value or "" for name, value in attrs if name in ("href", "action", "src")}


def assert_ours(text: str) -> None:
    """A page has tags of ours only, and leads to pages of ours only."""
    found = Markup(text)
    assert not found.tags & {"script", "img", "b", "iframe", "svg", "link", "object", "base"}
    assert not any(name.startswith("on") for name in found.names)
    assert all(one.startswith("/") and not one.startswith("//") for one in found.leads)


@pytest.mark.parametrize("text", NASTY)
def test_what_agents_write_is_shown_as_text_and_is_no_markup(make_desk: MakeDesk, text: str) -> None:
    purpose = json.dumps("".join(one if one.isprintable() else "?" for one in text))[1:-1]
    desk = make_desk(purpose=purpose)
    approval, lena = desk.ask(ticket=text, note=text, **{text: text}), desk.paired()
    listed, page = lena.get("/approvals").text, lena.get(f"/approvals/{approval.id}").text
    for shown in (listed, page):
        assert_ours(shown)
        assert not any(ord(one) < 32 and one != "\n" for one in shown)
        assert not any(one in shown for one in "\u202e\u2066\u2028\u2029\ufeff")
    if "7 * 7" in text:
        assert "{{ 7 * 7 }}" in page
    assert_ours(lena.answer(approval, "no", "").text)


@pytest.mark.parametrize("text", NASTY)
def test_what_is_typed_is_shown_again_as_text(desk: Desk, text: str) -> None:
    approval, lena = desk.ask(), desk.paired()
    place = list(approval.arguments).index("amount")
    again = lena.answer(approval, "edit", text, **{f"argument-{place}": text})
    assert again.status_code == 409
    assert_ours(again.text)
    assert_ours(desk.browser().pair(text, text).text)
    lena.pair(desk.guard.devices.offer("lena", by="local:root").code, text)
    shown = lena.get("/approvals").text
    assert_ours(shown)
    assert not any(one in shown for one in "\u202e\u2066\u2028\u2029\ufeff\x00\x1b")


# Frames, caches, hosts.


def test_every_answer_forbids_frames_scripts_caches_and_guessing_of_types(desk: Desk) -> None:
    approval, lena, nobody = desk.ask(), desk.paired(), desk.browser()
    path = f"/approvals/{approval.id}"
    answers = [
        *(lena.get(one) for one in ("/approvals", path, "/approvals/none", "/pair")),
        *(nobody.get(one) for one in ("/approvals", path, "/pair")),
        *(lena.answer(approval, "no", why) for why in ("", "a reason")),
        lena.post(path, {"answer": "yes"}),
        lena.post(path, {"answer": "?"}),
        nobody.pair("wrong"),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        for one in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"):
            assert one in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


def test_the_cookie_is_of_this_host_alone_and_no_script_reads_it(desk: Desk) -> None:
    browser = desk.browser()
    code = desk.guard.devices.offer("lena", by="local:root").code
    cookie = browser.pair(code).headers["set-cookie"]
    name, _, rest = cookie.partition("=")
    assert name == "__Host-hopward"
    assert {one.strip().lower() for one in rest.split(";")[1:]} == {
        *("secure", "httponly", "path=/", "samesite=lax", "max-age=2592000")
    }


def test_on_loopback_over_http_the_cookie_has_no_prefix(make_desk: MakeDesk) -> None:
    desk = make_desk(page="http://127.0.0.1:8700")
    code = desk.guard.devices.offer("lena", by="local:root").code
    headers = {"Origin": "http://127.0.0.1:8700", "Host": "127.0.0.1:8700"}
    paired = desk.browser().http.post("/pair", data={"code": code, "label": ""}, headers=headers)
    assert paired.status_code == 303
    assert paired.headers["set-cookie"].startswith("hopward=")
    assert "Secure" not in paired.headers["set-cookie"]


@pytest.mark.parametrize("host", ["evil.example", "authority.example", "approve.example.evil.example", ""])
def test_the_pages_are_served_under_their_own_name_only(desk: Desk, host: str) -> None:
    approval, lena = desk.ask(), desk.paired()
    for path in ("/approvals", f"/approvals/{approval.id}", "/pair"):
        assert lena.get(path, Host=host).status_code == 403
    sent = lena.http.post("/pair", data={"code": "x"}, headers={"Host": host, "Origin": PAGE})
    assert (sent.status_code, "location" in sent.headers) == (403, False)


def test_the_endpoints_of_clients_are_not_served_under_the_name_of_the_pages(desk: Desk) -> None:
    assert desk.browser().get("/jwks").status_code == 403
    assert desk.browser().get("/jwks", Host="authority.example").status_code == 200


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "Forwarded", "X-Forwarded-Proto", "X-Original-URL"])
def test_headers_that_forward_change_no_redirect(desk: Desk, name: str) -> None:
    approval, lena = desk.ask(), desk.paired()
    sent = lena.http.post(
        f"/approvals/{approval.id}",
        data=form(lena, approval),
        headers={"Origin": PAGE, name: "evil.example"},
    )
    assert sent.headers["location"] == f"/approvals/{approval.id}"


# When things fail.


def test_a_log_that_cannot_be_written_answers_nothing_and_says_so(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    sent: Any = form(lena, approval)
    desk.guard.close()
    answers = [
        lena.get("/approvals"),
        lena.post(f"/approvals/{approval.id}", sent),
        desk.browser().pair("0000-0000-0000"),
    ]
    assert [one.status_code for one in answers] == [503, 503, 503]
    assert all("Traceback" not in one.text for one in answers)


def test_policies_that_change_meanwhile_void_what_was_shown(desk: Desk) -> None:
    approval, lena = desk.ask(), desk.paired()
    sent = form(lena, approval)
    policies = desk.config.parent / "policies" / "desk.cedar"
    policies.write_text(policies.read_text().replace("40", "41"))
    assert isinstance(desk.guard.policies, PolicyStore)
    desk.clock.advance(10_000_000)
    answer = lena.post(f"/approvals/{approval.id}", sent)
    assert answer.status_code == 409
    assert "policies have changed" in answer.text
