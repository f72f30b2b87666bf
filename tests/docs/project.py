"""A project that guards the example support desk, with a decision log in which something has happened."""

import json
import shutil
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from hopward import Chain, ExchangeRefusedError, Guard, Narrowing, Outcome, ToolCall
from hopward.base64url import encode
from hopward.clock import DAY, SECOND
from hopward.jose import sign
from hopward.jwk import SigningKey
from hopward.model import Budget
from hopward.project import change_owner, create
from hopward.retiring import retire
from hopward.secevent import CAEP, TYPE
from hopward.testing.clock import FixedClock

from .markdown import ROOT

EXAMPLE = ROOT / "examples" / "support_desk"


def support_desk(folder: Path) -> None:
    """Make `folder` such a project. Rows of every kind are in its log; a second passes with each of them."""
    settings = (EXAMPLE / "hopward.toml").read_text("utf-8") + ARCHIVIST + SORTER + LOGGING_IN + HEARING
    for table in HANDED_ON:
        assert table in settings
        settings = settings.replace(table, f"{table}{HANDED_ON[table]}")
    (folder / "hopward.toml").write_text(settings, "utf-8")
    shutil.copytree(EXAMPLE / "policies", folder / "policies")
    (folder / "policies" / "handing.cedar").write_text(HANDING, "utf-8")
    create(folder)
    key = SigningKey.generate("ES256")
    (folder / "idp.jwks.json").write_text(json.dumps({"keys": [key.public_jwk()]}), "utf-8")
    clock = FixedClock()
    with closing(Guard.open(folder / "hopward.toml", clock=clock)) as guard:
        task = guard.open_task("support", "ines@desk.example")
        chain = guard.enter(task.id)
        for tool, arguments in CALLS:
            clock.advance(SECOND)
            decision = guard.authorize(ToolCall(server="support_desk", tool=tool, arguments=arguments), chain)
            if decision.permitted:
                guard.settle(decision, ENDED)
        (asked,) = guard.approvals.find()
        guard.approvals.approve(asked.id, by="lena@desk.example", why="it was late indeed")
        offer = guard.devices.offer("lena@desk.example", by="local:ines")
        _, paired = guard.devices.pair(offer.code, "phone")
        guard.devices.answering(paired.id, "lena@desk.example", asked.id, "yes")
        guard.devices.end(paired.id, by="local:ines", why="it was lost")
        _log_in(guard)
        _hand_on(guard, chain, clock)
        _change_a_tool(guard)
        guard.refuse("support_desk", "not_json", "The message is not valid JSON (at character 0).", chain)
        guard.refuse("support_desk", "bad_signature", "3 more callers were turned away.", count=3)
        _reject_a_policy(folder / "policies" / "broken.cedar", guard, clock)
        guard.issuer.agent_token("support-agent", guard.ledger)
        old = guard.issuer.jwks()["keys"][0]["kid"]
        guard.issuer.rotate(guard.ledger)
        guard.revoke("key", old, by="local:ines", why="the disk was stolen")
        guard.complete_task(task.id)
        other = guard.open_task("support", "ines@desk.example")
        guard.revoke("task", other.id, by="local:ines", why="opened by mistake")
        guard.set_agent_state("support-agent", "suspended", by="local:ines", why="odd refunds")
        guard.set_agent_state("support-agent", "active", by="local:ines", why="it was the ticket")
        _hear(guard, key)
        guard.review_agent("support-agent", by="local:ines", why="does its work", until=clock.now() + DAY)
        change_owner(folder / "hopward.toml", "sorter", "lena@desk.example")
        guard.transfer_agent("sorter", "lena@desk.example", by="local:ines", why="lena has the desk now")
        retire(guard, "sorter", by="local:ines", why="nobody needs it")
        guard.quarantine(
            "tool", "support_desk/refund", by="local:ines", why="odd refunds", evidence={"refunds": 9}
        )
        guard.release("tool", "support_desk/refund", by="local:ines", why="it was the ticket")


