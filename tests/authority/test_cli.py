"""`hopward authority`: a real process, a real port, and a key rotated under it."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import httpx2
import pytest

from hopward import ConfigError
from hopward.assertion import client_assertion
from hopward.keys import KeyRing
from hopward.project import create
from hopward_authority.cli import listening

CONFIG = """
state = ".hopward"
policies = "policies"
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "http://127.0.0.1:{port}"
listen = "127.0.0.1:{port}"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    with create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    path = tmp_path / "hopward.toml"
    path.write_text(CONFIG.format(port=port))
    create(tmp_path)
    return path


def hopward(config: Path, *words: str) -> list[str]:
    program = "from hopward.cli import main; main()"
    return [sys.executable, "-c", program, "--config", str(config), *words]


@contextmanager
def serving(config: Path) -> Generator[str]:
    """The address of an authority that listens."""
    process = subprocess.Popen(hopward(config, "authority", "serve"), stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert told.startswith("Hopward authority http://127.0.0.1:"), told + process.stderr.read()
        yield told.split()[2]
    finally:
        process.terminate()
        process.communicate()


def test_the_authority_is_served_and_its_key_rotated_while_it_runs(config: Path) -> None:
    proxy = KeyRing.open(config.parent / ".hopward" / "keys").proxy
    with serving(config) as address:
        document = httpx2.get(f"{address}/.well-known/oauth-authorization-server").json()
        assert document["issuer"] == address
        before = httpx2.get(document["jwks_uri"]).json()["keys"]
        done = subprocess.run(
            hopward(config, "authority", "rotate"), capture_output=True, text=True, check=True
        )
        after = httpx2.get(document["jwks_uri"]).json()["keys"]
        assert [key["kid"] for key in after][1:] == [key["kid"] for key in before]
        assert after[0]["kid"] in done.stdout
        assert f"hopward revoke key {before[0]['kid']}" in done.stderr
        form = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": client_assertion("hopward-proxy", address, proxy),
            "token": "x",
        }
        answer = httpx2.post(document["introspection_endpoint"], data=form)
        assert (answer.status_code, answer.json()) == (200, {"active": False})
        assert "server" not in answer.headers
        assert httpx2.get(f"{address}/jwks", headers={"Host": "evil.example"}).status_code == 403


def test_an_address_that_is_taken_is_told_as_such(config: Path) -> None:
    with serving(config):
        done = subprocess.run(
            hopward(config, "authority", "serve"), capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert "cannot listen" in done.stderr


def test_a_remote_authority_is_not_served_here(config: Path) -> None:
    text = config.read_text().replace(
        "[authority]", '[authority]\nmode = "remote"\ntoken_endpoint = "https://a.example/t"'
    )
    config.write_text(text)
    done = subprocess.run(hopward(config, "authority", "serve"), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "elsewhere" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "listen", ["", "8700", ":8700", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "a:-1"]
)
def test_an_address_to_listen_on_has_a_host_and_a_port(listen: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        listening(listen)
    assert listening("[::1]:8700") == ("::1", 8700)
    assert listening("localhost:0") == ("localhost", 0)
