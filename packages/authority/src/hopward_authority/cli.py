"""`hopward authority`: serve the authority over HTTP, rotate its signing key, pair devices of approvers."""

import socket
from importlib import import_module

import click
import uvicorn

from hopward import ConfigError, Guard
from hopward_authority.app import Beside, create_app
from hopward_authority.devices import devices, pair, secret, unpair


@click.group()
def authority() -> None:
    """Serve the OAuth authority, rotate its signing key, and pair the devices of people who approve."""


authority.add_command(pair)
authority.add_command(devices)
authority.add_command(unpair)
authority.add_command(secret)


@authority.command()
@click.pass_context
def serve(context: click.Context) -> None:
    """Serve tokens, keys and metadata on [authority] listen.

    With [approvals] page also the pages on which people answer; with [approvals.webhook], tell it of
    questions and answers.
    """
    guard = Guard.open(context.obj.config, as_authority=True)
    try:
        app, listen = create_app(guard, beside=_mutual_tls(guard)), guard.settings.authority.listen
        config = uvicorn.Config(
            app,
            server_header=False,
            proxy_headers=False,
            log_level="warning",
            access_log=False,
        )
        listener = _listener(*listening(listen))
        page = guard.settings.approvals.page
        people = f" People answer at {page}/approvals." if page else ""
        mtls = guard.settings.identity.mtls
        people += f" Workloads show certificates on {mtls.listen}." if mtls else ""
        sentence = f"Hopward authority {guard.issuer.issuer} listens on {listen}.{people}"
        _Announced(config, sentence).run(sockets=[listener])
    finally:
        guard.close()


@authority.command()
@click.pass_context
def rotate(context: click.Context) -> None:
    """Sign with a new key from now on; the old one verifies until its tokens are over."""
    guard = Guard.open(context.obj.config, as_authority=True)
    try:
        old = guard.issuer.jwks()["keys"][0]["kid"]
        new = guard.issuer.rotate(guard.ledger)
    finally:
        guard.close()
    click.echo(f"Signing with {new}. What {old} has signed stays good until it expires.")
    click.echo(f"If {old} has leaked, also run: hopward revoke key {old}", err=True)


def _mutual_tls(guard: Guard) -> Beside | None:
    """The listener for certificates of workloads, where there is one; raises `ConfigError`."""
    settings = guard.settings.identity
    if settings.mtls is None:
        return None
    domain = settings.mtls.spiffe_id.split("/")[2]
    try:
        module = import_module("hopward_authority.mutual_tls")
    except ImportError as error:
        raise ConfigError("identity.mtls needs hopward-authority[spiffe].") from error
    beside = module.MutualTls(settings.trust_domains[domain].workload_api, settings.mtls.spiffe_id)
    listener = _listener(*listening(settings.mtls.listen), "identity.mtls")
    return lambda app: beside.serve(app, listener)


def _listener(host: str, port: int, section: str = "authority") -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = str(error.strerror).partition(" (while")[0]
        raise ConfigError(f"{section}.listen: cannot listen on {host}:{port}: {why}.") from error


class _Announced(uvicorn.Server):
    """A server that says so once it listens."""

    def __init__(self, config: uvicorn.Config, sentence: str) -> None:
        super().__init__(config)
        self._sentence = sentence

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's hook."""
        await super().startup(sockets)
        if self.started:
            click.echo(self._sentence, err=True)


def listening(listen: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; raises `ConfigError`."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65_535:
        raise ConfigError(f"authority.listen {listen!r} is not HOST:PORT.")
    return host.strip("[]"), int(port)