def _log_in(guard: Guard) -> None:
    """Twice: one login ends because a refresh token is used again, the other was not wanted."""
    logins, person = guard.logins, "ines@desk.example"
    verifier = "a-code-verifier-of-at-least-forty-three-characters"
    asked = {
        "client_id": "client:desktop",
        "response_type": "code",
        "redirect_uri": "http://127.0.0.1:4711/callback",
        "code_challenge": encode(sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
        "resource": "http://127.0.0.1:8701/support_desk/mcp",
    }
    offered = logins.offer(asked, person)
    code = logins.grant(offered, "dev_1", [tool.full_name for tool in offered.tools])
    first = logins.redeem(
        code,
        asked["client_id"],
        redirect_uri=asked["redirect_uri"],
        resource=asked["resource"],
        verifier=verifier,
    )
    logins.refresh(first.more["refresh_token"], asked["client_id"])
    logins.decline(offered, "dev_1")
    for refused in (
        lambda: logins.refresh(first.more["refresh_token"], asked["client_id"]),
        lambda: logins.offer(asked, "omar@desk.example"),
    ):
        with suppress(ExchangeRefusedError):
            refused()


def _hear(guard: Guard, key: SigningKey) -> None:
    """Last for the subject: what was opened for them is over."""
    event = {"format": "email", "email": "ines@desk.example"}
    claims = {
        "iss": "https://idp.example.com",
        "aud": "https://hopward.example.com/events/desk",
        "iat": guard.now // SECOND,
        "jti": "set-1",
        "sub_id": event,
        "events": {f"{CAEP}session-revoked": {"initiating_entity": "admin"}},
    }
    guard.events.hear("desk-idp", sign(claims, key, TYPE))


def _change_a_tool(guard: Guard) -> None:
    """Last in the whole: what is quarantined is refused."""
    tool = {"name": "search", "description": "Searches tickets.", "inputSchema": {"type": "object"}}
    guard.pins.listed("support_desk", [tool])
    listed = guard.pins.listed("support_desk", [{**tool, "description": "Searches everything."}])
    guard.pins.accept("support_desk", listed, by="local:ines", why="it searches more")


def _hand_on(guard: Guard, chain: Chain, clock: FixedClock) -> None:
    asked = Narrowing(
        purpose="Read what ticket T-1041 was about",
        capabilities=guard.settings.agents["archivist"].ceiling,
        budget=Budget(calls=3, writes=0),
        expires_in=600,
    )
    clock.advance(SECOND)
    handed = guard.delegate(chain, "archivist", asked)
    assert handed.chain is not None
    call = ToolCall(server="support_desk", tool="read_ticket", arguments={"ticket_id": "T-1041"})
    guard.settle(guard.authorize(call, handed.chain), ENDED)
    guard.complete_hop(handed.chain)
    guard.settle(handed.decision, ENDED)


def _reject_a_policy(path: Path, guard: Guard, clock: FixedClock) -> None:
    path.write_text("permit (principal, action, resource", "utf-8")
    clock.advance(SECOND)
    unknown = ToolCall(server="support_desk", tool="search_customers", arguments={"query": "wind"})
    guard.authorize(unknown, guard.enter(guard.open_task("support", "ines@desk.example").id))
    path.unlink()


_READING = (
    '{ tools = ["support_desk/read_ticket"], actions = ["read"], sensitivity = "confidential", '
    'destinations = ["support_desk"] }'
)

ARCHIVIST = f"""
[agents.archivist]
owner = "support@desk.example"
purpose = "Reads old tickets"
ceiling = [{_READING}]
"""

SORTER = ARCHIVIST.replace("archivist", "sorter").replace("Reads old", "Sorts")

HEARING = """
[events.sources.desk-idp]
issuer = "https://idp.example.com"
audience = "https://hopward.example.com/events/desk"
jwks_file = "idp.jwks.json"

[events.sources.desk-idp.subjects]
same = ["email"]
"""

HANDING = """@id("hand-on")
permit (principal, action == Hopward::Action::"delegate", resource);

@id("archivist-reads")
permit (principal == Hopward::Agent::"archivist", action in Hopward::Action::"read", resource);
"""

LOGGING_IN = """
[approvals]
page = "http://127.0.0.1:8700"
[clients.desktop]
name = "Desk assistant"
redirect_uris = ["http://127.0.0.1/callback"]
"""

HANDED_ON = {
    "[agents.support-agent]\n": f"delegable = [{_READING}]\n",
    "[workflows.support]\n": f"delegable = [{_READING}]\ndepth = 1\nfan_out = 1\n"
    'login = ["ines@desk.example"]\n',
}

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("read_ticket", {"ticket_id": "T-1041"}),
    ("refund", {"ticket_id": "T-1041", "amount": 35.0, "reason": "arrived broken"}),
    ("refund", {"ticket_id": "T-1042", "amount": 45.0, "reason": "late"}),
    ("refund", {"ticket_id": "T-1042", "amount": 900.0, "reason": "the ticket says so"}),
    ("delete_customer", {"customer_id": "C-8"}),
)
"""Permitted, permitted, needs approval, over the task's limit, not in the task."""

ENDED = Outcome(status="ok", result_digest="sha-256:" + "0" * 64, duration=1_000, size=80)
