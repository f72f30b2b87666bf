"""An agent's side of the authority: its own token, and the exchange of its task's for a server's endpoint.

    agent = AgentClient("https://authority.example", Svid("unix:/run/spire/agent.sock"))
    token = agent.access_token(task_token, "https://proxy.example/desk/mcp")

The agent proves who it is each time, with what its platform gives it at that moment: so an SVID that has been
renewed is used at the next exchange, and one that is given no more ends in a refusal.
"""

import json
import ssl
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import httpx2

from hopward import ExchangeRefusedError, TokenError
from hopward_authority.metadata import CLIENT_CREDENTIALS, TOKEN_EXCHANGE

LONGEST = 10.0
"""Seconds that the authority, or a Workload API, has to answer."""

_OIDC = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, no secret


class Proof(Protocol):
    """Who the agent is, as of now; `TokenFile` and `Svid` are such."""

    def assertion(self, audience: str) -> tuple[str, str]:
        """`client_assertion_type` and `client_assertion` for an authority; raises `TokenError`."""
        ...


class TokenFile:
    """The workload token in a file, which the platform keeps fresh, as a kubelet does; read each time."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def assertion(self, audience: str) -> tuple[str, str]:
        """The token in the file, whatever it is for; raises `TokenError` where it cannot be read."""
        try:
            return _OIDC, self._path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TokenError(f"{self._path} holds no token that can be read.") from error


class Svid:
    """A JWT-SVID of this process from the Workload API at `unix:PATH`; needs `hopward-authority[spiffe]`.

    Of several identities that the process has, `spiffe_id` says which.
    """

    def __init__(self, address: str, spiffe_id: str = "") -> None:
        self._address = address
        self._spiffe_id = spiffe_id

    def assertion(self, audience: str) -> tuple[str, str]:
        """A JWT-SVID for this audience alone; raises `TokenError` where there is none for this process."""
        api = import_module("hopward_authority.workload_api")
        return _SPIFFE, cast("str", api.jwt_svid(self._address, audience, self._spiffe_id, LONGEST))


class AgentClient:
    """One agent at its authority. Nothing is kept between two calls, and no redirect is followed."""

    def __init__(self, issuer: str, proof: Proof, *, transport: httpx2.BaseTransport | None = None) -> None:
        """`issuer` is the authority's, under which its token endpoint is at `/token`."""
        self._issuer = self._base = issuer
        self._proof = proof
        self._transport = transport

    def agent_token(self) -> str:
        """The agent's own token. It is over when the proof is, and after 15 minutes.

        Raises `ExchangeRefusedError` with the OAuth error code, `TokenError` without a proof.
        """
        return self._asked({"grant_type": CLIENT_CREDENTIALS})

    def access_token(self, task_token: str, resource: str) -> str:
        """The token for the endpoint of a server at the proxy, in a task of this agent; raises as above."""
        return self._asked(
            {
                "grant_type": TOKEN_EXCHANGE,
                "subject_token": task_token,
                "subject_token_type": _ACCESS_TOKEN,
                "actor_token": self.agent_token(),
                "actor_token_type": _ACCESS_TOKEN,
                "resource": resource,
            }
        )

    def _asked(self, form: dict[str, str]) -> str:
        proven, trusted = {**form, **self._proven()}, self._trusted()
        with httpx2.Client(
            verify=trusted,
            transport=self._transport,
            timeout=LONGEST,
            follow_redirects=False,
            trust_env=False,
        ) as client:
            try:
                answer = client.post(f"{self._base.rstrip('/')}/token", data=proven)
            except httpx2.HTTPError as error:
                told = f"The authority cannot be reached: {type(error).__name__}."
                raise ExchangeRefusedError(told, error="temporarily_unavailable") from error
        return _token(answer)

    def _proven(self) -> dict[str, str]:
        assertion_type, assertion = self._proof.assertion(self._issuer)
        return {"client_assertion_type": assertion_type, "client_assertion": assertion}

    def _trusted(self) -> ssl.SSLContext | bool:
        return True


class CertifiedAgent(AgentClient):
    """One agent at the mutual TLS of its authority, known by its X.509-SVID.

    It needs `hopward-authority[spiffe]`. `url` is that of `[identity.mtls]`, with the path of the issuer if
    that has one. The X.509-SVID of this process with `spiffe_id` comes from the Workload API at `unix:PATH`
    anew each time. Nothing is sent to anybody but the workload `authority_id`.
    """

    def __init__(self, url: str, address: str, spiffe_id: str, authority_id: str) -> None:
        self._base, self._transport = url, None
        self._address, self._spiffe_id, self._authority_id = address, spiffe_id, authority_id

    def _proven(self) -> dict[str, str]:
        return {"client_id": self._spiffe_id}

    def _trusted(self) -> ssl.SSLContext:
        tls = import_module("hopward_authority.mutual_tls")
        return cast("ssl.SSLContext", tls.to_authority(self._address, self._spiffe_id, self._authority_id))


def _token(answer: httpx2.Response) -> str:
    try:
        body: object = json.loads(answer.content)
    except ValueError:
        body = None
    said = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    token = said.get("access_token")
    if answer.status_code == 200 and isinstance(token, str) and token:
        return token
    error, why = said.get("error"), said.get("error_description")
    told = why if isinstance(why, str) and why else f"The authority has answered {answer.status_code}."
    raise ExchangeRefusedError(told, error=error if isinstance(error, str) and error else "server_error")
