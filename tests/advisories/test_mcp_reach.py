"""Where a request, a token or an answer may lead: to no command, no other address, no other deployment.

The rows of the advisories page this covers stand in the docstrings, with their published ids.
"""

import asyncio
import importlib
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from proxies.conversation import Conversation
from proxies.fronting import Fronted, front, modern_call
from proxies.installation import http_server, install, opened, rows, stdio_server
from proxies.processes import PROCESS, process_server, processes
from proxies.recording_http import RecordingServer
from proxies.remoting import Impostor, free_port, remote

from hopward import ConfigError, read_settings
from hopward.base64url import decode
from hopward.jose import sign
from hopward.keys import KeyRing
from hopward_mcp.remote import TokenEndpoint

from .shipped import importing, mentioning
from .watching import watched

# Row 7: a command from a request.

STARTING = {
    *("subprocess", "Popen", "create_subprocess_exec", "create_subprocess_shell", "subprocess_exec"),
    *("subprocess_shell", "system", "popen", "execv", "execve", "execvp", "execvpe", "execl", "spawnv"),
    *("posix_spawn", "posix_spawnp", "fork", "forkpty", "startfile", "stdio_client", "pty", "webbrowser"),
    *("multiprocessing", "runpy", "eval", "exec"),
}
STARTERS = {
    ("hopward_mcp.child", "subprocess"),
    ("hopward_mcp.child", "subprocess_exec"),
    ("hopward_mcp.inspection", "stdio_client"),
    ("hopward_mcp.parent", "create_subprocess_exec"),
    ("hopward_mcp.parent", "subprocess"),
}
"""Who may start anything: with a `Command`, which is made of `hopward.toml` and nothing else, or this very
program once more (`parent`)."""

PROBED = (
    *(
        "/desk/mcp",
        "/healthz",
        "/mcp-rest/test/connection",
        "/mcp-rest/test/tools/list",
        "/servers",
        "/admin",
    ),
    *("/api/servers", "/desk/mcp/servers", "/v1/mcp/server", "/config", "/test", "/run", "/exec"),
)


async def test_no_request_can_name_a_command(tmp_path: Path) -> None:
    """Row 7: CVE-2026-42271 (LiteLLM)."""
    assert mentioning(STARTING) == STARTERS
    marker = tmp_path / "marker"
    wanted = {"command": "touch", "args": [str(marker)], "env": {"LD_PRELOAD": str(marker)}, "cwd": "/"}
    wanted |= {"transport": "stdio", "server": {"command": "touch", "args": [str(marker)]}, "url": "file:///"}
    async with processes(tmp_path) as served:
        token = served.front.token()
        with watched() as seen:
            for authorized in ({}, {"Authorization": f"Bearer {token}"}):
                for path in PROBED:
                    for method in ("POST", "PUT", "PATCH", "GET"):
                        headers = {**authorized, "Content-Type": "application/json"}
                        body = json.dumps(wanted).encode() if method != "GET" else None
                        answered = await served.front.send(method, path, headers, body)
                        assert answered.status >= 400 or (method, path) == ("GET", "/healthz"), path
            for message in naming(wanted):
                await served.front.post(token, message, {"Mcp-Command": "touch", "X-Command": "touch"})
            answered = await served.call(token, "echo", arguments=wanted, meta=wanted)
        assert answered.status == 200
    assert set(seen.started) == {(sys.executable, str(PROCESS), str(tmp_path / "record"), "both")}
    assert not marker.exists()


