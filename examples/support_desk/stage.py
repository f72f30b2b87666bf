"""The demo's stage: a folder of its own, free ports, and the processes that run there until the demo ends."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import tomlkit

HERE = Path(__file__).parent
HOPWARD = Path(sys.executable).with_name("hopward")
MARK = ".made-by-the-demo"
PATIENCE = 30.0
"""Seconds that a process may take to answer its first request."""


class DemoError(Exception):
    """Something did not happen as the demo says it does."""


@dataclass(frozen=True)
class Running:
    """A process of the stage, and the file with what it says."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def wait_for(self, url: str) -> None:
        """Until something answers at a URL; raises `DemoError` when the process ends instead."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx2.get(url, timeout=PATIENCE)
            except httpx2.TransportError:
                time.sleep(0.05)
            else:
                return
        raise DemoError(f"nothing answers at {url}:\n{self.log.read_text('utf-8').strip()}")


@dataclass(frozen=True)
class Stage:
    """Where everything is: `folder` holds hopward.toml, the keys, the decision log, the servers' data."""

    folder: Path
    authority: str
    proxy: str
    server: str
    processes: ExitStack

    @property
    def log(self) -> Path:
        """The decision log."""
        return self.folder / ".hopward" / "decisions.db"

    def received(self, transport: str) -> dict[str, Any]:
        """The claims of the last credential that opened the server of a transport."""
        lines = (self.folder / transport / "received.jsonl").read_text("utf-8").splitlines()
        if not lines:
            raise DemoError(f"the {transport} server has received nothing")
        return cast("dict[str, Any]", json.loads(lines[-1]))["claims"]

    def hopward(self, *arguments: str, status: int = 0) -> str:
        """What a `hopward` command prints; raises `DemoError` unless it ends with the expected status."""
        command = [str(HOPWARD), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode != status:
            told = f"{done.stdout}{done.stderr}".strip()
            raise DemoError(
                f"hopward {' '.join(arguments)} ended with {done.returncode}, not {status}:\n{told}"
            )
        return done.stdout

    def start(self, name: str, *command: str) -> Running:
        """Start a process that ends with the stage. What it says goes to `NAME.log`."""
        path = self.folder / f"{name}.log"
        with path.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.processes.callback(_end, process)
        return Running(process, path)


@contextmanager
def stage(folder: Path, agent_key: dict[str, str]) -> Generator[Stage]:
    """A fresh folder with configuration, keys and log, and what runs there; all of it ends on the way out."""
    if folder.exists():
        if not (folder / MARK).exists():
            raise DemoError(f"{folder} exists and is not the demo's; remove it, or name another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    urls = [f"http://127.0.0.1:{port}" for port in _free_ports(3)]
    with ExitStack() as processes:
        made = Stage(folder.resolve(), urls[0], urls[1], f"{urls[2]}/mcp", processes)
        shutil.copytree(HERE / "policies", folder / "policies")
        (folder / "hopward.toml").write_text(_configuration(made, agent_key), "utf-8")
        made.hopward("init")
        _start_all(made)
        yield made


def _start_all(made: Stage) -> None:
    authority = made.start("authority", str(HOPWARD), "authority", "serve")
    address = made.server.removeprefix("http://").removesuffix("/mcp")
    checked = _checked(made, name="support_desk_http", resource=made.server, data="http")
    server = made.start("server", sys.executable, str(HERE / "server.py"), "--http", address, *checked)
    proxy = made.start("proxy", str(HOPWARD), "mcp", "serve")
    authority.wait_for(f"{made.authority}/.well-known/oauth-authorization-server")
    server.wait_for(made.server)
    proxy.wait_for(f"{made.proxy}/.well-known/oauth-protected-resource/support_desk_http/mcp")


def _checked(made: Stage, *, name: str, resource: str, data: str) -> list[str]:
    """The options with which a support desk checks the credentials of this stage's authority."""
    jwks = f"{made.authority}/jwks"
    folder = str(made.folder / data)
    issued = ["--issuer", made.authority, "--jwks", jwks]
    return ["--name", name, "--resource", resource, *issued, "--data", folder]


def _configuration(made: Stage, agent_key: dict[str, str]) -> str:
    """The example's hopward.toml, moved to this stage's ports, with the agent's public key."""
    document: Any = tomlkit.parse((HERE / "hopward.toml").read_text("utf-8"))
    document["authority"]["issuer"] = made.authority
    document["authority"]["listen"] = made.authority.removeprefix("http://")
    document["proxy"]["public_url"] = made.proxy
    document["proxy"]["listen"] = made.proxy.removeprefix("http://")
    document["agents"]["support-agent"]["key"] = agent_key
    stdio, http = document["servers"]["support_desk"], document["servers"]["support_desk_http"]
    checked = _checked(made, name="support_desk", resource=stdio["resource"], data="stdio")
    stdio["command"] = [sys.executable, str(HERE / "server.py"), "--stdio", *checked]
    http["url"] = http["resource"] = made.server
    return tomlkit.dumps(document)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
