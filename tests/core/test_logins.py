"""Logins over a real guard: what a code and a refresh token are good for, and what ends them."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hopward import ExchangeRefusedError, Guard, NotFoundError, ToolCall
from hopward.base64url import encode
from hopward.clock import SECOND
from hopward.issuer import Issued
from hopward.project import create
from hopward.record import Row
from hopward.testing.clock import FixedClock

DESK = "http://127.0.0.1:8701/desk/mcp"
CLIENT = "client:desktop"
BACK = "http://127.0.0.1:4711/callback"
VERIFIER = "a-code-verifier-of-at-least-forty-three-characters"
CONFIG = """
[authority]
issuer = "http://127.0.0.1:8700"
[approvals.groups.operators]
members = ["lena"]
[approvals]
page = "http://127.0.0.1:8700"
[agents.assistant]
owner = "ines"
purpose = "answers tickets"
[[agents.assistant.ceiling]]
tools = ["desk/*"]
actions = ["read", "write"]
sensitivity = "internal"
destinations = ["desk"]
[servers.desk]
url = "http://127.0.0.1:1/mcp"
resource = "urn:example:desk"
credential = { by = "authorization" }
workflow = "tickets"
[servers.desk.tools]
look = { action = "read", sensitivity = "internal", integrity = "trusted", destination = "desk" }
note = { action = "write", sensitivity = "internal", integrity = "trusted", destination = "desk" }
erase = { action = "delete", sensitivity = "internal", integrity = "trusted", destination = "desk" }
[servers.other]
url = "http://127.0.0.1:1/mcp"
resource = "urn:example:other"
credential = { by = "authorization" }
[workflows.tickets]
agent = "assistant"
purpose = "answer tickets"
expires_in = 3600
budget = { calls = 50, writes = 50 }
login = ["ines", "staff:*"]
[[workflows.tickets.capabilities]]
tools = ["desk/*"]
actions = ["read", "write"]
sensitivity = "internal"
destinations = ["desk"]
[clients.desktop]
name = "Desk assistant"
redirect_uris = ["http://127.0.0.1/callback", "https://app.example/back"]
[clients.other]
redirect_uris = ["http://127.0.0.1/callback"]
"""


@dataclass
class Place:
    """The guard under test, its clock, and somebody who logs in."""

    guard: Guard
    clock: FixedClock

    def asked(self, **changes: str) -> dict[str, str]:
        """A good authorization request; a parameter changed to nothing is left out."""
        good = {
            "client_id": CLIENT,
            "response_type": "code",
            "redirect_uri": BACK,
            "code_challenge": encode(sha256(VERIFIER.encode()).digest()),
            "code_challenge_method": "S256",
            "resource": DESK,
            "state": "s",
        } | changes
        return {name: value for name, value in good.items() if value}

    def code(self, *tools: str, person: str = "ines", **changes: str) -> str:
        """The code of a yes, to all that is offered unless tools are named."""
        offered = self.guard.logins.offer(self.asked(**changes), person)
        return self.guard.logins.grant(offered, "dev_1", tools or [one.full_name for one in offered.tools])

    def redeem(self, code: str, client: str = CLIENT, **changes: str) -> Issued:
        known = {"redirect_uri": BACK, "resource": DESK, "verifier": VERIFIER} | changes
        return self.guard.logins.redeem(code, client, **known)

    def log_in(self, *tools: str) -> Issued:
        return self.redeem(self.code(*tools))

    def refused(self, code: str, **changes: str) -> str:
        """The OAuth error of redeeming a code."""
        with pytest.raises(ExchangeRefusedError) as refused:
            self.redeem(code, **changes)
        return refused.value.error

    def unrefreshed(self, token: str, client: str = CLIENT, **more: Any) -> str:
        """The OAuth error of refreshing."""
        with pytest.raises(ExchangeRefusedError) as refused:
            self.guard.logins.refresh(token, client, **more)
        return refused.value.error

    def call(self, issued: Issued, tool: str = "look") -> str:
        """The verdict on a call with an access token, or why there is none."""
        chain = self.guard.identify(issued.token, DESK)
        return self.guard.authorize(ToolCall(server="desk", tool=tool, arguments={}), chain).verdict.reason

    def rows(self) -> list[Row]:
        return [row for row in self.guard.ledger.rows() if row.kind == "login"][::-1]

    def events(self) -> list[str]:
        return [row.record["event"] for row in self.rows()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "hopward.toml").write_text(CONFIG)
    create(tmp_path)
    clock = FixedClock()
    with closing(Guard.open(tmp_path / "hopward.toml", clock=clock)) as guard:
        yield Place(guard, clock)


def refresh_token(issued: Issued) -> str:
    return issued.more["refresh_token"]


def test_a_login_opens_a_task_for_the_person_in_which_the_client_calls(place: Place) -> None:
    issued = place.log_in()
    chain = place.guard.identify(issued.token, DESK)
    task = place.guard.task(chain.task)
    assert (task.subject, task.agent, task.workflow) == ("ines", "assistant", "tickets")
    assert (chain.subject, chain.actors) == ("ines", ("assistant",))
    assert place.call(issued) == "permitted"
    assert (issued.expires_in, issued.scope) == (900, ("desk/*",))
    assert place.events() == ["granted", "opened"]
    assert place.rows()[-1].task == task.id


def test_the_token_names_the_client_and_the_agent_that_acts(place: Place) -> None:
    described = place.guard.issuer.verify(place.log_in().token).described
    assert described["client_id"] == CLIENT
    assert described["act"] == {"sub": "agent:assistant"}
    assert (described["sub"], described["aud"]) == ("ines", DESK)


def test_a_token_for_one_endpoint_opens_no_other(place: Place) -> None:
    issued = place.log_in()
    with pytest.raises(Exception, match="for someone else"):
        place.guard.identify(issued.token, DESK.replace("desk", "other"))


def test_neither_codes_nor_tokens_stand_in_the_log(place: Place, tmp_path: Path) -> None:
    code = place.code()
    issued = place.redeem(code)
    again = place.guard.logins.refresh(refresh_token(issued), CLIENT)
    with closing(sqlite3.connect(tmp_path / ".hopward" / "decisions.db")) as connection:
        text = "\n".join(connection.iterdump())
    secrets = (code, issued.token, refresh_token(issued), again.token, refresh_token(again))
    assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client": "client:other"}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:4712/callback"}, "invalid_grant"),
        ({"resource": DESK + "/"}, "invalid_target"),
        ({"resource": ""}, "invalid_target"),
        ({"verifier": VERIFIER + "x"}, "invalid_grant"),
        ({"verifier": ""}, "invalid_grant"),
        ({"verifier": encode(sha256(VERIFIER.encode()).digest())}, "invalid_grant"),
    ],
)
def test_a_code_is_bound_to_all_that_it_was_made_for(
    place: Place, changes: dict[str, str], error: str
) -> None:
    code = place.code()
    assert place.refused(code, **changes) == error
    assert place.guard.ledger.tasks() == []
    assert place.call(place.redeem(code)) == "permitted"


def test_a_code_that_is_used_again_ends_what_came_of_it(place: Place) -> None:
    code = place.code()
    issued = place.redeem(code)
    assert place.refused(code) == "invalid_grant"
    assert place.call(issued) == "task_completed"
    assert place.unrefreshed(refresh_token(issued)) == "invalid_grant"
    assert place.events() == ["granted", "opened", "reused"]


def test_a_code_is_over_after_a_minute(place: Place) -> None:
    code = place.code()
    place.clock.advance(60 * SECOND)
    assert place.refused(code) == "invalid_grant"


def test_a_code_is_no_refresh_token_and_a_refresh_token_no_code(place: Place) -> None:
    code = place.code()
    assert place.unrefreshed(code) == "invalid_grant"
    assert place.refused(refresh_token(place.redeem(code))) == "invalid_grant"


def test_of_many_that_redeem_a_code_at_once_at_most_one_has_anything_of_it(place: Place) -> None:
    code = place.code()

    def attempt(_: int) -> Issued | None:
        try:
            return place.redeem(code)
        except ExchangeRefusedError:
            return None

    with ThreadPoolExecutor(8) as pool:
        issued = [one for one in pool.map(attempt, range(8)) if one is not None]
    assert len(issued) <= 1
    assert [task.state for task in place.guard.ledger.tasks()] == ["completed"] * len(
        place.guard.ledger.tasks()
    )


def test_a_refresh_token_counts_once_and_leads_to_the_next(place: Place) -> None:
    first = place.log_in()
    second = place.guard.logins.refresh(refresh_token(first), CLIENT, DESK)
    third = place.guard.logins.refresh(refresh_token(second), CLIENT)
    assert place.call(third) == "permitted"
    assert place.events() == ["granted", "opened", "refreshed", "refreshed"]
    assert len(place.guard.ledger.tasks()) == 1


def test_a_refresh_token_that_is_used_again_ends_the_whole_family_and_its_task(place: Place) -> None:
    first = place.log_in()
    second = place.guard.logins.refresh(refresh_token(first), CLIENT)
    assert place.unrefreshed(refresh_token(first)) == "invalid_grant"
    assert place.unrefreshed(refresh_token(second)) == "invalid_grant"
    assert [place.call(one) for one in (first, second)] == ["task_completed"] * 2
    assert place.events()[-1] == "reused"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"client": "client:other"}, "invalid_grant"),
        ({"resource": DESK + "/"}, "invalid_target"),
        ({"scope": "other/*"}, "invalid_scope"),
        ({"scope": "desk/look *"}, "invalid_scope"),
    ],
)
def test_a_refresh_gives_nobody_else_and_nothing_more(place: Place, more: Any, error: str) -> None:
    token = refresh_token(place.log_in())
    assert place.unrefreshed(token, **more) == error
    assert place.call(place.guard.logins.refresh(token, CLIENT)) == "permitted"


def test_a_refresh_may_ask_for_less(place: Place) -> None:
    less = place.guard.logins.refresh(refresh_token(place.log_in()), CLIENT, scope="desk/look")
    assert place.call(less) == "permitted"
    assert place.call(less, "note") == "outside_scope"
    assert place.call(place.guard.logins.refresh(refresh_token(less), CLIENT), "note") == "permitted"


def test_what_the_person_has_not_chosen_is_outside_the_scope_of_the_token(place: Place) -> None:
    issued = place.log_in("desk/look")
    assert place.call(issued) == "permitted"
    assert place.call(issued, "note") == "outside_scope"


def test_nothing_can_be_chosen_that_was_not_offered(place: Place) -> None:
    for tools in (["desk/erase"], ["desk/look", "other/look"], []):
        offered = place.guard.logins.offer(place.asked(), "ines")
        with pytest.raises(ExchangeRefusedError):
            place.guard.logins.grant(offered, "dev_1", tools)


def test_what_is_offered_are_the_tools_of_the_workflow_within_the_scope(place: Place) -> None:
    whole = place.guard.logins.offer(place.asked(), "ines")
    less = place.guard.logins.offer(place.asked(scope="desk/look offline_access other/look"), "ines")
    assert [one.name for one in whole.tools] == ["look", "note"]
    assert [one.name for one in less.tools] == ["look"]
    assert less.scope == ("desk/look", "desk/method:*")


def test_what_was_granted_before_is_not_new(place: Place) -> None:
    offered = place.guard.logins.offer(place.asked(), "ines")
    assert place.guard.logins.new_to(offered) == {"desk/look": True, "desk/note": True}
    issued = place.log_in("desk/look")
    assert place.guard.logins.new_to(offered) == {"desk/look": False, "desk/note": True}
    place.guard.logins.revoke(refresh_token(issued), CLIENT)
    assert place.guard.logins.new_to(offered) == {"desk/look": True, "desk/note": True}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": ""}, "unsupported_response_type"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": VERIFIER}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"resource": ""}, "invalid_target"),
        ({"resource": DESK + "/"}, "invalid_target"),
        ({"resource": DESK.upper()}, "invalid_target"),
        ({"resource": DESK.replace("desk", "other")}, "invalid_target"),
        ({"resource": "urn:example:desk"}, "invalid_target"),
        ({"scope": "other/*"}, "invalid_scope"),
        ({"scope": "desk/erased "}, "invalid_scope"),
        ({"scope": "openid"}, "invalid_scope"),
        ({"request": "x.y.z"}, "request_not_supported"),
        ({"request_uri": "urn:x"}, "request_not_supported"),
        ({"state": "\n"}, "invalid_request"),
        ({"client_id": "client:nobody"}, "invalid_client"),
        ({"client_id": "assistant"}, "invalid_client"),
        ({"client_id": "client:"}, "invalid_client"),
        ({"redirect_uri": ""}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:4711/callback/"}, "invalid_request"),
    ],
)
def test_an_authorization_request_that_is_not_right_is_offered_nothing(
    place: Place, changes: dict[str, str], error: str
) -> None:
    with pytest.raises(ExchangeRefusedError) as refused:
        place.guard.logins.offer(place.asked(**changes), "ines")
    assert refused.value.error == error


def test_only_people_who_are_written_down_log_in(place: Place) -> None:
    with pytest.raises(ExchangeRefusedError) as refused:
        place.guard.logins.offer(place.asked(), "omar")
    assert refused.value.error == "access_denied"
    assert place.rows()[-1].record["person"] == "omar"
    assert place.guard.logins.offer(place.asked(), "staff:omar").person == "staff:omar"


def test_a_parameter_that_occurs_twice_is_refused(place: Place) -> None:
    for name, error in (("state", "invalid_request"), ("resource", "invalid_target")):
        with pytest.raises(ExchangeRefusedError) as refused:
            place.guard.logins.once([*place.asked().items(), (name, "x")])
        assert refused.value.error == error


def test_the_answer_names_who_answers_and_returns_the_state(place: Place) -> None:
    asked = place.asked(redirect_uri="https://app.example/back", state="a&b=c")
    answer = place.guard.logins.response(asked, code="x")
    assert answer == ("https://app.example/back?code=x&state=a%26b%3Dc&iss=http%3A%2F%2F127.0.0.1%3A8700")


def test_nobody_logs_in_while_the_agent_is_suspended(place: Place) -> None:
    code = place.code()
    place.guard.set_agent_state("assistant", "suspended", by="ines", why="odd")
    assert place.refused(code) == "invalid_grant"
    place.guard.set_agent_state("assistant", "active", by="ines", why="it was nothing")
    assert place.refused(code) == "invalid_grant"


def test_a_revoked_subject_has_no_more_tokens(place: Place) -> None:
    issued = place.log_in()
    place.clock.advance(SECOND)
    place.guard.revoke("subject", "ines", by="omar", why="has left")
    assert place.call(issued) == "subject_revoked"
    with pytest.raises(ExchangeRefusedError):
        place.guard.logins.refresh(refresh_token(issued), CLIENT)


def test_the_end_of_the_task_is_the_end_of_the_login(place: Place) -> None:
    issued = place.log_in()
    place.guard.complete_task(place.guard.ledger.tasks()[0].id)
    assert place.unrefreshed(refresh_token(issued)) == "invalid_grant"
    assert place.events()[-1] == "ended"
    assert place.guard.logins.find() == ()


def test_a_login_lasts_as_long_as_its_task(place: Place) -> None:
    token = refresh_token(place.log_in())
    place.clock.advance(3599 * SECOND)
    last = place.guard.logins.refresh(token, CLIENT)
    assert last.expires_in == 1
    place.clock.advance(SECOND)
    assert place.unrefreshed(refresh_token(last)) == "invalid_grant"


def test_logging_out_ends_the_task(place: Place) -> None:
    issued = place.log_in()
    with pytest.raises(ExchangeRefusedError):
        place.guard.logins.revoke(refresh_token(issued), "client:other")
    assert place.call(issued) == "permitted"
    assert place.guard.logins.revoke(refresh_token(issued), CLIENT)
    assert place.call(issued) == "task_completed"
    assert not place.guard.logins.revoke("no token", CLIENT)
    assert place.guard.logins.revoke(refresh_token(issued), CLIENT)
    assert place.events() == ["granted", "opened", "ended"]


def test_a_person_finds_their_own_logins_and_ends_one(place: Place) -> None:
    issued = place.log_in()
    (login,) = place.guard.logins.find("ines")
    assert place.guard.logins.find("omar") == ()
    assert place.guard.logins.get(login.id) == login
    place.guard.logins.end(login, by="ines", why="the laptop is gone")
    assert place.call(issued) == "task_completed"
    with pytest.raises(NotFoundError):
        place.guard.logins.get(login.id)


def test_who_may_log_in_may_have_a_device(place: Place) -> None:
    assert place.guard.devices.offer("staff:omar", by="local:root").device.person == "staff:omar"
    with pytest.raises(NotFoundError, match="in no group of approvers"):
        place.guard.devices.offer("omar", by="local:root")