def naming(wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Messages that carry a command where something else is expected."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {"experimental": wanted}, **wanted}
    return [
        {"id": 1, "method": "initialize", "params": params},
        {"id": 2, "method": "initialize", "params": params, **wanted},
        {"id": 3, "method": "servers/add", "params": wanted},
        {"id": 4, "method": "tools/call", "params": {"name": "echo", "arguments": wanted, **wanted}},
    ]


# Rows 18, 19 and 26: a token from elsewhere.


def adopt(folder: Path, keys: Path) -> None:
    """Give an installation the keys of another one."""
    shutil.rmtree(folder / ".hopward/keys")
    shutil.copytree(keys, folder / ".hopward/keys")


async def test_a_token_for_one_deployment_fails_at_another(tmp_path: Path) -> None:
    """Row 18: CVE-2026-44428, GO-2026-5273 (MCP registry)."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        install(tmp_path / name, stdio_server(tmp_path / "record"))
    adopt(tmp_path / "b", tmp_path / "a/.hopward/keys")
    async with front(tmp_path / "a", ("desk",)) as a, front(tmp_path / "b", ("desk",)) as b:
        assert a.guard.issuer.jwks() == b.guard.issuer.jwks()
        for own, other in ((a, b), (b, a)):
            token = own.token()
            assert (await own.call(token, "echo")).status == 200
            assert (await other.call(token, "echo")).status == 401
            assert len(own.servers["desk"].calls) == 1
        assert [len(one.servers["desk"].received) for one in (a, b)] == [1, 1]
        assert [row.reason for row in rows(a.guard, "refusal")] == ["wrong_audience"]


def resigned(fronted: Fronted, token: str, **changes: Any) -> str:
    """A token of the authority's own key that says something else."""
    claims = json.loads(decode(token.split(".")[1])) | changes
    ring = KeyRing.open(fronted.guard.settings.keys_folder)
    return sign({name: value for name, value in claims.items() if value is not None}, ring.signing, "at+jwt")


async def test_a_token_for_the_base_url_fails_at_a_mounted_server(fronted: Fronted) -> None:
    """Row 19: CVE-2025-69196 (FastMCP); the check itself is `hopward.identity`'s."""
    token, base = fronted.token(), fronted.base
    assert (await fronted.call(resigned(fronted, token), "echo")).status == 200
    endpoint = f"{base}/desk/mcp"
    for audience in (
        *(base, f"{base}/", f"{base}/desk", f"{endpoint}/", f"{endpoint}#", endpoint.upper(), "*", "", None),
        *([endpoint], [base, endpoint], [endpoint, base], f"{base}/other/mcp", "urn:example:desk", {}, 1),
    ):
        wrong = resigned(fronted, token, aud=audience, resource=endpoint)
        assert (await fronted.call(wrong, "echo")).status == 401, audience
    assert len(fronted.servers["desk"].received) == 1


async def test_a_token_from_another_environment_is_refused(tmp_path: Path) -> None:
    """Row 26: GHSA-vgf8-3685-66j9, GHSA-8pcq-mx48-hjvj (IBM ContextForge): the same keys and names, another
    issuer. At the authority itself: `tests/authority/test_token.py`."""
    async with front(tmp_path, ("desk",)) as production:
        staging = tmp_path / "staging"
        staging.mkdir()
        proxy = f'listen = "{production.base.removeprefix("http://")}"\npublic_url = "{production.base}"'
        text = http_server(production.servers["desk"].url)
        config = install(staging, text, proxy=proxy, authority='issuer = "http://127.0.0.1:8799"')
        adopt(staging, tmp_path / ".hopward/keys")
        with opened(config) as guard:
            other = Fronted(guard, production.app, production.base, {}, production.client)
            token = other.token()
        assert (await production.call(token, "echo")).status == 401
        assert production.servers["desk"].received == []
        assert [row.reason for row in rows(production.guard, "refusal")] == ["wrong_issuer"]
        good = production.token()
        for issuer in (None, "", "http://127.0.0.1:8700/", ["http://127.0.0.1:8700"]):
            assert (await production.call(resigned(production, good, iss=issuer), "echo")).status == 401


# Rows 22 and 24: an address from an answer.

CLIENTS = {"aiohttp", "httpx", "httpx2", "urllib.request", "urllib3", "requests", "http.client"}
FETCHERS = {
    ("hopward_authority.client", "httpx2"),
    ("hopward_authority.announcements", "httpx2"),
    ("hopward_authority.deliveries", "httpx2"),
    ("hopward_authority.documents", "httpx2"),
    ("hopward_authority.issuer_keys", "httpx2"),
    ("hopward_authority.fetching", "httpx2"),
    ("hopward_authority.provider", "httpx2"),
    ("hopward_mcp.era", "aiohttp"),
    ("hopward_mcp.external", "aiohttp"),
    ("hopward_mcp.http_authority", "aiohttp"),
    ("hopward_mcp.inflow", "aiohttp"),
    ("hopward_mcp.inspection", "httpx2"),
    ("hopward_mcp.loopback", "httpx2"),
    ("hopward_mcp.outbound", "aiohttp"),
    ("hopward_mcp.relay", "aiohttp"),
    ("hopward_mcp.remote", "aiohttp"),
    ("hopward_mcp.siblings", "aiohttp"),
    ("hopward_mcp.spans", "requests"),
    ("hopward_mcp.upstream", "aiohttp"),
    ("hopward_mcp.upstream_session", "aiohttp"),
}
"""Who may fetch anything, or post it: at its one address in `hopward.toml`, or from ourselves; the
document of an OAuth client at a host that `[login]` lets in (`hopward_authority.documents`)."""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 401])
async def test_no_fetched_url_reaches_an_internal_address(tmp_path: Path, status: int) -> None:
    """Row 22: CVE-2026-58196, GO-2026-6002 (ToolHive); CVE-2026-44430; CVE-2026-34476.

    Nothing is fetched in this version but what `hopward.toml` names; an answer leads nowhere else."""
    assert importing(CLIENTS) == FETCHERS
    async with asyncio.timeout(60), RecordingServer() as internal, front(tmp_path, ("desk",)) as running:
        desk, token = running.servers["desk"], running.token()
        desk.statuses["echo"] = status
        desk.pointing = pointers(internal.url)
        with watched() as seen:
            await running.call(token, "echo")
            await running.post(token, {"id": 2, "method": "tools/call", "params": {"name": "echo"}})
            message, headers = modern_call("echo")
            await running.post(token, message, headers | {"SW-URL": internal.url, "X-Url": internal.url})
        assert len(desk.calls) == 3
        assert internal.received == []
        ports = {int(url.rpartition(":")[2].partition("/")[0]) for url in (running.base, desk.url)}
        assert {address[1] for address in seen.connected} <= ports


