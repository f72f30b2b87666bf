"""Reads `hopward.toml`, checks all of it, and refuses to start with every mistake named by file and line."""

import importlib
import os
import sys
import tomllib
from pathlib import Path

import msgspec
from msgspec import field

from hopward.authorization_servers import AuthorizationServerSettings
from hopward.config.problem import Problem, Table
from hopward.config.rules import broken_rules
from hopward.errors import ConfigError
from hopward.exposure import check_unexposed
from hopward.model import Value
from hopward.people import PeopleSettings
from hopward.secevent import EventSettings
from hopward.settings import (
    AgentSettings,
    ApprovalSettings,
    AuthoritySettings,
    ClientSettings,
    LoginSettings,
    LogSettings,
    ProxySettings,
    ServerSettings,
    Settings,
    TelemetrySettings,
    WorkflowSettings,
)
from hopward.thresholds import RiskSettings
from hopward.workload import IdentitySettings

FILE_NAME = "hopward.toml"

LARGEST_FILE = 4 * 1024 * 1024
"""Bytes; nobody writes more by hand."""


class Document(Value, frozen=True):
    """`hopward.toml` as written. What grants or protects anything has no default."""

    authority: AuthoritySettings
    state: str = ".hopward"
    policies: str = "policies"
    log: LogSettings = LogSettings()
    proxy: ProxySettings = ProxySettings()
    agents: dict[str, AgentSettings] = field(default_factory=dict[str, AgentSettings])
    servers: dict[str, ServerSettings] = field(default_factory=dict[str, ServerSettings])
    workflows: dict[str, WorkflowSettings] = field(default_factory=dict[str, WorkflowSettings])
    approvals: ApprovalSettings = ApprovalSettings()
    telemetry: TelemetrySettings | None = None
    risk: RiskSettings = RiskSettings()
    clients: dict[str, ClientSettings] = field(default_factory=dict[str, ClientSettings])
    login: LoginSettings = LoginSettings()
    identity: IdentitySettings = IdentitySettings()
    authorization_servers: dict[str, AuthorizationServerSettings] = field(
        default_factory=dict[str, AuthorizationServerSettings]
    )
    events: EventSettings = EventSettings()
    people: PeopleSettings | None = None


def read_settings(path: Path) -> Settings:
    """The settings in a `hopward.toml`.

    Raises `ConfigError` with *every* mistake, each as `hopward.toml:LINE: KEY: what is wrong`, and where
    everyone could change the file.
    """
    return checked_settings(_read(path), path)


def checked_settings(text: str, path: Path) -> Settings:
    """The settings that `text` would give if it stood in the file `path`; raises as `read_settings` does."""
    document = _parse(path, text)
    broken = list(broken_rules(document))
    try:
        checked = msgspec.convert(document, Document)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _refusal(path, text, document, broken, str(error)) from None
    if broken:
        raise _refusal(path, text, document, broken, "")
    root = path.absolute().parent
    return Settings(
        root=root,
        state=root / checked.state,
        policies=root / checked.policies,
        authority=checked.authority,
        log=checked.log,
        proxy=checked.proxy,
        agents=checked.agents,
        servers=checked.servers,
        workflows=checked.workflows,
        approvals=checked.approvals,
        telemetry=checked.telemetry,
        risk=checked.risk,
        clients=checked.clients,
        login=checked.login,
        identity=checked.identity,
        authorization_servers=checked.authorization_servers,
        events=checked.events,
        people=checked.people,
    )


def find_settings(start: Path) -> Path:
    """The nearest `hopward.toml` in a folder or above it.

    Raises `ConfigError` where there is none, or where it belongs to another user: it names programs to
    start, and a folder above may be one that anybody can write to.
    """
    folder = start.absolute()
    for candidate in (above / FILE_NAME for above in (folder, *folder.parents)):
        if candidate.is_file():
            if not _is_ours(candidate):
                told = f"{candidate} belongs to another user."
                raise ConfigError(told, advice="If you trust it, name it with --config or HOPWARD_CONFIG.")
            return candidate
    raise ConfigError(
        f"There is no {FILE_NAME} in {folder} or in any folder above it.",
        advice="Run `hopward init` to make one here, or name one with --config or HOPWARD_CONFIG.",
    )


def _is_ours(path: Path) -> bool:
    return sys.platform == "win32" or path.stat().st_uid in (0, os.geteuid())


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        told = f"{path} cannot be read: {error.strerror or error}."
        raise ConfigError(told, advice="Run `hopward init` to make one.") from None
    check_unexposed(path)
    if len(data) > LARGEST_FILE:
        raise ConfigError(f"{path} is larger than {LARGEST_FILE} bytes.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(path, (f"{path.name}:{line}: is not UTF-8 text",)) from None


def _parse(path: Path, text: str) -> Table:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        told = importlib.import_module("hopward.config.diagnosis").syntax_problem(str(error), text)
        raise _refused(path, (f"{path.name}:{told}",)) from None
    except ValueError:
        raise _refused(path, (f"{path.name}:1: holds a number of more than 4300 digits",)) from None
    except RecursionError:
        raise _refused(path, (f"{path.name}:1: is nested too deeply",)) from None


def _refusal(path: Path, text: str, document: Table, broken: list[Problem], told: str) -> ConfigError:
    """The error with all mistakes. What it takes to find them is imported only now: it is slow to import."""
    diagnosis = importlib.import_module("hopward.config.diagnosis")
    problems: list[str] = diagnosis.located(text, document, broken, Document, told)
    return _refused(path, tuple(f"{path.name}:{problem}" for problem in problems))


def _refused(path: Path, problems: tuple[str, ...]) -> ConfigError:
    count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    return ConfigError(f"{path} cannot be used, {count}:", problems=problems)
