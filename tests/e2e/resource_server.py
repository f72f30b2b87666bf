"""An MCP server on loopback that accepts another issuer's tokens: it verifies each with PyJWT before it
answers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import jwt

from hopward import CredentialVerifier, TokenError


@dataclass
class ResourceServer:
    """`calls` are the claims of the token of each tools/call, and of the signed chain beside it, if one
    was."""

    jwks_uri: str
    issuer: str
    audience: str
    algorithm: str
    chains: CredentialVerifier | None = None
    calls: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list[Any])
    tokens: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    url: str = ""

    def answer(self, message: dict[str, Any], bearer: str, statement: str) -> dict[str, Any] | None:
        """The result of a message whose token is in order; None for one that is refused."""
        params = message.get("params", {})
        try:
            key = jwt.PyJWKClient(self.jwks_uri).get_signing_key_from_jwt(bearer).key
            claims = jwt.decode(
                bearer, key, algorithms=[self.algorithm], audience=self.audience, issuer=self.issuer
            )
            chain: dict[str, Any] = {}
            if message["method"] == "tools/call" and self.chains is not None:
                arguments = params.get("arguments", {})
                chain = self.chains.verify_statement(
                    statement, token=bearer, tool=params["name"], arguments=arguments
                )
        except (jwt.PyJWTError, TokenError) as error:
            self.refused.append(f"{type(error).__name__}: {error}")
            return None
        self.tokens.append(bearer)
        if message["method"] == "tools/call":
            self.calls.append((claims, chain))
            return {"content": [{"type": "text", "text": "done"}]}
        if message["method"] == "initialize":
            about = {"name": "desk", "version": "1"}
            version = params.get("protocolVersion")
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("read_refund", "pay_refund")]
        return {"tools": tools}


@contextmanager
def serving(served: ResourceServer) -> Iterator[ResourceServer]:
    """The server, listening, with its `url`."""
    handler = type("Handler", (_Handler,), {"served": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        served.url = f"http://127.0.0.1:{http.server_port}/mcp"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield served
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: ClassVar[ResourceServer]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        result = self.served.answer(message, bearer, self.headers.get("Hopward-Chain", ""))
        if result is None:
            self._send(401, b"")
        elif "id" not in message:
            self._send(202, b"")
        else:
            whole = {"jsonrpc": "2.0", "id": message["id"], "result": {"resultType": "complete", **result}}
            self._send(200, json.dumps(whole).encode())

    def do_GET(self) -> None:
        self._send(405, b"")

    do_DELETE = do_GET

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
