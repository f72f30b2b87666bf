"""The webhook is told of every question and answer: signed, at least once, never on the path of a call."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import httpx2
import pytest

from hopward import ConfigError, Guard
from hopward.clock import SECOND
from hopward.notices import LARGEST, LEASE, RETRIES, STALE
from hopward.webhook import signed
from hopward_authority import create_app
from hopward_authority.alongside import alongside
from hopward_authority.deliveries import Deliveries

from .approving import Desk, MakeDesk

URL = "https://hooks.example/hopward?room=7"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
HOOK = f'[approvals.webhook]\nurl = "{URL}"\nsecret_file = "hook.secret"\n'


class Receiver:
    """What the other end does: it keeps what arrives, and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.answers: list[Callable[[], httpx2.Response]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.answers.pop(0)() if self.answers else httpx2.Response(204)

    def says(self, status: int, **headers: str) -> None:
        """What to answer next."""
        self.answers.append(lambda: httpx2.Response(status, headers=headers))

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(one.content) for one in self.requests]

    @property
    def ids(self) -> list[str]:
        return [one.headers["webhook-id"] for one in self.requests]


@pytest.fixture
def hooked(make_desk: MakeDesk) -> Desk:
    """A desk with a webhook that has been looked at once: from then on everything is told."""
    desk = make_desk(approvals=HOOK, secret=SECRET)
    send(desk, Receiver())
    return desk


def send(desk: Desk, receiver: Receiver, guard: Guard | None = None) -> int:
    """Send what is due now; how many have arrived."""
    deliveries = Deliveries(guard or desk.guard, httpx2.MockTransport(receiver))
    return asyncio.run(deliveries.send_due())


def verified(request: httpx2.Request, secret: str = SECRET) -> bool:
    """As a receiver checks it (Standard Webhooks, "Verifying signatures"), with nothing of ours."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = b".".join(
        (
            request.headers["webhook-id"].encode(),
            request.headers["webhook-timestamp"].encode(),
            request.content,
        )
    )
    made = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return made in request.headers["webhook-signature"].split()


def test_the_signature_is_that_of_the_published_example() -> None:
    """The test vector of the reference libraries of Standard Webhooks."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signed((key,), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_question_and_its_answer_are_told_with_what_people_are_shown(hooked: Desk) -> None:
    receiver = Receiver()
    approval = hooked.ask(ticket="T-77")
    hooked.guard.approvals.approve(approval.id, by="lena", why="late indeed")
    assert send(hooked, receiver) == 2
    asked, approved = receiver.told
    assert (asked["type"], approved["type"]) == ("approval.asked", "approval.approved")
    data = asked["data"]
    assert (data["approval"], data["state"]) == (approval.id, "pending")
    assert data["address"] == f"https://approve.example/approvals/{approval.id}"
    assert data["summary"]["call"] == "desk/refund"
    ticket = {"name": "ticket", "value": '"T-77"', "provenance": "untrusted", "declared": True}
    assert ticket in data["summary"]["arguments"]
    assert "T-77" in data["text"]
    assert (approved["data"]["by"], approved["data"]["why"]) == ("lena", "late indeed")
    assert (approved["data"]["state"], asked["timestamp"][-1]) == ("approved", "Z")


