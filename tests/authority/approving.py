"""A desk whose large refunds people approve, served with its pages, and the browsers of those people."""

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from starlette.testclient import TestClient

from hopward import Guard, ToolCall
from hopward.approval import Approval
from hopward.project import create
from hopward.record import Row
from hopward.testing.clock import FixedClock
from hopward_authority import create_app

ISSUER = "https://authority.example"
PAGE = "https://approve.example"

CONFIG = """
state = ".hopward"
policies = "policies"
[authority]
issuer = "{issuer}"
[approvals]
{page}
{approvals}
[approvals.groups.supervisors]
members = ["lena", "omar", "ines", "local:carol"]
[approvals.groups.finance]
members = ["sigrid"]
[agents.assistant]
owner = "ines"
purpose = "answers tickets"
[[agents.assistant.ceiling]]
tools = ["desk/*"]
actions = ["pay"]
sensitivity = "internal"
destinations = ["payments"]
[servers.desk]
command = ["desk-mcp"]
resource = "urn:example:desk"
credential = {{ by = "meta" }}
[servers.desk.tools.refund]
action = "pay"
sensitivity = "internal"
integrity = "trusted"
destination = "payments"
arguments = {{ ticket = "string", amount = "integer", note = "string" }}
names = ["ticket"]
undo = "Ask the bank to take it back."
[workflows.tickets]
agent = "assistant"
purpose = "{purpose}"
expires_in = 3600
budget = {{ calls = 50, writes = 50 }}
[[workflows.tickets.capabilities]]
tools = ["desk/*"]
actions = ["pay"]
sensitivity = "internal"
destinations = ["payments"]
"""
POLICIES = """
@id("within-task")
permit (principal, action, resource);
@id("large-refund")
@reason("A supervisor decides.")
@step_up("supervisors")
forbid (principal, action in Hopward::Action::"pay", resource)
when { context.arguments has amount && context.arguments.amount > 40 };
"""


@dataclass(slots=True)
class Desk:
    """The installation under test, and everybody at a browser."""

    config: Path
    guard: Guard
    clock: FixedClock
    app: Any

    def ask(self, subject: str = "ines", **arguments: Any) -> Approval:
        """What a refund asks for; by default one of 45."""
        call = ToolCall(
            server="desk",
            tool="refund",
            arguments={"ticket": "T-1", "amount": 45, "note": "late"} | arguments,
        )
        task = self.guard.open_task("tickets", subject)
        decision = self.guard.authorize(call, self.guard.enter(task.id))
        assert decision.verdict.name == "step-up", decision.verdict
        return self.guard.approvals.get(decision.verdict.approval)

    def browser(self, **options: Any) -> "Browser":
        """A browser that nobody has paired."""
        return Browser(TestClient(self.app, base_url=PAGE, follow_redirects=False, **options))

    def paired(self, person: str = "lena", label: str = "phone") -> "Browser":
        """A browser that has been paired."""
        browser = self.browser()
        answer = browser.pair(self.guard.devices.offer(person, by="local:root").code, label)
        assert answer.status_code == 303, answer.text
        return browser

    @contextmanager
    def reopened(self) -> Generator["Desk"]:
        """The same installation as its files are now, in another process, as it were."""
        guard = Guard.open(self.config, clock=self.clock)
        try:
            yield Desk(self.config, guard, self.clock, create_app(guard))
        finally:
            guard.close()

    def rows(self, kind: str) -> list[Row]:
        """Rows of a kind, oldest first."""
        return [row for row in self.guard.ledger.rows() if row.kind == kind][::-1]


@dataclass(slots=True)
class Browser:
    """What a browser does: it keeps the cookie, and says which page has sent a form."""

    http: TestClient

    @property
    def cookie(self) -> str:
        """What it sends to show who it is."""
        return f"__Host-hopward={self.http.cookies['__Host-hopward']}"

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.http.get(path, headers=headers)

    def post(self, path: str, fields: dict[str, str], **changes: str | None) -> httpx2.Response:
        """A form, as a page of ours would send it; a header that is changed to None is left out."""
        headers = {"Origin": PAGE, "Sec-Fetch-Site": "same-origin"}
        headers |= {name.replace("_", "-"): value for name, value in changes.items()}
        sent = {name: value for name, value in headers.items() if value is not None}
        return self.http.post(path, data=fields, headers=sent)

    def pair(self, code: str, label: str = "", **changes: str | None) -> httpx2.Response:
        return self.post("/pair", {"code": code, "label": label}, **changes)

    def forget(self) -> str:
        """The token in the form that ends a device."""
        found = re.search(
            r'/unpair">\s*<input type="hidden" name="token" value="([0-9a-f]{64})"',
            self.get("/approvals").text,
        )
        assert found is not None
        return found[1]

    def token(self, approval: Approval) -> str:
        """The token in the form of an approval."""
        found = re.search(r'name="token" value="([0-9a-f]{64})"', self.get(f"/approvals/{approval.id}").text)
        assert found is not None
        return found[1]

    def answer(self, approval: Approval, said: str, why: str = "", **fields: str) -> httpx2.Response:
        form = {"token": self.token(approval), "answer": said, "why": why} | fields
        return self.post(f"/approvals/{approval.id}", form)


MakeDesk = Callable[..., Desk]


def a_desk(
    folder: Path,
    approvals: str = "",
    page: str = PAGE,
    purpose: str = "answer one ticket",
    secret: str = "",
) -> Desk:
    """A new one. `approvals` is more of `[approvals]`, `secret` what the webhook's secret file holds."""
    config = folder / "hopward.toml"
    config.write_text(
        CONFIG.format(
            issuer=ISSUER,
            page=f'page = "{page}"' if page else "",
            approvals=approvals,
            purpose=purpose,
        )
    )
    if secret:
        (folder / "hook.secret").write_text(secret)
        (folder / "hook.secret").chmod(0o600)
    create(folder)
    for path in (folder / "policies").glob("*.cedar"):
        path.unlink()
    (folder / "policies" / "desk.cedar").write_text(POLICIES)
    clock = FixedClock()
    guard = Guard.open(config, clock=clock)
    return Desk(config, guard, clock, create_app(guard))
