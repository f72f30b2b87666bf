"""Stock MCP clients log in at a guarded server by themselves: the mcp SDK's OAuth client, and FastMCP's.

Nothing of Hopward is in the clients: they find the authority by what the proxy answers (RFC 9728), open a
browser, in which a script presses the button, and call a tool. Proxy and authority are real processes.
"""

import asyncio
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from fastmcp import Client as FastClient
from fastmcp.client.auth import OAuth
from mcp import Client
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)

from .person import BACK, CLIENT, SUBJECT, Place, logging_in


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with logging_in(tmp_path) as place:
        yield place


@dataclass
class Storage(TokenStorage):
    """What the SDK's client keeps."""

    client: OAuthClientInformationFull | None
    tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def known(client_id: str = CLIENT) -> OAuthClientInformationFull:
    """A client that has been entered beforehand."""
    return OAuthClientInformationFull.model_validate(
        {"client_id": client_id, "redirect_uris": [BACK], "token_endpoint_auth_method": "none"}
    )


@dataclass
class Desktop:
    """A program with the SDK's OAuth client, whose browser is the person's."""

    place: Place
    storage: Storage
    metadata_url: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    provider: OAuthClientProvider = field(init=False)

    def __post_init__(self) -> None:
        self._answer: dict[str, str] = {}
        self.provider = OAuthClientProvider(
            self.place.endpoint,
            OAuthClientMetadata.model_validate({"redirect_uris": [BACK], "client_name": "Desktop"}),
            self.storage,
            self._redirected,
            self._called_back,
            self.metadata_url,
        )

    async def _redirected(self, url: str) -> None:
        self._answer = await asyncio.to_thread(self.place.person.led_to, url) | self.changes

    async def _called_back(self) -> AuthorizationCodeResult:
        answer = self._answer
        return AuthorizationCodeResult(
            code=answer.get("code", ""), state=answer.get("state"), iss=answer.get("iss")
        )

    def call(self, *tools: str) -> list[str]:
        """What each call answers."""
        return asyncio.run(self._called(tools))

    async def _called(self, tools: tuple[str, ...]) -> list[str]:
        async with (
            httpx2.AsyncClient(auth=self.provider, timeout=60, trust_env=False) as http,
            Client(streamable_http_client(self.place.endpoint, http_client=http), mode="legacy") as client,
        ):
            return [str(getattr((await client.call_tool(one, {})).content[0], "text", "")) for one in tools]


def granted_claims(place: Place) -> dict[str, Any]:
    """What the server was shown for the last call."""
    return place.project.calls_received()[-1]


def refused(desktop: Desktop) -> str:
    """What all the errors say with which a client gives up."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - groups of groups, and what they say is looked at
        desktop.call("note")
    return "; ".join(map(str, leaves(caught.value)))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, however deep."""
    if isinstance(error, BaseExceptionGroup):
        for one in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves(one)
    else:
        yield error


def test_the_sdk_s_client_logs_in_and_calls_a_tool(place: Place) -> None:
    desktop = Desktop(place, Storage(known()))
    (said,) = desktop.call("note")
    assert "dec_" in said
    claims = granted_claims(place)
    assert (claims["sub"], claims["act"]) == (SUBJECT, {"sub": "agent:tester"})
    assert place.events() == ["granted", "opened"]
    assert "Desk assistant" in place.person.seen[0]
    assert desktop.storage.tokens is not None
    assert desktop.storage.tokens.access_token not in str(place.project.received())


def test_the_sdk_s_client_refreshes_and_asks_nobody_again(place: Place) -> None:
    desktop = Desktop(place, Storage(known()))
    desktop.call("note")
    first = desktop.storage.tokens
    desktop.provider.context.token_expiry_time = 1.0
    desktop.call("note")
    assert first is not None
    assert desktop.storage.tokens is not None
    assert desktop.storage.tokens.refresh_token != first.refresh_token
    assert len(place.person.seen) == 1
    assert place.events() == ["granted", "opened", "refreshed"]


def test_what_is_revoked_is_refused_at_the_next_call_and_at_the_next_refresh(place: Place) -> None:
    desktop = Desktop(place, Storage(known()))
    desktop.call("note")
    place.project.hopward("revoke", "task", place.project.last_task(), "--why", "a test")
    assert "The task has been revoked" in refused(desktop)
    assert len(place.project.calls_received()) == 1
    desktop.provider.context.token_expiry_time = 1.0
    place.person.answer = "no"
    assert "No authorization code received" in refused(desktop)
    assert place.events() == ["granted", "opened", "ended", "declined"]


def test_a_tool_that_was_left_out_leads_to_a_new_question_with_the_wider_scope(place: Place) -> None:
    """403 with `insufficient_scope` and the tool's scope: the client asks for both, the person says yes."""
    desktop = Desktop(place, Storage(known()))
    place.person.leave_out = ("recorder/change",)
    desktop.call("note")
    place.person.leave_out = ()
    (said,) = desktop.call("change")
    assert "dec_" in said
    assert len(place.person.seen) == 2
    assert [row.reason for row in place.project.rows(kind="decision")] == [
        "permitted",
        "outside_scope",
        "permitted",
    ]


def test_an_answer_of_another_authority_is_refused_by_the_client(place: Place) -> None:
    """Mix-up (RFC 9207): what we answer names us, and stock clients look."""
    desktop = Desktop(place, Storage(known()), changes={"iss": "http://127.0.0.1:1"})
    assert "iss" in refused(desktop)
    assert place.events() == ["granted"]


def test_fastmcp_s_client_logs_in_and_calls_a_tool(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webbrowser.open", place.person.opens)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        oauth = OAuth(client_id=CLIENT)

        async def called() -> str:
            async with FastClient(place.endpoint, auth=oauth) as client:
                answer = await client.call_tool("note", {})
                return str(getattr(answer.content[0], "text", ""))

        said = asyncio.run(called())
    assert "dec_" in said
    assert granted_claims(place)["sub"] == SUBJECT
    assert place.events() == ["granted", "opened"]
