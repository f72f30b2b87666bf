"""The credentials of a guard that others mint: asked for here, with the network left out."""

from hopward.canonical import digest
from hopward.claims import CallDetails
from hopward.errors import ExchangeRefusedError, NotFoundError, StateError
from hopward.external import ExternalRequest, ExternalServers, Obtained, SvidSource
from hopward.guard import Guard, planned
from hopward.issuer import Issuer
from hopward.ledger import SqliteLedger
from hopward.model import Chain, Credential, Decision, Task, ToolCall
from hopward.remote import OwnRequest, RemoteAuthority
from hopward.settings import Settings
from hopward.tokenrequest import TokenRequest


class Obtaining(Guard):
    """The part of a `Guard` that asks: our authority where it is another process, and external ones."""

    settings: Settings
    issuer: Issuer
    ledger: SqliteLedger
    _remote: RemoteAuthority
    _external: ExternalServers

    @property
    def token_endpoint(self) -> str:
        """Where a proxy asks for its credentials; empty if they are minted in its own process.

        Raises `ConfigError` without the key it would authenticate with.
        """
        if self.settings.authority.mode == "remote":
            self._remote.check_key()
        return self.settings.authority.token_endpoint

    def credential_request(self, decision: Decision, call: ToolCall, subject_token: str = "") -> TokenRequest:
        """What to ask the token endpoint for a permitted call, which must be the one decided on.

        `subject_token` is the access token that presented the decision's chain, if one did. Each attempt is a
        request of its own: what authenticates it counts once. Raises `HopwardError`.
        """
        return self._asking(planned(decision, call), decision.chain, call, subject_token, decision.id)

    def introduction_request(
        self, chain: Chain, server: str, method: str, subject_token: str = ""
    ) -> TokenRequest:
        """Likewise for one MCP request that calls nothing; see `introduce`."""
        call, credential, _ = self._introduction(chain, server, method)
        return self._asking(credential, chain, call, subject_token)

    def credential_received(self, request: TokenRequest, status: int, body: bytes) -> str:
        """The token in the token endpoint's answer, exactly what was asked for, its row durable.

        Raises `ExchangeRefusedError` for any other answer, `ChainError` where the chain has fallen meanwhile.
        """
        if not isinstance(request, OwnRequest):
            raise ExchangeRefusedError("That was no question to our authority.", error="server_error")
        token, credential = self._remote.received(request, status, body)
        self._noted(credential, request.chain, request.call)
        return token

    def external_request(self, decision: Decision, call: ToolCall) -> TokenRequest | str:
        """What to ask for a permitted call of a server whose tokens an external authorization server mints.

        A token where one may be used again, its row durable. The caller's own token plays no part: what is
        exchanged is the token that the person has given for the task. Raises `HopwardError`.
        """
        credential = planned(decision, call)
        details = self._details(call, decision.id)
        return self._got(self._external.request(credential, decision.chain, details), decision.chain, details)

    def external_introduction(self, chain: Chain, server: str, method: str) -> TokenRequest | str:
        """Likewise for one MCP request that calls nothing; see `introduce`."""
        call, credential, _ = self._introduction(chain, server, method)
        details = self._details(call)
        return self._got(self._external.request(credential, chain, details), chain, details)

    def external_received(self, request: TokenRequest, status: int, body: bytes) -> TokenRequest | str:
        """What comes of an answer: the next question, or the token, exactly what was asked for, its row
        durable.

        Raises `ExchangeRefusedError` for any other answer, `ChainError` where the chain has fallen meanwhile.
        """
        found = self._external.received(_external(request), status, body)
        return self._got(found, request.chain, request.call)

    def external_again(self, request: TokenRequest) -> TokenRequest:
        """The same question once more: what authenticates it counts once."""
        return self._external.again(_external(request))

    def external_left(self) -> int:
        """How many tokens are kept to be used again, now that those of fallen chains are gone."""
        return self._external.sweep(self.stands)

    def svid_from(self, source: SvidSource) -> None:
        """Where JWT-SVIDs of this process come from, for authorization servers that it authenticates to with
        one: called with the audience, for each."""
        self._external.svid = source

    def external_check(self) -> None:
        """Raise `ConfigError` unless this process holds the keys to ask with, and to sign what has to be."""
        self._external.check()

    def statement(self, decision: Decision, call: ToolCall, token: str) -> str:
        """The chain of a permitted call in Hopward's own signed form, to go with a token that does not say
        it.

        Empty where the token says all of it. Raises `HopwardError`.
        """
        name = self._external.of(call.server)
        if not name or not self.settings.authorization_servers[name].signed:
            return ""
        return self.issuer.statement(planned(decision, call), self._details(call, decision.id), token)

    def keep_subject_token(self, task: Task, server: str, token: str) -> None:
        """Keep a token of the task's subject at an external authorization server, to exchange for its calls.

        Those of tasks that have ended are deleted. Raises `TokenError` where it is not theirs, not addressed
        to the client that exchanges it, or over; `ConfigError`, `StateError` unless the task is open.
        """
        if task.state != "open":
            raise StateError(f"Task {task.id} is {task.state}.")
        self._external.subjects.keep(task, server, token)
        for other in self._external.subjects.kept():
            if not self._is_open(other):
                self._external.subjects.forget(other)

    def _is_open(self, task_id: str) -> bool:
        try:
            task = self.ledger.task(task_id)
        except NotFoundError:
            return False
        return task.state == "open" and task.expires_at > self.now

    def _asking(
        self, credential: Credential, chain: Chain, call: ToolCall, subject_token: str, decision: str = ""
    ) -> TokenRequest:
        return self._remote.request(credential, chain, self._details(call, decision), subject_token)

    def _details(self, call: ToolCall, decision: str = "") -> CallDetails:
        return CallDetails(
            server=call.server, tool=call.tool, arguments_digest=digest(call.arguments), decision=decision
        )

    def _got(self, found: ExternalRequest | Obtained, chain: Chain, call: CallDetails) -> TokenRequest | str:
        if isinstance(found, ExternalRequest):
            return found
        self._noted(found.credential, chain, call)
        return found.token

    def _noted(self, credential: Credential, chain: Chain, call: CallDetails) -> None:
        """Have the row of a credential that somebody else has minted durable, its chain standing."""
        _, standing = self._evaluator.standing_task(chain, call.server)
        self._record(
            credential, chain, ToolCall(server=call.server, tool=call.tool), standing.epoch, call.decision
        )


def _external(request: TokenRequest) -> ExternalRequest:
    if not isinstance(request, ExternalRequest):
        told = "That was no question to an external authorization server."
        raise ExchangeRefusedError(told, error="server_error")
    return request
