"""A real SPIRE server and agent: one trust domain on loopback, workloads known by the user they run as."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from .public import installed
from .running import PATIENCE, Running
from .served import ended, free_port

TRUST_DOMAIN = "hopward.test"

_SERVER = """
server {{
    bind_address = "127.0.0.1"
    bind_port = "{port}"
    socket_path = "{folder}/server.sock"
    trust_domain = "{trust_domain}"
    data_dir = "{folder}/server"
    log_level = "WARN"
    ca_ttl = "24h"
    default_x509_svid_ttl = "1h"
    default_jwt_svid_ttl = "{jwt_seconds}s"
}}
plugins {{
    DataStore "sql" {{
        plugin_data {{
            database_type = "sqlite3"
            connection_string = "{folder}/server.sqlite3"
        }}
    }}
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "memory" {{ plugin_data {{}} }}
}}
"""

_AGENT = """
agent {{
    data_dir = "{folder}/agent"
    log_level = "WARN"
    server_address = "127.0.0.1"
    server_port = "{port}"
    socket_path = "{folder}/agent.sock"
    trust_domain = "{trust_domain}"
    trust_bundle_path = "{folder}/bundle.pem"
    join_token = "{token}"
    experimental {{ sync_interval = "1s" }}
}}
plugins {{
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "memory" {{ plugin_data {{}} }}
    WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"""


@dataclass(frozen=True)
class Spire:
    """A server and its agent, both ready. `folder` holds their sockets."""

    folder: Path
    server: str
    agent: str

    @property
    def workload_api(self) -> str:
        """The address of the Workload API."""
        return f"unix:{self.folder}/agent.sock"

    def said(self, *words: str) -> str:
        """What `spire-server` answers to a command."""
        line = [self.server, *words, "-socketPath", f"{self.folder}/server.sock"]
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def bundle(self) -> str:
        """The trust domain's bundle, in the SPIFFE format."""
        return self.said("bundle", "show", "-format", "spiffe")

    def register(self, name: str, *, user: int | None = None, x509_seconds: int = 3600) -> str:
        """An entry for workloads that run as a user, this process's own by default; its SPIFFE ID.

        What is for this user can be fetched when this returns.
        """
        spiffe_id = f"spiffe://{TRUST_DOMAIN}/{name}"
        uid = os.getuid() if user is None else user
        until = monotonic() + PATIENCE
        self.said(
            *("entry", "create", "-spiffeID", spiffe_id, "-parentID", self._node),
            *("-selector", f"unix:uid:{uid}", "-x509SVIDTTL", str(x509_seconds)),
        )
        while user is None and not self.fetched(spiffe_id):
            assert monotonic() < until, "the agent has not heard of the entry"
        return spiffe_id

    def fetched(self, spiffe_id: str) -> bool:
        """Whether a process of this user gets a JWT-SVID with this SPIFFE ID."""
        line = [self.agent, "api", "fetch", "jwt", "-audience", "test", "-spiffeID", spiffe_id]
        line += ["-socketPath", f"{self.folder}/agent.sock", "-timeout", "5s"]
        return not subprocess.run(line, capture_output=True, check=False, timeout=PATIENCE).returncode

    def delete(self, spiffe_id: str) -> None:
        """Delete every entry of a SPIFFE ID."""
        found = json.loads(self.said("entry", "show", "-spiffeID", spiffe_id, "-output", "json"))
        for entry in found["entries"]:
            self.said("entry", "delete", "-entryID", entry["id"])

    def gone(self, spiffe_id: str) -> None:
        """Wait until the agent gives no process of this user an SVID with this SPIFFE ID any more."""
        until = monotonic() + PATIENCE
        while self.fetched(spiffe_id):
            assert monotonic() < until, "the agent has not heard that the entry is gone"

    @property
    def _node(self) -> str:
        return f"spiffe://{TRUST_DOMAIN}/node"


@contextmanager
def running_spire(folder: Path, *, jwt_seconds: int = 60) -> Iterator[Spire]:
    """SPIRE in a new folder; skips the test where it is not installed.

    `folder` has a short path, for sockets. JWT-SVIDs live for `jwt_seconds`.
    """
    server, agent = installed("spire.sh")
    spire = Spire(folder, server, agent)
    known = {"folder": folder, "port": free_port(), "trust_domain": TRUST_DOMAIN, "jwt_seconds": jwt_seconds}
    (folder / "server.conf").write_text(_SERVER.format(**known), "utf-8")
    with ExitStack() as started:
        serving = Running([server, "run", "-config", f"{folder}/server.conf"], folder)
        started.enter_context(ended(serving))
        _until_healthy(server, f"{folder}/server.sock", serving)
        (folder / "bundle.pem").write_text(spire.said("bundle", "show"), "utf-8")
        told = spire.said("token", "generate", "-spiffeID", f"spiffe://{TRUST_DOMAIN}/node")
        (token,) = re.findall(r"Token: (\S+)", told)
        (folder / "agent.conf").write_text(_AGENT.format(**known, token=token), "utf-8")
        attesting = Running([agent, "run", "-config", f"{folder}/agent.conf"], folder)
        started.enter_context(ended(attesting))
        _until_healthy(agent, f"{folder}/agent.sock", attesting)
        yield spire


def _until_healthy(command: str, socket: str, running: Running) -> None:
    """Wait for the health check of a server or an agent."""
    check = [command, "healthcheck", "-socketPath", socket]
    until = monotonic() + PATIENCE
    while subprocess.run(check, capture_output=True, check=False, timeout=PATIENCE).returncode:
        assert running.process.poll() is None, running.said
        assert monotonic() < until, running.said
