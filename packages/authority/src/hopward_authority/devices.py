"""`hopward authority pair`, `devices`, `unpair` and `secret`: who answers in which browser, and what signs.

They need the configuration and the decision log, and neither policies nor keys: a device may have to be ended
while something is wrong with those.
"""

import json
from datetime import UTC, datetime

import click

from hopward import ConfigError, Guard, Settings, read_settings

_MICROSECONDS = 1_000_000


@click.command()
@click.argument("person", metavar="NAME")
@click.pass_context
def pair(context: click.Context, person: str) -> None:
    """Show a code with which NAME, a member of a group of approvers, can pair a browser.

    The code is good once, within ten minutes. Whoever types it answers as NAME from then on: hand it to them
    over a way that only they can read.
    """
    settings = read_settings(context.obj.config)
    page = _page(settings)
    with Guard.devices_in(settings) as known:
        offer = known.offer(person)
    click.echo(f"{offer.code}")
    click.echo(
        f"{person} opens {page}/pair on the device and types this code, once and within ten minutes.",
        err=True,
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per device.")
@click.pass_context
def devices(context: click.Context, as_json: bool) -> None:
    """List the browsers that are paired, and the codes that may still be used."""
    with Guard.devices_in(read_settings(context.obj.config)) as known:
        found = known.find()
    if not found and not as_json:
        click.echo("No device is paired. hopward authority pair NAME pairs one.", err=True)
    for one in found:
        fields = {
            "device": one.id,
            "person": one.person,
            "state": "paired" if one.paired_at else "code",
            "label": one.label,
            "used": _moment(one.used_at),
            "until": _moment(one.expires_at),
            "by": one.offered_by,
        }
        click.echo(json.dumps(fields) if as_json else "  ".join(text for text in fields.values() if text))


@click.command()
@click.argument("device", metavar="DEVICE")
@click.option("--why", default="", help="The reason; it stands in the decision log.")
@click.pass_context
def unpair(context: click.Context, device: str, why: str) -> None:
    """End a device, or take back its code: the next thing it asks for is refused."""
    with Guard.devices_in(read_settings(context.obj.config)) as known:
        ended = known.end(device, why=why)
    click.echo(f"{ended.id} answers for {ended.person} no more.")


@click.command()
@click.pass_context
def secret(context: click.Context) -> None:
    """Make the secret that signs what the webhook is told, in [approvals.webhook] secret_file."""
    path = Guard.webhook_secret(read_settings(context.obj.config))
    click.echo(f"Made a new secret in {path}. Whoever receives the webhook needs it too.")


def _page(settings: Settings) -> str:
    page = settings.approvals.page
    if not page:
        told = "People have no page to answer on: [approvals] has no page."
        raise ConfigError(told, advice='Add page = "https://..." there; hopward authority serve serves it.')
    return page


def _moment(instant: int) -> str:
    if not instant:
        return ""
    return datetime.fromtimestamp(instant // _MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
