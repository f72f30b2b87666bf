"""The group `exchange`: the credential of one call, minted in process or by an authority over HTTP."""

import http.client
from contextlib import ExitStack
from urllib.parse import urlencode

from bench.context import Context
from bench.errors import BenchError
from bench.keycloak import Keycloak, installed
from bench.processes import Service, free_port, total_cpu_ns
from bench.project import CALL, SERVER, Shape, Upstream, caller_token, create
from bench.repeat import Subject, run_rounds
from bench.results import Entry
from bench.routes import hopward_command
from hopward import Credential, Guard
from hopward.assertion import client_assertion
from hopward.claims import CallDetails
from hopward.exchange import PROXY, endpoint
from hopward.keys import KeyRing
from hopward.wire import ExchangeForm, build_request, read_response

GROUP = "exchange"


def measure(context: Context) -> list[Entry]:
    """In process: the plan, the token, both. Over HTTP: everything a proxy needs for one call, from our
    authority and, where it is installed, from Keycloak."""
    folder, port = context.folder / "exchange", free_port()
    create(folder, Upstream(), {"hopward.toml": Shape(authority_port=port)})
    with ExitStack() as stack:
        guard = Guard.open(folder / "hopward.toml")
        stack.callback(guard.close)
        command = hopward_command(folder / "hopward.toml", "authority", "serve")
        authority = Service(command, port, context.folder / "authority.log")
        stack.callback(authority.stop)
        remote = _Remote(guard, KeyRing.open(folder / ".hopward" / "keys"), port)
        stack.callback(remote.close)
        local = _InProcess(guard)
        subjects = [
            Subject(GROUP, "plan, in process", local.planned),
            Subject(GROUP, "mint (ES256), in process", local.mint, local.renew),
            Subject(GROUP, "plan and mint, in process", local.both),
            Subject(
                GROUP,
                "authority over HTTP",
                remote.exchange,
                server=lambda: total_cpu_ns(authority.pids()),
            ),
        ]
        command = installed()
        if command:
            keycloak = Keycloak(command, context.folder)
            stack.callback(keycloak.close)
            subjects.append(
                Subject(
                    GROUP, "Keycloak over HTTP", keycloak.exchange, keycloak.renew, server=keycloak.cpu_ns
                )
            )
        context.expect(len(subjects) * context.plan.rounds)
        return run_rounds(subjects, context.plan.rounds, context.plan.exchanges, context.step)


class _InProcess:
    """The embedded authority: what the proxy calls when nothing is remote."""

    def __init__(self, guard: Guard) -> None:
        self._issuer = guard.issuer
        self._chain = guard.identify(caller_token(guard), endpoint(guard.settings, SERVER))
        self._task = guard.task(self._chain.task)
        self.renew()

    def renew(self) -> None:
        """A credential lives for a minute, a round may begin later."""
        self._credential = self.plan()

    def plan(self) -> Credential:
        """The rules of the exchange, and what would be minted."""
        credential = self._issuer.plan(CALL, self._chain, self._task, self._issuer.clock.now())
        if credential.audience != "urn:bench:echo":
            raise BenchError("a credential was planned for another server")
        return credential

    def planned(self) -> None:
        """Plan, and forget it."""
        self.plan()

    def mint(self) -> None:
        """The signed token of a credential."""
        self._minted(self._credential)

    def both(self) -> None:
        """The exchange of one call."""
        self._minted(self.plan())

    def _minted(self, credential: Credential) -> None:
        if self._issuer.mint(credential, "dec_0123456789abcdef01234567", CALL).count(".") != 2:
            raise BenchError("no token was minted")


class _Remote:
    """A proxy that exchanges its caller's token at an authority, once per call, over one kept connection."""

    def __init__(self, guard: Guard, keys: KeyRing, port: int) -> None:
        self._issuer = guard.issuer.issuer
        self._key = keys.proxy
        self._form = ExchangeForm(
            subject_token=caller_token(guard),
            target="urn:bench:echo",
            scope=(CALL.name,),
            call=CallDetails(server=SERVER, tool=CALL.tool, arguments_digest="sha-256:" + "0" * 64),
        )
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def exchange(self) -> None:
        """A fresh client assertion, the request, the checked answer."""
        assertion = client_assertion(PROXY, self._issuer, self._key)
        body = urlencode(build_request(self._form, assertion))
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", "/token", body, headers)
        answer = self._connection.getresponse()
        if read_response(answer.status, answer.read(), self._form).token.count(".") != 2:
            raise BenchError("the authority gave no token")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