def test_every_message_is_signed_and_goes_to_the_configured_address_only(hooked: Desk) -> None:
    receiver = Receiver()
    hooked.ask()
    send(hooked, receiver)
    (request,) = receiver.requests
    assert (request.method, str(request.url)) == ("POST", URL)
    assert verified(request)
    assert not verified(request, "whsec_" + base64.b64encode(bytes(32)).decode())
    assert request.headers["webhook-timestamp"] == str(hooked.clock.now() // SECOND)
    assert "." not in request.headers["webhook-id"]
    assert request.headers["content-type"] == "application/json"
    assert "cookie" not in request.headers
    assert "authorization" not in request.headers


def test_all_answers_have_a_message_of_their_own(hooked: Desk) -> None:
    receiver, approvals = Receiver(), hooked.guard.approvals
    approvals.reject(hooked.ask().id, by="lena", why="no")
    first = hooked.ask(note="other")
    new = approvals.approve(first.id, by="lena", arguments={**first.arguments, "amount": 50})
    approvals.reject(new.id, by="omar", why="not yet")
    send(hooked, receiver)
    assert [one["type"].partition(".")[2] for one in receiver.told] == [
        *("asked", "rejected", "asked", "edited", "approved", "taken_back"),
    ]
    assert receiver.told[3]["data"]["replaced_by"] == new.id == receiver.told[4]["data"]["approval"]


def test_what_was_asked_before_anybody_looked_is_not_told(make_desk: MakeDesk) -> None:
    desk, receiver = make_desk(approvals=HOOK, secret=SECRET), Receiver()
    desk.ask()
    assert send(desk, receiver) == 0
    desk.ask()
    assert send(desk, receiver) == 1


def test_a_call_writes_nothing_for_the_webhook_and_waits_for_nobody(hooked: Desk) -> None:
    """What it leaves is the row of the log that it leaves anyway."""
    before = hooked.guard.ledger.outbox()
    hooked.ask()
    after = hooked.guard.ledger.outbox()
    assert (before.waiting, after.waiting, after.behind) == ((), (), 1)


@pytest.mark.parametrize("status", [199, 300, 301, 302, 307, 308, 400, 404, 410, 429, 500, 503])
def test_what_is_not_answered_with_success_is_sent_again_under_the_same_id(hooked: Desk, status: int) -> None:
    receiver = Receiver()
    receiver.says(status, location="https://169.254.169.254/latest")
    hooked.ask()
    assert send(hooked, receiver) == 0
    assert send(hooked, receiver) == 0
    hooked.clock.advance(RETRIES[0])
    assert send(hooked, receiver) == 1
    assert len(receiver.requests) == 2
    assert {one.url.host for one in receiver.requests} == {"hooks.example"}
    first, second = receiver.requests
    assert (first.headers["webhook-id"], first.content) == (second.headers["webhook-id"], second.content)
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert verified(second)


@pytest.mark.parametrize(
    "error", [httpx2.ConnectError("no"), httpx2.ReadTimeout("no"), httpx2.RemoteProtocolError("no")]
)
def test_a_receiver_that_cannot_be_reached_hears_of_it_later(hooked: Desk, error: Exception) -> None:
    receiver = Receiver()

    def fails() -> httpx2.Response:
        raise error

    receiver.answers.append(fails)
    hooked.ask()
    assert send(hooked, receiver) == 0
    assert hooked.guard.ledger.outbox().waiting[0].why == type(error).__name__
    hooked.clock.advance(RETRIES[0])
    assert send(hooked, receiver) == 1


def test_a_receiver_may_ask_for_more_patience_but_not_for_ever(hooked: Desk) -> None:
    receiver = Receiver()
    for value in ("30", "9" * 30, "-5", "soon"):
        receiver.says(503, **{"retry-after": value})
    hooked.ask()
    waits: list[int] = []
    for _ in range(4):
        send(hooked, receiver)
        due = hooked.guard.ledger.outbox().waiting[0].due_at
        waits.append((due - hooked.clock.now()) // SECOND)
        hooked.clock.advance(due - hooked.clock.now())
    assert waits == [30, 3_600, 60, 120]


def test_one_message_that_fails_does_not_hold_the_others_up(hooked: Desk) -> None:
    receiver = Receiver()
    receiver.says(500)
    hooked.ask()
    hooked.ask(note="other")
    assert send(hooked, receiver) == 1
    assert len(set(receiver.ids)) == 2


def test_what_fails_for_a_day_is_given_up_and_the_log_says_so(hooked: Desk) -> None:
    receiver = Receiver()
    approval = hooked.ask()
    for wait in (*RETRIES, 0):
        receiver.says(500)
        assert send(hooked, receiver) == 0
        hooked.clock.advance(wait)
    assert hooked.guard.ledger.outbox().waiting == ()
    assert len(receiver.requests) == len(RETRIES) + 1
    row = hooked.rows("approval")[-1].record
    assert (row["event"], row["approval"]["id"]) == ("untold", approval.id)
    assert "the answer was 500" in row["why"]
    assert sum(RETRIES) // (3600 * SECOND) == 24
    assert send(hooked, receiver) == 0, "that it was given up is not told itself"


def test_what_nobody_has_tried_to_tell_for_a_day_is_left_out(hooked: Desk) -> None:
    """A webhook that was off for months does not begin with what nobody waits for any more."""
    receiver = Receiver()
    hooked.ask()
    hooked.clock.advance(STALE + 1)
    hooked.ask(note="new")
    assert send(hooked, receiver) == 1
    assert "new" in receiver.told[0]["data"]["text"]
    assert hooked.guard.ledger.outbox().waiting == ()


def test_what_cannot_be_told_for_any_reason_is_told_later(
    hooked: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk, or a bug: the next look begins anew, and only the kind of failure is told."""
    receiver = Receiver()

    def fails() -> httpx2.Response:
        raise ZeroDivisionError("with a secret in it")

    async def run() -> None:
        both = asyncio.Event()

        def hears(request: httpx2.Request) -> httpx2.Response:
            if receiver.requests:
                both.set()
            return receiver(request)

        deliveries = Deliveries(hooked.guard, httpx2.MockTransport(hears), looks=0)
        async with alongside(deliveries.run()):
            await both.wait()

    receiver.answers.append(fails)
    hooked.ask()
    hooked.ask(note="other")
    asyncio.run(run())
    assert len(set(receiver.ids)) == 2
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


def test_who_dies_between_sending_and_noting_it_sends_it_again_under_the_same_id(hooked: Desk) -> None:
    """At least once: the receiver knows the id already."""
    receiver = Receiver()
    hooked.ask()
    taken = hooked.guard.notices().take()
    assert taken is not None
    receiver(httpx2.Request("POST", taken.url, headers=dict(taken.headers), content=taken.body))
    assert send(hooked, receiver) == 0, "for a while it is another one's"
    hooked.clock.advance(LEASE)
    with hooked.reopened() as again:
        assert send(again, receiver) == 1
    assert len(set(receiver.ids)) == 1
    assert receiver.requests[0].content == receiver.requests[1].content


def test_of_two_processes_that_send_each_message_is_sent_by_one(hooked: Desk) -> None:
    receiver = Receiver()
    for number in range(4):
        hooked.ask(note=str(number))
    with hooked.reopened() as other:
        assert sum(send(one, receiver) for one in (hooked, other, hooked)) == 4
    assert len(set(receiver.ids)) == 4


def test_only_what_the_log_keeps_is_told(make_desk: MakeDesk) -> None:
    desk, receiver = make_desk(approvals=HOOK + '[log]\narguments = "digest"\n', secret=SECRET), Receiver()
    send(desk, receiver)
    desk.ask(note="a secret")
    send(desk, receiver)
    assert b"a secret" not in receiver.requests[0].content
    assert "Not all of the arguments" in receiver.told[0]["data"]["summary"]["hidden"]


def test_a_message_has_a_bound_and_says_that_it_was_shortened(hooked: Desk) -> None:
    receiver = Receiver()
    hooked.ask(note="n" * 100_000, **{f"x{number}": "y" * 500 for number in range(100)})
    send(hooked, receiver)
    assert len(receiver.requests[0].content) <= LARGEST
    assert receiver.told[0]["data"]["shortened"] is True
    assert receiver.told[0]["data"]["summary"]["call"] == "desk/refund"


@pytest.mark.parametrize("note", ["n" * 30_000, "\U0001f600" * 30_000], ids=["letters", "wide"])
def test_one_long_argument_pushes_nothing_else_out_of_the_text(hooked: Desk, note: str) -> None:
    receiver = Receiver()
    approval = hooked.ask(a=note, aa=note)
    send(hooked, receiver)
    data = receiver.told[0]["data"]
    assert len(receiver.requests[0].content) <= LARGEST
    assert "30002 characters in all" in data["text"]
    for line in ("amount = 45", "Reaches: payments", "Asked by: ", "Until: "):
        assert f"\n{line}" in data["text"]
    assert data["text"].endswith(f"\nAnswer it at https://approve.example/approvals/{approval.id}")


def test_however_many_arguments_there_are_the_text_says_how_many_it_leaves_out(hooked: Desk) -> None:
    receiver = Receiver()
    hooked.ask(**{f"x{number}": "\U0001f600" * 500 for number in range(100)})
    send(hooked, receiver)
    assert len(receiver.requests[0].content) <= LARGEST
    assert "\n83 more arguments are not shown here.\n" in receiver.told[0]["data"]["text"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (
            "[Approve](https://evil.example) <!channel>",
            r"[Approve]\x28https\x3a\x2f\x2fevil.example) \x3c!channel\x3e",
        ),
        (
            "@everyone see me@here, mail ines@desk.example",
            r"\x40everyone see me\x40here, mail ines@desk.example",
        ),
        ("||hidden|| `code` **b** _i_ a_b ~~s~~", None),
    ],
)
def test_nothing_that_an_agent_writes_is_markup_in_a_chat(
    hooked: Desk, written: str, shown: str | None
) -> None:
    receiver = Receiver()
    hooked.ask(note=written)
    send(hooked, receiver)
    data = receiver.told[0]["data"]
    (line,) = (line for line in data["text"].split("\n") if line.startswith("note = "))
    assert not set("<>`*~|") & set(line)
    assert "a_b" in line or shown is not None
    assert shown is None or line == f'note = "{shown}"'
    assert {one["name"]: one["value"] for one in data["summary"]["arguments"]}["note"] == f'"{written}"'


def test_the_text_of_what_was_answered_says_where_to_see_it(hooked: Desk) -> None:
    receiver, approval = Receiver(), hooked.ask()
    hooked.guard.approvals.approve(approval.id, by="lena")
    send(hooked, receiver)
    assert receiver.told[-1]["data"]["text"].endswith(
        f"\nSee it at https://approve.example/approvals/{approval.id}"
    )


def test_two_secrets_sign_so_that_one_can_take_over_from_the_other(hooked: Desk) -> None:
    other = "whsec_" + base64.b64encode(bytes(range(1, 25))).decode()
    file = hooked.config.parent / "hook.secret"
    file.write_text(f"{SECRET}\n\n{other}\n")
    receiver = Receiver()
    hooked.ask()
    send(hooked, receiver)
    (request,) = receiver.requests
    assert verified(request)
    assert verified(request, other)
    assert len(request.headers["webhook-signature"].split()) == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "There is no webhook secret"),
        ("", "There is no webhook secret"),
        ("whsec_", "hook.secret:1: this is no webhook secret"),
        ("hunter2hunter2hunter2hunter2", "hook.secret:1"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), "hook.secret:1"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "hook.secret:1"),
        ("whsec_not base64!", "hook.secret:1"),
        (SECRET + "\nwhsec_x", "hook.secret:2"),
    ],
)
def test_a_secret_that_cannot_be_used_refuses_to_start_and_is_not_repeated(
    make_desk: MakeDesk, content: str | None, told: str
) -> None:
    desk = make_desk(approvals=HOOK, secret=SECRET)
    file = desk.config.parent / "hook.secret"
    file.unlink()
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    with pytest.raises(ConfigError, match=told) as refused:
        create_app(desk.guard)
    assert "hunter2" not in str(refused.value)
    assert "hopward authority secret" in str(refused.value)


def test_a_secret_that_others_can_read_refuses_to_start(make_desk: MakeDesk) -> None:
    desk = make_desk(approvals=HOOK, secret=SECRET)
    (desk.config.parent / "hook.secret").chmod(0o640)
    with pytest.raises(ConfigError, match="can be read or changed by others"):
        create_app(desk.guard)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://hooks.example/x", "https://"),
        ("ftp://hooks.example/x", "https://"),
        ("https://user:pw@hooks.example/x", "user"),
        ("https://hooks.example/x#y", "fragment"),
        ("hooks.example", "https://"),
        ("file:///etc/passwd", "https://"),
    ],
)
def test_an_address_that_must_not_be_sent_to_is_refused_at_the_start(
    make_desk: MakeDesk, url: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=f"approvals.webhook.url: .*{told}"):
        make_desk(approvals=HOOK.replace(URL, url), secret=SECRET)


def test_a_key_of_the_webhook_that_is_not_known_is_refused_with_the_nearest(make_desk: MakeDesk) -> None:
    with pytest.raises(ConfigError, match='secret_fle: unknown key; did you mean "secret_file"'):
        make_desk(approvals=HOOK.replace("secret_file", "secret_fle"), secret=SECRET)


def test_without_a_webhook_nothing_is_put_aside(desk: Desk) -> None:
    create_app(desk.guard)
    desk.ask()
    assert desk.guard.ledger.outbox().begun is False
    with pytest.raises(ConfigError, match="No webhook"):
        desk.guard.notices()


def test_proxies_of_the_environment_are_not_used(hooked: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would be told by its address alone; nothing listens there, so that using it would fail."""
    with listening() as (address, heard):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
        text = hooked.config.read_text().replace(URL, address)
        hooked.config.write_text(text)
        with hooked.reopened() as again:
            again.ask()
            assert asyncio.run(Deliveries(again.guard).send_due()) == 1
    assert heard == ["/hopward"]


@contextmanager
def listening() -> Generator[tuple[str, list[str]]]:
    """A receiver at a real port of this machine: its address, and the paths it has heard of."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hopward", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
