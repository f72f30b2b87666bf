"""`hopward task`: open, show, list and complete tasks."""

import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import click
import msgspec

from hopward.capability import lines as capability_lines
from hopward.cli.explanation import halves
from hopward.cli.guarded import pass_authority, pass_guard
from hopward.cli.output import hint, show_fields, show_json, show_table, tell
from hopward.cli.proposing import STANDARD_INPUT, agreed, at_terminal, listed, request_text
from hopward.cli.wording import (
    allowance_lines,
    contained_line,
    hop_state,
    hop_usage,
    moment,
    step_line,
)
from hopward.clock import SystemClock
from hopward.errors import NotFoundError
from hopward.exchange import endpoint
from hopward.issuer import Issued
from hopward.model import Flow, Label, Task, TaskState
from hopward.osuser import os_user
from hopward.wire import ACCESS_TOKEN_TYPE, ExchangeForm
from hopward.wiring import Guard

_MANY = 100_000
"""How many tasks are looked through for those in a state."""


@click.group()
def task() -> None:
    """Open, show, list and complete tasks; get a token for one."""


@task.command("open")
@click.option("--workflow", required=True, help="The [workflows.NAME] that says what the task may do.")
@click.option("--subject", help="On whose behalf.  [default: local:USER]")
@click.option("--param", "words", multiple=True, metavar="NAME=VALUE", help="What the task is about.")
@click.option("--request", default="", help="What the subject has asked for, in their own words.")
@click.option("--from-prompt", "prompt", metavar="TEXT|-", help="Likewise; and only the tools it asks for.")
@click.option(
    "--tools", metavar="TOOL,...", help="Only these of the workflow's tools: SERVER/TOOL, or SERVER/*."
)
@click.option("--yes", is_flag=True, help="Agree to the tools that --from-prompt proposes.")
@click.option("--json", "as_json", is_flag=True, help="Print the task as JSON.")
@pass_guard
def open_task(guard: Guard, workflow: str, subject: str | None, as_json: bool, **asked: Any) -> None:
    """Open a task: what its workflow allows, for as long as it says, and no longer.

    Whatever stands in a --param or in the --request is anchored: an argument that names it comes from the
    subject, not from something that an agent has read. --from-prompt takes the request likewise (- reads it
    from standard input), proposes the tools that its words ask for, and asks you to agree to them.
    """
    parameters = dict(halves(word, "is no parameter") for word in asked["words"])
    subject = subject if subject is not None else os_user()
    request, tools = _agreed(guard, workflow, asked)
    opened = guard.open_task(workflow, subject, parameters=parameters, request=request, tools=tools)
    if as_json:
        show_json(opened)
        return
    until = moment(opened.expires_at)
    tell(f"Opened {opened.id} for {opened.agent}, on behalf of {opened.subject}, until {until}.")
    if tools is not None:
        tell(f"Of the workflow's tools it may call {', '.join(tools)}, and no other.")
    hint(f"Next: hopward task token {opened.id} --server SERVER, or hopward task complete {opened.id}")


def _agreed(guard: Guard, workflow: str, asked: Mapping[str, Any]) -> tuple[str, list[str] | None]:
    """The request of a new task, and its tools: None for all of its workflow."""
    prompt, given = asked["prompt"], asked["tools"]
    if prompt is not None and asked["request"]:
        raise click.UsageError("--from-prompt is the request; leave out --request.")
    request = asked["request"] if prompt is None else request_text(prompt)
    if prompt is None and given is None:
        return request, None
    found = guard.proposed(workflow, request)
    if given is not None:
        return request, listed(given, [one.tool.full_name for one in found])
    ask = prompt != STANDARD_INPUT and at_terminal()
    return request, agreed(found, yes=asked["yes"], ask=ask)


@task.command("show")
@click.argument("task_id", metavar="TASK")
@click.option("--json", "as_json", is_flag=True, help="Print the task as JSON.")
@pass_guard
def show(guard: Guard, task_id: str, as_json: bool) -> None:
    """Show one task: what it may do, and what it has used up."""
    found, used, labels = guard.task(task_id), guard.ledger.usage(task_id), guard.ledger.labels(task_id)
    taken = guard.ledger.taken(task_id)
    if as_json:
        beside = {"usage": used, "labels": labels, "taken": taken}
        show_json({**msgspec.to_builtins(found), **msgspec.to_builtins(beside)})
        return
    show_fields(
        [
            ("task", found.id),
            ("state", found.state),
            ("quarantined", contained_line(guard.containment("task", found.id))),
            ("subject", found.subject),
            ("agent", found.agent),
            ("purpose", found.purpose),
            ("workflow", found.workflow),
            ("request", found.request),
            *(("parameter", f"{name} = {value}") for name, value in found.parameters.items()),
            ("opened", moment(found.opened_at)),
            ("expires", moment(found.expires_at)),
            ("calls", f"{used.calls} of {found.budget.calls}"),
            ("writes", f"{used.writes} of {found.budget.writes}"),
            *allowance_lines(found.budget, used),
            *(("may", line) for line in [*capability_lines(found.capabilities)] or ["call nothing"]),
            *(("may hand on", line) for line in capability_lines(found.delegable)),
            ("hops", f"{found.depth} deep, {found.fan_out} at once" if found.delegable else ""),
            *(("step", step_line(step, taken)) for step in found.steps),
            *(("handed on", line) for line in _hop_lines(guard, found.id)),
            *(("data", line) for line in map(_label_line, labels)),
        ]
    )


