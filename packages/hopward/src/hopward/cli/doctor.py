"""`hopward doctor`: what is broken, what is missing, what is only good enough for development."""

from dataclasses import asdict

import click
from rich.text import Text

from hopward.cli.findings import findings
from hopward.cli.output import console, show_json, styled, tell
from hopward.cli.session import Session
from hopward.harmless import harmless


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per finding.")
@click.pass_obj
def doctor(session: Session, as_json: bool) -> None:
    """Say what is broken, missing, or only good enough for development. Exit status 1 if broken."""
    found = list(findings(session.config))
    for finding in found:
        if as_json:
            show_json(asdict(finding))
            continue
        told = f"{' ' * (8 - len(finding.level))}{finding.about}: {harmless(finding.sentence)}"
        console().print(Text.assemble(styled(finding.level), told))
        if finding.advice:
            tell(f"        {harmless(finding.advice)}")
    broken = sum(finding.level == "broken" for finding in found)
    if not as_json:
        notes = sum(finding.level == "note" for finding in found)
        tell(f"{broken} broken, {notes} to note.")
    if broken:
        click.get_current_context().exit(1)
