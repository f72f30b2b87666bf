"""How a credential reaches a server: from where an API key comes, and what is refused."""

import sys
from pathlib import Path

import pytest

from hopward import ConfigError, Settings
from hopward_mcp.child import command
from hopward_mcp.delivery import Courier, courier

from .installation import http_server, install, opened, stdio_server

KEYRING = """
def get_password(service, user):
    return {"search/api": "from-the-keyring"}.get(f"{service}/{user}")
"""


def settings(folder: Path, credential: str, *, http: bool = True) -> Settings:
    server = http_server("http://127.0.0.1:1/mcp", credential=credential)
    with opened(
        install(folder, server if http else stdio_server(folder / "r", credential=credential))
    ) as guard:
        return guard.settings


def made(folder: Path, credential: str, environment: dict[str, str], *, http: bool = True) -> Courier:
    return courier(settings(folder, credential, http=http), "desk", environment)


def test_a_token_travels_in_the_authorization_header(tmp_path: Path) -> None:
    sender = made(tmp_path, '{ by = "authorization" }', {})
    assert sender.per_call
    assert sender.call_headers("t") == {"Authorization": "Bearer t"}
    assert sender.call_params({"a": 1}, "t") == {"a": 1}


def test_a_token_travels_in_the_requests_meta_beside_what_is_there(tmp_path: Path) -> None:
    sender = made(tmp_path, '{ by = "meta" }', {}, http=False)
    params = {"a": 1, "_meta": {"x": 1}}
    assert sender.call_params(params, "t") == {"a": 1, "_meta": {"x": 1, "dev.hopward/credential": "t"}}
    assert params == {"a": 1, "_meta": {"x": 1}}
    assert sender.call_headers("t") == {}


def test_an_api_key_comes_from_the_environment(tmp_path: Path) -> None:
    sender = made(tmp_path, '{ by = "header", name = "X-Key", environment = "KEY" }', {"KEY": "s3cret-key"})
    assert sender.headers == {"X-Key": "s3cret-key"}
    assert not sender.per_call
    assert sender.secrets == ("s3cret-key",)


@pytest.mark.parametrize(
    ("value", "secrets"),
    [
        ("Bearer sk-0123456789", ("Bearer sk-0123456789", "sk-0123456789")),
        ("ApiKey k7Q2xW9z", ("ApiKey k7Q2xW9z", "k7Q2xW9z")),
        ("s3cret-key", ("s3cret-key",)),
    ],
)
def test_a_key_is_a_secret_without_the_word_before_it_too(
    tmp_path: Path, value: str, secrets: tuple[str, ...]
) -> None:
    brokered = '{ by = "header", name = "Authorization", environment = "KEY" }'
    assert made(tmp_path, brokered, {"KEY": value}).secrets == secrets


def test_an_api_key_comes_from_the_keyring_which_is_loaded_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keyring.py").write_text(KEYRING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "keyring", raising=False)
    made(tmp_path, '{ by = "meta" }', {}, http=False)
    assert "keyring" not in sys.modules
    brokered = '{ by = "variable", name = "SEARCH_KEY", keyring = "search/api" }'
    sender = made(tmp_path, brokered, {}, http=False)
    assert sender.environment == {"SEARCH_KEY": "from-the-keyring"}
    monkeypatch.delitem(sys.modules, "keyring")


@pytest.mark.parametrize("environment", [{}, {"KEY": ""}, {"KEY": "two\nlines"}, {"KEY": "tab\there"}])
def test_a_missing_or_unusable_api_key_refuses_to_start(tmp_path: Path, environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="environment variable KEY holds no API key"):
        made(tmp_path, '{ by = "header", name = "X-Key", environment = "KEY" }', environment)


def test_a_server_gets_the_variables_that_are_passed_by_name_and_no_others(tmp_path: Path) -> None:
    passed = stdio_server(tmp_path / "r").replace(
        'workflow = "tickets"', 'workflow = "tickets"\npass_environment = ["MODE", "NOT_SET"]'
    )
    with opened(install(tmp_path, passed)) as guard:
        environment = {"MODE": "quiet", "OTHER": "secret", "HOME": "/home/you"}
        nothing = Courier("meta", {}, {})
        started = command(guard.settings, "desk", nothing, environment)
    assert started.environment == {"MODE": "quiet", "HOME": "/home/you"}