def _label_line(label: Label) -> str:
    """Which way data went, and how sensitive and how far from trusted it may have been."""
    return f"{_FLOWS[label.flow]} {label.name}: {label.sensitivity}, {label.integrity}"


_LONGEST_TOKEN = 16_384
"""Characters."""

_FLOWS: dict[Flow, str] = {"from": "taken in from", "into": "handed into", "out": "gone out to"}


def _hop_lines(guard: Guard, task_id: str) -> Iterator[str]:
    """Each hop of a task on one line: who to whom, its state, and what it has used."""
    now = SystemClock().now()
    for hop in guard.ledger.hops(task_id):
        used = guard.ledger.usage(hop.id)
        state = hop_state(hop, guard.ledger.revocations("hop", hop.id), now)
        yield f"{hop.delegator} -> {hop.agent} {state}, {hop_usage(hop, used)}, {hop.id}"


@task.command("list")
@click.option(
    "--state",
    type=click.Choice(["open", "completed", "revoked", "expired"]),
    help="Only tasks in this state.",
)
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per task.")
@pass_guard
def list_tasks(guard: Guard, state: TaskState | None, limit: int, as_json: bool) -> None:
    """List tasks, newest first."""
    # A task whose time is over is stored as open until something else ends it.
    stored: TaskState | None = "open" if state == "expired" else state
    present = (guard.task(found.id) for found in guard.ledger.tasks(stored, limit=_MANY))
    tasks = list(islice((found for found in present if state in (None, found.state)), limit))
    if as_json:
        for found in tasks:
            show_json(found)
    elif tasks:
        show_table(["task", "state", "agent", "subject", "workflow", "expires"], map(_row, tasks))
    else:
        hint("No tasks. hopward task open --workflow NAME opens one.")


@task.command("token")
@click.argument("task_id", metavar="TASK")
@click.option("--server", default="", help="The server whose endpoint at the proxy the token opens.")
@click.option("--json", "as_json", is_flag=True, help="Print a token response (RFC 8693) as JSON.")
@pass_authority
def token(guard: Guard, task_id: str, server: str, as_json: bool) -> None:
    """Print an access token for a server's endpoint at the proxy: a secret with the task's rights.

    Without --server, print the task's own token, which opens nothing: the task's agent exchanges it at the
    authority, together with its own, for what --server would print. Where authority.mode is remote, only the
    authority's user can print either.
    """
    if server and server not in guard.settings.servers:
        known = ", ".join(sorted(guard.settings.servers)) or "none"
        raise NotFoundError(f"There is no server {server!r}.", advice=f"Configured servers: {known}")
    found = guard.task(task_id)
    resource = endpoint(guard.settings, server) if server else guard.issuer.issuer
    issued = _access_token(guard, found, resource) if server else guard.issuer.task_token(found, guard.ledger)
    if as_json:
        show_json(issued.answer() | {"issued_token_type": ACCESS_TOKEN_TYPE, "resource": resource})
    else:
        tell(issued.token)
    what = f"It opens {resource}" if server else f"{found.agent} can exchange it at {resource}/token"
    hint(f"This is a secret. {what} for {issued.expires_in} seconds; do not store it.")


def _access_token(guard: Guard, found: Task, resource: str) -> Issued:
    """The exchange that the task's agent would make at the authority, made here in its place."""
    issuer, ledger = guard.issuer, guard.ledger
    subject = issuer.task_token(found, ledger)
    actor = issuer.agent_token(found.agent, ledger)
    form = ExchangeForm(subject_token=subject.token, actor_token=actor.token, target=resource)
    return issuer.exchange(form, issuer.clients[found.agent], ledger)


@task.command("subject-token")
@click.argument("task_id", metavar="TASK")
@click.argument("server")
@pass_guard
def subject_token(guard: Guard, task_id: str, server: str) -> None:
    """Keep the subject's token at the authorization server SERVER, for the calls of a task.

    The token is read from stdin. It is exchanged for each call of the task, and deleted when the task ends.
    """
    token = sys.stdin.read(_LONGEST_TOKEN + 1).strip()
    guard.keep_subject_token(guard.task(task_id), server, token)
    tell(f"Kept for {task_id}: a token of its subject at {server}.")


@task.command("complete")
@click.argument("task_id", metavar="TASK")
@pass_guard
def complete(guard: Guard, task_id: str) -> None:
    """Complete a task: its next call is refused."""
    guard.complete_task(task_id)
    tell(f"Completed {task_id}. Its next call is refused.")


def _row(found: Task) -> tuple[str, ...]:
    return (found.id, found.state, found.agent, found.subject, found.workflow, moment(found.expires_at))
