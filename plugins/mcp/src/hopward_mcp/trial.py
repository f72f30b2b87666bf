"""`hopward mcp try`: one real guarded call, the decision explained, and what came back."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import click
import msgspec

from hopward import Capability
from hopward_mcp.arguments import split
from hopward_mcp.attempt import Attempt, Wanted, attempted
from hopward_mcp.display import harmless_lines, show_fields
from hopward_mcp.opening import about, opening_of

_MICROSECONDS = 1_000_000


@click.command("try")
@click.argument("server")
@click.argument("tool")
@click.argument("words", metavar="[NAME=VALUE]...", nargs=-1)
@click.option("--workflow", default="", help="The task to open.  [default: the server's `workflow`]")
@click.option("--subject", default="", help="On whose behalf.  [default: local:USER]")
@about
@click.option("--json", "as_json", is_flag=True, help="Print the decision and the result as JSON.")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The hopward.toml to use.")
@click.pass_context
def trial(ctx: click.Context, server: str, tool: str, words: tuple[str, ...], **asked: Any) -> None:
    """Make one guarded call of TOOL of SERVER, and explain the decision.

    The call is real: a task is opened for it, it is decided, credentialed, forwarded if permitted, and
    logged, as for any client; then the task is completed. `hopward policy explain SERVER/TOOL ...` says what
    would be decided and calls nothing.

    Values are what the tool says they are: a text as it stands, everything else as JSON; NAME:=JSON is JSON
    whatever the tool says. Exit status 1 if the call is refused or fails.
    """
    wanted = Wanted(server, tool, split(words), opening_of(asked))
    try:
        attempt = asyncio.run(attempted(asked["config"] or ctx.obj.config, wanted))
    except asyncio.CancelledError:
        raise click.Abort from None
    if asked["as_json"]:
        click.echo(json.dumps(_plain(attempt), separators=(",", ":")))
    else:
        show_fields(_fields(attempt))
        click.echo()
        click.echo(harmless_lines(_shown(attempt)))
        _hint(attempt)
    if not attempt.went_well:
        ctx.exit(1)


def _hint(attempt: Attempt) -> None:
    """What can be done next."""
    if attempt.decision:
        click.echo(f"Next: hopward log show {attempt.decision}", err=True)
    if _verdict(attempt).get("reason") == "tool_unclassified":
        click.echo(f"Next: hopward mcp classify {attempt.wanted.server}", err=True)


def _verdict(attempt: Attempt) -> dict[str, Any]:
    """The verdict of the decision, or why there is none."""
    records = attempt.records
    undecided = {"reason": "undecided", "sentence": "Hopward could not reach a decision."}
    return records.get("decision", {}).get("verdict") or records.get("refusal") or undecided


def _plain(attempt: Attempt) -> dict[str, Any]:
    """Everything as one object; what there was not is null, or empty."""
    records, wanted = attempt.records, attempt.wanted
    decided = records.get("decision", {})
    return {
        "decision": attempt.decision,
        "verdict": _verdict(attempt),
        "observed": attempt.observed,
        "call": {"server": wanted.server, "tool": wanted.tool, "arguments": attempt.arguments},
        "task": attempt.task.id,
        "workflow": attempt.task.workflow,
        "subject": attempt.task.subject,
        "agent": attempt.task.agent,
        "classification": decided.get("classification"),
        "facts": decided.get("facts"),
        "credential": records.get("credential", {}).get("credential"),
        "outcome": records.get("outcome", {}).get("outcome"),
        "result": attempt.result,
        "error": attempt.error,
    }


def _fields(attempt: Attempt) -> Iterator[tuple[str, str]]:
    """The decision for people: what was asked, what bound it, what was decided, and what followed."""
    plain, task = _plain(attempt), attempt.task
    arguments = json.dumps(attempt.arguments, ensure_ascii=False)
    yield "call", f"{attempt.wanted.server}/{attempt.wanted.tool} {arguments}"
    yield "task", f"{task.id} ({task.workflow}), {task.subject} -> {task.agent}"
    kind = plain["classification"]
    if kind:
        labels = f"{kind['action']}, {kind['sensitivity']}, {kind['integrity']}"
        yield "classified", f"{labels}, at {kind['destination']}"
        for granted in _reaching(attempt, kind["action"]):
            yield "bound by", _bound(granted)
    facts = plain["facts"]
    if facts:
        budget = task.budget
        left = (
            f"{facts['calls_left']} of {budget.calls} calls, {facts['writes_left']} of {budget.writes} writes"
        )
        yield "left before", left + "".join(_left_more(facts))
    yield from _decided(plain)
    yield "decision", attempt.decision


def _left_more(facts: dict[str, Any]) -> Iterator[str]:
    """What was left beside calls and writes, of what is counted for this call."""
    if "money_left" in facts:
        yield f", {facts['money_left']} {facts['currency']}"
    if "bytes_left" in facts:
        yield f", {facts['bytes_left']} bytes out"
    if "destinations_left" in facts:
        yield f", {facts['destinations_left']} new destinations"


def _decided(plain: dict[str, Any]) -> Iterator[tuple[str, str]]:
    verdict = plain["verdict"]
    yield "policies", ", ".join(verdict.get("policies", ()))
    named = verdict.get("name", "refused")
    reason = f" ({verdict['reason']})" if verdict.get("reason") else ""
    yield "verdict", f"{named}{reason}: {verdict.get('sentence', '')}"
    if plain["observed"]:
        yield "OBSERVED", "its server is observed, so the call went on all the same"
    credential, outcome = plain["credential"], plain["outcome"]
    if credential:
        until = datetime.fromtimestamp(credential["expires_at"] / _MICROSECONDS, UTC)
        yield (
            "credential",
            f"{credential['kind']} for {credential['audience']}, until {until:%Y-%m-%d %H:%M:%SZ}",
        )
    if outcome:
        failed = f": {outcome['error']}" if outcome.get("error") else ""
        yield "outcome", f"{outcome['status']} after {outcome.get('duration', 0) / 1000:.1f} ms{failed}"


def _reaching(attempt: Attempt, action: str) -> Iterator[Capability]:
    """The capabilities of the task that name the tool and what it does: all else of them bounds the call."""
    name = f"{attempt.wanted.server}/{attempt.wanted.tool}"
    for granted in attempt.task.capabilities:
        if action in granted.actions and any(_matches(pattern, name) for pattern in granted.tools):
            yield granted


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _bound(granted: Capability) -> str:
    """A capability on one line, its constraints as hopward.toml has them."""
    parts = [
        f"{'/'.join(granted.actions)} with {', '.join(granted.tools)}",
        f"up to {granted.sensitivity}",
        f"at {', '.join(granted.destinations)}",
    ]
    constraints = cast("dict[str, Any]", msgspec.to_builtins(granted.constraints))
    parts += [f"{name} {json.dumps(conditions)}" for name, conditions in constraints.items()]
    return "; ".join([*parts, *(["no other arguments"] if granted.closed else [])])


def _shown(attempt: Attempt) -> str:
    """The result for people: its texts, and what else there is by its kind."""
    if attempt.result is None:
        return f"No result: {attempt.error}"
    blocks = attempt.result.get("content", [])
    if not blocks and "structuredContent" in attempt.result:
        return json.dumps(attempt.result["structuredContent"], ensure_ascii=False, indent=2)
    return "\n".join(map(_block, blocks)) or "The result is empty."


def _block(block: dict[str, Any]) -> str:
    if block.get("type") == "text":
        return str(block.get("text", ""))
    about = block.get("uri") or block.get("mimeType") or block.get("resource", {}).get("uri", "")
    return f"[{block.get('type')} {about}]"
