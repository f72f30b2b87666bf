"""`hopward workflow`: list, show, draw and check the workflows of hopward.toml. Nothing is written."""

from collections.abc import Iterable
from itertools import starmap

import click
import msgspec

from hopward.capability import lines as capability_lines
from hopward.classification import classified
from hopward.cli.output import hint, show_fields, show_json, show_table, tell
from hopward.cli.session import Session
from hopward.cli.wording import step_line
from hopward.config import read_settings
from hopward.errors import NotFoundError
from hopward.model import ParameterType
from hopward.opening import bare
from hopward.policies import load_engine
from hopward.settings import Settings, WorkflowSettings
from hopward.workflows import Checked, Finding, findings, mermaid, steps_of, svg

_FORMATS = {"mermaid": mermaid, "svg": svg}


@click.group()
def workflow() -> None:
    """List, show, draw and check workflows."""


@workflow.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per workflow.")
@click.pass_obj
def list_workflows(session: Session, as_json: bool) -> None:
    """List the workflows of hopward.toml."""
    workflows = read_settings(session.config).workflows
    if as_json:
        for name, one in workflows.items():
            show_json({"workflow": name, **msgspec.to_builtins(one)})
    elif workflows:
        show_table(["workflow", "agent", "parameters", "steps", "purpose"], starmap(_row, workflows.items()))
    else:
        hint("No workflows. [workflows.NAME] in hopward.toml makes one.")


@workflow.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the workflow as JSON.")
@click.pass_obj
def show(session: Session, name: str, as_json: bool) -> None:
    """Show one workflow: what its tasks are opened with, may do, and in which order."""
    found = _named(read_settings(session.config), name)
    if as_json:
        show_json({"workflow": name, **msgspec.to_builtins(found)})
        return
    show_fields(
        [
            ("workflow", name),
            ("agent", found.agent),
            ("purpose", found.purpose),
            ("budget", f"{found.budget.calls} calls, {found.budget.writes} of them writes"),
            ("expires in", f"{found.expires_in} seconds"),
            *(("parameter", _parameter(one, kind)) for one, kind in found.parameters.items()),
            *(("may", line) for line in capability_lines(found.capabilities)),
            *(("may hand on", line) for line in capability_lines(found.delegable)),
            ("hops", f"{found.depth} deep, {found.fan_out} at once" if found.delegable else ""),
            *(("step", step_line(step, {})) for step in (steps_of(found, ()) if found.steps else ())),
        ]
    )


@workflow.command("draw")
@click.argument("name")
@click.option("--format", "form", type=click.Choice(sorted(_FORMATS)), default="mermaid", show_default=True)
@click.pass_obj
def draw(session: Session, name: str, form: str) -> None:
    """Draw one workflow: who takes which step, and which step may follow which.

    A workflow without steps is drawn as the tools that it may call, in no order.
    """
    settings = read_settings(session.config)
    found = _named(settings, name)
    title = (name, *(_parameter(one, kind) for one, kind in found.parameters.items()))
    click.echo(_FORMATS[form](title, steps_of(found, classified(settings.servers))), nl=False)


@workflow.command("check")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_obj
def check(session: Session, name: str | None, as_json: bool) -> None:
    """Say what is wrong with a workflow, or with each. Exit status 1 where there is an error.

    Found are steps that can never be taken or lie outside of what is granted, loops that only the budget
    ends, effects on the outside after untrusted content that nobody approves, parameters that bind nothing.
    """
    settings = read_settings(session.config)
    if name is not None:
        _named(settings, name)
    tools = classified(settings.servers)
    engine = load_engine(settings.policies, tools, settings.approvals.groups)
    names = list(settings.workflows) if name is None else [name]
    found = [one for each in names for one in findings(Checked(each, settings, tools, engine))]
    if as_json:
        show_json({"workflows": names, "findings": found})
    else:
        _tell(found, names)
    if any(one.severity == "error" for one in found):
        click.get_current_context().exit(1)


def _tell(found: list[Finding], names: Iterable[str]) -> None:
    if found:
        rows = [
            (one.workflow, one.step, one.severity, f"{one.step or one.workflow}: {one.sentence}")
            for one in found
        ]
        show_table(["workflow", "step", "severity", "finding"], rows)
    else:
        tell(f"Nothing is wrong with {', '.join(names)}.")


def _named(settings: Settings, name: str) -> WorkflowSettings:
    found = settings.workflows.get(name)
    if found is None:
        known = ", ".join(sorted(settings.workflows)) or "none"
        raise NotFoundError(f"There is no workflow {name!r}.", advice=f"Configured workflows: {known}")
    return found


def _row(name: str, one: WorkflowSettings) -> tuple[str, ...]:
    return (name, one.agent, ", ".join(one.parameters), str(len(one.steps) or ""), one.purpose)


def _parameter(name: str, kind: ParameterType) -> str:
    return f"{name} ({bare(kind)}{', may be left out' if kind.endswith('?') else ''})"
