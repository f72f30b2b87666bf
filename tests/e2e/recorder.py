"""A server, run by the tests as a process of its own, that writes down what it is sent before it answers.

    recorder.py RECORD --stdio
    recorder.py RECORD --http PORT    prints the port it listens on

Each message is one line of the file RECORD: the bytes that came, read as Latin-1, and the claims of the
credential that came with it. `note` and `change` answer with the decision in that credential, `gated` does
once the test lets it (see `gate.py`); `silent` never answers, `die` ends the process instead, and `garble`
answers what is no JSON.
"""

import base64
import json
import math
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOOLS = ("note", "change", "erase", "gated", "silent", "die", "garble", "unclassified")
"""What it offers: the tests classify all but the last."""

CREDENTIAL = "dev.hopward/credential"


class Recorder:
    """The file, and the answers."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def answer(self, raw: bytes, bearer: str = "") -> bytes | None:
        """The answer to one message, or None where there is none; written down first."""
        message = _parsed(raw)
        claims = _claims(bearer or _params(message).get("_meta", {}).get(CREDENTIAL, ""))
        line = json.dumps({"raw": raw.decode("latin-1"), "message": message, "claims": claims})
        os.write(self._file, line.encode() + b"\n")
        if "id" not in message or "method" not in message:
            return None
        if message["method"] != "tools/call":
            return _response(message, _result(message))
        match _params(message).get("name"):
            case "silent":
                return None
            case "die":
                os._exit(9)
            case "garble":
                return _response(message, {"amount": math.nan})
            case "gated":
                _wait_at_the_gate()
        told = {"decision": claims.get("decision"), "jti": claims.get("jti")}
        return _response(message, {"content": [{"type": "text", "text": json.dumps(told)}]})


def _wait_at_the_gate() -> None:
    with open("reached", "wb") as reached:
        reached.write(b".")
    with open("gate", "rb") as gate:
        gate.read()


def _result(message: dict[str, Any]) -> dict[str, Any]:
    if message["method"] == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
    if message["method"] == "initialize":
        version = _params(message).get("protocolVersion")
        about = {"name": "recorder", "version": "1"}
        return {
            "protocolVersion": version,
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": about,
        }
    return {}


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        message = json.loads(raw)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _params(message: dict[str, Any]) -> dict[str, Any]:
    return message.get("params", {})


def _response(message: dict[str, Any], result: dict[str, Any]) -> bytes:
    whole = {"resultType": "complete", **result}
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": whole}).encode()


def _claims(token: str) -> dict[str, Any]:
    """What a token says; checking it is not this server's job."""
    if token.count(".") != 2:
        return {}
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def serve_stdio(recorder: Recorder) -> None:
    """Until the client closes standard input."""
    for line in sys.stdin.buffer:
        answer = recorder.answer(line.rstrip(b"\n"))
        if answer is not None:
            sys.stdout.buffer.write(answer + b"\n")
            sys.stdout.buffer.flush()


def serve_http(recorder: Recorder) -> None:
    """Until the process is told to end."""

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            answer = recorder.answer(body, bearer)
            if answer is None and b'"id"' in body:
                threading.Event().wait()
            self.send_response(202 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer or b"")))
            self.end_headers()
            self.wfile.write(answer or b"")

        def do_GET(self) -> None:
            self.send_error(405)

        do_DELETE = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Endpoint) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    serve = {"--stdio": serve_stdio, "--http": serve_http}[sys.argv[2]]
    serve(Recorder(sys.argv[1]))
