"""Where workloads authenticate with X.509-SVIDs: a listener of the authority over mutual TLS (RFC 8705).

The authority shows its own X.509-SVID, and takes nobody without one of the same trust domain. Both come from
the Workload API, and are looked at again every minute: a handshake uses what counts then, and a certificate
that is over counts no more on a connection that is still open. No session is resumed.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from cryptography.x509 import (
    SubjectAlternativeName,
    UniformResourceIdentifier,
    load_der_x509_certificate,
)
from uvicorn.protocols.http.h11_impl import H11Protocol

from hopward import ConfigError, TokenError
from hopward_authority.form import SVID
from hopward_authority.workload_api import X509Material, x509_material

LOOKS = 60.0
"""Seconds from one look at the Workload API to the next."""

LONGEST = 10.0
"""Seconds that it has to answer."""

STALE = 3_600.0
"""Seconds for which the last answer counts while there is no newer one; then no handshake succeeds."""

_App = Callable[[Any, Any, Any], Awaitable[None]]
_log = logging.getLogger("hopward.authority")


def tls_context(material: X509Material, *, server: bool) -> ssl.SSLContext:
    """TLS 1.3 with a certificate of one's own, that demands one of the same trust domain from the other side.

    Names of hosts are not looked at: an SVID has none. Raises `TokenError` where the material is not usable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_TICKET
    if server:
        context.num_tickets = 0
    try:
        context.load_verify_locations(cadata=material.bundle)
        with TemporaryDirectory(prefix="hopward") as folder:
            # Only from a file; this one is for this user alone, and gone at once.
            path = Path(folder, "svid.pem")
            path.touch(mode=0o600)
            path.write_text(material.chain + material.key, "ascii")
            context.load_cert_chain(path)
    except (OSError, ssl.SSLError) as error:
        raise TokenError(f"The X.509-SVID cannot be used: {error}", error="svid_unavailable") from error
    return context


def to_authority(address: str, spiffe_id: str, authority_id: str) -> ssl.SSLContext:
    """The context of a client that talks to the workload `authority_id` and to nobody else.

    The handshake fails with `ssl.SSLCertVerificationError` before anything is sent. Raises `TokenError`
    (`svid_unavailable`) where this process has no X.509-SVID with `spiffe_id`.
    """

    class ToAuthority(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            if _names(self.getpeercert(binary_form=True)) != [authority_id]:
                raise ssl.SSLCertVerificationError(f"This is not {authority_id}.")

    context = tls_context(x509_material(address, spiffe_id, LONGEST), server=False)
    context.sslsocket_class = ToAuthority
    return context


def _names(der: bytes | None) -> list[str]:
    """The URIs in a certificate."""
    leaf = load_der_x509_certificate(der or b"")
    named = leaf.extensions.get_extension_for_class(SubjectAlternativeName).value
    return named.get_values_for_type(UniformResourceIdentifier)


class Handshakes:
    """The TLS of a listener, taken up by each handshake as it is then. `now` is seconds of a steady clock."""

    def __init__(self, material: X509Material, now: Callable[[], float] = time.monotonic) -> None:
        """Raises `TokenError` where the material is not usable."""
        self._now = now
        self.front = tls_context(material, server=True)
        self.front.sni_callback = self._hand_over
        self.renew(material)

    def renew(self, material: X509Material) -> None:
        """Use this for every handshake from now on; raises `TokenError`, and goes on with what was before."""
        self._current, self._taken_at = tls_context(material, server=True), self._now()

    def _hand_over(self, connection: Any, _name: str | None, _front: ssl.SSLContext) -> int | None:
        # Called at the beginning of every handshake, whether or not the client has named a server.
        if self._now() - self._taken_at >= STALE:
            return ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._current
        return None


class MutualTls:
    """The listener, with the X.509-SVID `spiffe_id` of this process."""

    def __init__(self, address: str, spiffe_id: str) -> None:
        """Raises `ConfigError` where the Workload API at `address` has no such SVID for this process."""
        self._address = address
        self._spiffe_id = spiffe_id
        try:
            self._handshakes = Handshakes(self._material())
        except TokenError as error:
            raise ConfigError(f"identity.mtls: {error.message}") from error

    async def serve(self, app: _App, listening: socket) -> None:
        """Serve an application until cancelled."""
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ssl_context_factory=lambda _config, _default: self._handshakes.front,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            log_level="warning",
            access_log=False,
        )
        server = _Beside(config)
        renewing = asyncio.create_task(self._renew())
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await asyncio.shield(serving)
        finally:
            renewing.cancel()
            server.should_exit = True
            await serving

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LOOKS)
            try:
                self._handshakes.renew(await asyncio.to_thread(self._material))
            except TokenError as error:
                _log.warning("The X.509-SVID cannot be renewed at the moment: %s", error.message)

    def _material(self) -> X509Material:
        return x509_material(self._address, self._spiffe_id, LONGEST)


class _Beside(uvicorn.Server):
    """A server beside another, which minds the signals."""

    def capture_signals(self) -> Any:
        """uvicorn's hook."""
        return nullcontext()


class _Protocol(H11Protocol):
    """HTTP/1.1 in which every request says which certificate its connection was made with."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio's hook, after the handshake."""
        super().connection_made(transport)
        shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        app: _App = self.app

        async def known(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, SVID: shown}, receive, send)

        self.app = known
