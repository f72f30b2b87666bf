"""How a credential reaches a server: HTTP `Authorization`, the request's `_meta`, or a brokered API key.

    authorization   `Authorization: Bearer TOKEN`, per call               servers with `url`
    meta            `params._meta["dev.hopward/credential"]`, per call    any server
    header          an API key in a header of every request               servers with `url`
    variable        an API key in the environment of the server's process servers with `command`

API keys come from an environment variable or the operating system's keyring; the agent never sees them.
"""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hopward import ConfigError, Settings

_LEAST_KEY = 8
"""Characters of a word that is taken for a key by itself. No service gives out a shorter one."""

_STAND_IN = re.compile(
    r"change[-_ ]?me|placeholder|example|undefined|none|null|todo|(.)\1*|<.*>|\$?\{.*\}|%.*%"
    r"|(?:(?:a|my|your|the|insert|enter|example|sample|test|dummy|fake|default|secret|super)[-_ ]?)*"
    r"(?:api[-_ ]?)?(?:key|token|secret|password|passwd)(?:[-_ ]?here|1234?)?",
    re.IGNORECASE,
)
"""What stands where somebody was meant to put a key, or has put the one of the documentation."""

CREDENTIAL_KEY = "dev.hopward/credential"
CHAIN_KEY, CHAIN_HEADER = "dev.hopward/chain", "Hopward-Chain"
"""Where the signed chain stands that goes along with a token which does not say it."""


@dataclass(frozen=True, slots=True)
class Courier:
    """Attaches credentials for one server.

    `per_call` says whether each call gets a token of its own. `headers` and `environment` hold the brokered
    API key, if any.
    """

    by: str
    headers: Mapping[str, str]
    environment: Mapping[str, str]

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never reach a client, were the server to repeat it: also a key without its `Bearer`."""
        whole = (*self.headers.values(), *self.environment.values())
        bare = (value.rpartition(" ")[2] for value in whole)
        return (*whole, *(word for word in bare if word not in whole and len(word) >= _LEAST_KEY))

    @property
    def per_call(self) -> bool:
        return self.by in ("authorization", "meta")

    def call_headers(self, token: str, statement: str = "") -> Mapping[str, str]:
        """The headers that carry one call's credential, and the signed chain that goes with it, if one
        does."""
        if self.by != "authorization":
            return {}
        headers = {"Authorization": f"Bearer {token}"}
        return {**headers, CHAIN_HEADER: statement} if statement else headers

    def call_params(self, params: dict[str, Any], token: str, statement: str = "") -> dict[str, Any]:
        """The params that carry one call's credential; the same object unless it travels in `_meta`."""
        if self.by != "meta":
            return params
        carried = {CREDENTIAL_KEY: token, **({CHAIN_KEY: statement} if statement else {})}
        return {**params, "_meta": {**params.get("_meta", {}), **carried}}


def in_process(server: str) -> ConfigError:
    """What to tell someone who points the proxy at the tools of a program."""
    return ConfigError(
        f"servers.{server} is in_process: its tools run in a program, and there is no MCP server to reach.",
        advice="Guard them inside that program, with langchain-hopward for LangChain tools.",
    )


def courier(settings: Settings, server: str, environment: Mapping[str, str]) -> Courier:
    """The courier of a server; raises `ConfigError` when its API key is not where the settings say.

    `environment` is this process's.
    """
    entry = settings.servers[server]
    if entry.in_process:
        raise in_process(server)
    delivery = entry.credential
    needed = {"authorization": "url", "header": "url", "variable": "command"}.get(delivery.by, "")
    if needed and not getattr(entry, needed):
        raise ConfigError(
            f'servers.{server}: a credential delivered by "{delivery.by}" needs a server with `{needed}`.',
            advice="docs/reference/configuration.md lists which delivery fits which server.",
        )
    if delivery.by in ("authorization", "meta"):
        return Courier(delivery.by, {}, {})
    if delivery.environment:
        where = f"environment variable {delivery.environment}"
        secret = environment.get(delivery.environment, "")
    else:
        where = f"keyring entry {delivery.keyring}"
        secret = _from_keyring(server, delivery.keyring)
    if not secret or not secret.isprintable() or not delivery.name:
        raise ConfigError(
            f"servers.{server}: {where} holds no API key that can be sent as {delivery.name!r}."
        )
    bare = secret.strip().rpartition(" ")[2]
    if len(bare) < _LEAST_KEY or _STAND_IN.fullmatch(bare):
        raise ConfigError(
            f"servers.{server}: {where} holds a placeholder, or a key that anybody could guess.",
            advice="Put the key there that the server's operator has given out.",
        )
    brokered = {delivery.name: secret}
    return (
        Courier(delivery.by, brokered, {}) if delivery.by == "header" else Courier(delivery.by, {}, brokered)
    )


def _from_keyring(server: str, entry: str) -> str:
    service, _, user = entry.rpartition("/")
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        raise ConfigError(
            f"servers.{server}: credential.keyring needs the Python package keyring.",
            advice="Install keyring, or name an environment variable instead.",
        ) from None
    return keyring.get_password(service, user) or ""
