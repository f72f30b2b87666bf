"""What `hopward doctor` looks at of approving: who could, the page they answer on, and the webhook."""

import os
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

from hopward.cli.finding import Finding
from hopward.clock import SECOND, Instant, SystemClock, iso
from hopward.config.forms import is_loopback
from hopward.errors import ConfigError, HopwardError
from hopward.ledger import SqliteLedger
from hopward.osuser import os_user
from hopward.pairing import Devices
from hopward.pattern import folded
from hopward.record import Outbox, Waiting
from hopward.settings import ApproverGroup, Settings, WebhookSettings
from hopward.webhook import read_secrets

_SERVE = "hopward authority serve tells it, as long as it runs."

_AT_ONCE = 60 * SECOND
"""What is due for longer than this, nobody sends."""


def approvers(settings: Settings) -> Iterator[Finding]:
    """Groups that could not approve what this user has done, and those whose yes is less than it seems."""
    for name, group in settings.approvals.groups.items():
        yield from _group(name, group)


def _group(name: str, group: ApproverGroup) -> Iterator[Finding]:
    subject = os_user()
    others = [member for member in group.members if folded(member) != folded(subject)]
    if group.subject_may_approve:
        told = f"Members of {name} approve what is done in their own name: no second pair of eyes."
        yield Finding(
            "note", "approvals", told, "Name other people in members; take subject_may_approve away."
        )
    elif len(others) < min(group.people, len(group.members)):
        told = (
            f"Nobody can approve as {name} what is done for {subject}, for whom hopward mcp run opens tasks: "
            f"it needs {group.people}, and nobody approves what is done in their own name."
        )
        advice = "Name other people in members; or subject_may_approve = true, which only confirms."
        yield Finding("note", "approvals", told, advice)
    if group.in_client:
        told = f"Whoever controls the MCP client of a member of {name} can approve in their name."
        yield Finding(
            "note", "approvals", told, "Take in_client away; the page of [approvals] page asks them."
        )


def reachable(settings: Settings) -> Iterator[Finding]:
    """Whether somebody could answer in a browser, and whether the webhook is told."""
    page, hook, clock = settings.approvals.page, settings.approvals.webhook, SystemClock()
    try:
        with closing(SqliteLedger.open(settings.log_file, clock=clock)) as ledger:
            devices = Devices(ledger, settings, clock).find()
            paired = settings.people is not None or any(one.paired_at for one in devices)
            outbox = ledger.outbox()
            since = ledger.row(outbox.oldest).at if outbox.oldest else ""
    except HopwardError:
        return  # said of the log already
    if page:
        yield from _page(page, paired=paired)
    if hook is not None:
        yield from _secret(settings, hook)
        yield from _untold(outbox, since, clock.now())


def _page(page: str, *, paired: bool) -> Iterator[Finding]:
    if is_loopback(urlsplit(page).hostname or ""):
        told = f"People can answer at {page} on this machine only."
        yield Finding("note", "approvals", told, "Give [approvals] page an https:// address.")
    if not paired:
        told = f"Nobody can answer at {page} yet: no browser is paired."
        yield Finding("note", "approvals", told, "hopward authority pair NAME")


def _secret(settings: Settings, hook: WebhookSettings) -> Iterator[Finding]:
    path = settings.root / hook.secret_file
    if settings.authority.mode == "remote" and path.exists() and not os.access(path, os.R_OK):
        return  # the authority's, and not this user's
    try:
        read_secrets(path)
    except ConfigError as error:
        yield Finding("broken", "webhook", error.message, error.advice)


def _untold(outbox: Outbox, since: str, now: Instant) -> Iterator[Finding]:
    """What the webhook has not been told. Nobody looks, or it does not get through."""
    if not outbox.begun:
        yield Finding("note", "webhook", "Nobody has told the webhook of anything yet.", _SERVE)
        return
    if since and since < iso(now - _AT_ONCE):
        told = f"Questions and answers that the webhook has not been told of: {outbox.behind}, since {since}."
        yield Finding("note", "webhook", told, _SERVE)
    for one in outbox.waiting[:1]:
        yield Finding("note", "webhook", *_waits(outbox, one, now))


def _waits(outbox: Outbox, one: Waiting, now: Instant) -> tuple[str, str]:
    told = f"Messages to the webhook that have not arrived: {len(outbox.waiting)}; tries of the oldest"
    failed = f"{told}: {one.attempts}" + (f"; {one.why}." if one.why else ".")
    return failed, _SERVE if one.due_at < now - _AT_ONCE else f"It is tried again at {iso(one.due_at)}."