def pointers(url: str) -> dict[str, str]:
    """Headers of an answer that point somewhere."""
    return {
        "Location": url,
        "Refresh": f"0; url={url}",
        "Link": f'<{url}>; rel="oauth-authorization-server"',
        "Content-Location": url,
        "WWW-Authenticate": f'Bearer resource_metadata="{url}", authorization_uri="{url}", as_uri="{url}"',
    }


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_spans_go_where_they_are_told_and_nowhere_else(status: int) -> None:
    """Row 22: a collector that points elsewhere does not have the spans sent there."""
    spans = importlib.import_module("hopward_mcp.spans")
    async with RecordingServer() as internal, pointing(status, internal.url) as (collector, asked):
        exporter = spans._Counted(collector)
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        await asyncio.to_thread(provider.get_tracer("t").start_span("s").end)
        await asyncio.to_thread(provider.shutdown)
        assert len(asked) == 1
        assert internal.received == []


@asynccontextmanager
async def pointing(status: int, url: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that sends everybody elsewhere; its URL and the paths it was asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": url})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def test_a_token_endpoint_that_points_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """Row 22: what authenticates the proxy goes to the one address that `hopward.toml` names."""
    port = free_port()
    config = install(tmp_path, stdio_server(tmp_path / "record"), authority=remote(port))
    async with (
        asyncio.timeout(60),
        RecordingServer() as internal,
        Impostor(port, lambda _: (500, b"")) as impostor,
    ):
        impostor.location = internal.url
        with opened(config) as guard:
            endpoint = TokenEndpoint(guard)
            session = Conversation(guard, authority=endpoint)
            session.call("echo")
            await session.comes()
            await endpoint.close()
        assert len(impostor.asked) == 1
        assert internal.received == []
        assert session.to_server == []


COMMANDS = (
    *("file:///c:/windows/system32/calc.exe", "javascript:alert(1)", "data:text/html,x", "ms-calculator:"),
    *("$(touch marker)", "`touch marker`", "http://$(touch marker)/", "vscode://x", "ssh://-oProxyCommand=x"),
    *("-x", "http:\\\\evil", "//evil.example", "cmd.exe /c calc", "http://127.0.0.1/\nx", "https://"),
)


async def test_a_discovered_url_never_becomes_a_command(tmp_path: Path) -> None:
    """Row 24: CVE-2025-6514 (mcp-remote): `authorization_endpoint` became an OS command."""
    async with front(tmp_path, ("desk",)) as running:
        desk, token = running.servers["desk"], running.token()
        desk.statuses["echo"] = 401
        for url in COMMANDS:
            # No header of a real server could hold a newline.
            desk.pointing = pointers(url.replace("\n", "%0a"))
            with watched() as seen:
                answered = await running.call(token, "echo")
            assert answered.message["error"]["message"] == "The server refused Hopward's credential."
            assert url not in answered.body.decode()
            assert not {"www-authenticate", "location", "refresh", "link"} & {
                *map(str.lower, answered.headers)
            }
            assert seen.started == []
    good = (tmp_path / "hopward.toml").read_text()
    for key in ("url", "public_url", "issuer"):
        for url in COMMANDS:
            line = f"{key} = {json.dumps(url)}"
            text = re.sub(rf"^{key} = .*$", lambda _, line=line: line, good, count=1, flags=re.MULTILINE)
            (tmp_path / "hopward.toml").write_text(text)
            with pytest.raises(ConfigError, match=rf"\.{key}: "):
                read_settings(tmp_path / "hopward.toml")


def test_the_command_of_a_server_is_the_one_of_the_configuration(tmp_path: Path) -> None:
    """Row 24: its words go to the system one by one, with no shell in between."""
    words = ["echo", "$(touch marker)", "; touch marker", "`touch marker`", "| touch marker", "&& x", "*"]
    text = process_server(tmp_path / "record")
    text = re.sub(r"^command = .*$", lambda _: f"command = {json.dumps(words)}", text, flags=re.MULTILINE)
    assert list(read_settings(install(tmp_path, text)).servers["desk"].command) == words
