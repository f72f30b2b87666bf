"""Notes over Streamable HTTP, for callers with a credential minted for the call."""

import json
from functools import cache
from urllib.request import urlopen

import uvicorn
from mcp.server.mcpserver import MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse

from hopward import CredentialVerifier, TokenError

ISSUER = "http://127.0.0.1:8700"
RESOURCE = "http://127.0.0.1:8800/mcp"
CALLS = {"tools/call": ("", "name"), "resources/read": ("resource:", "uri"), "prompts/get": ("prompt:", "name")}

server = MCPServer("notes", log_level="ERROR")
notes = {"shopping": "milk, bread"}


@server.tool()
async def read_note(title: str) -> str:
    """Read one note."""
    return notes[title]


@server.tool()
async def write_note(title: str, text: str) -> str:
    """Write one note."""
    notes[title] = text
    return f"wrote {title}"


def jwks():
    with urlopen(f"{ISSUER}/jwks", timeout=10) as answer:
        return json.load(answer)


@cache
def verifier():
    return CredentialVerifier(ISSUER, RESOURCE, jwks)


def unique(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key occurs twice")
    return members


def check(body, authorization):
    """Raises unless the message calls nothing, or comes with a credential for what it calls."""
    message = json.loads(body, object_pairs_hook=unique)
    if message.get("method") not in CALLS:
        return
    prefix, member = CALLS[message["method"]]
    params = message["params"]
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise TokenError("A credential minted for this call is required.")
    verifier().verify(token, tool=prefix + params[member], arguments=params.get("arguments") or {})


class Door:
    """Lets through what `check` lets through."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        try:
            check(body, Request(scope).headers.get("authorization", ""))
        except (TokenError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            told = {"error": "invalid_token", "error_description": str(error)}
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            await JSONResponse(told, 401, challenge)(scope, receive, send)
            return
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def again():
            return waiting.pop() if waiting else await receive()

        await self.app(scope, again, send)


if __name__ == "__main__":
    print(f"notes: {RESOURCE}", flush=True)
    uvicorn.run(Door(server.streamable_http_app()), host="127.0.0.1", port=8800, log_level="warning")
