"""What must hold in `hopward.toml` beyond types: names, addresses, nothing blank or left to fill in.

The rules read the document as parsed, so that they still speak when some other key has the wrong type.
"""

from collections.abc import Iterator
from os.path import normpath
from typing import Any, cast

from hopward.config import forms
from hopward.config.agents import agent_problems
from hopward.config.approvals import approval_problems
from hopward.config.authorization_servers import authorization_server_problems
from hopward.config.events import event_problems
from hopward.config.hops import hop_problems
from hopward.config.identity import identity_problems
from hopward.config.logins import login_problems
from hopward.config.names import alike, name_problems
from hopward.config.people import people_problems
from hopward.config.problem import KeyPath, Problem, Table, items, table, text
from hopward.config.risk import risk_problems
from hopward.config.servers import server_problems
from hopward.config.workflows import workflow_problems
from hopward.settings import AuthoritySettings, ProxySettings

_SECTIONS = ("servers", "agents", "workflows", "clients")
_AUTHORITY_LISTEN = AuthoritySettings(issuer="").listen
_FOLDERS = {"state": ".hopward", "policies": "policies"}
_LIMITS = {
    "max_message_bytes": 1_073_741_824,
    "max_depth": 512,
    "call_timeout_seconds": 86_400,
    "max_processes": 1_024,
    "process_idle_seconds": 86_400,
    "restarts": 1_000,
    "max_connections": 65_536,
    "max_requests": 65_536,
    "max_requests_per_caller": 65_536,
    "drain_seconds": 86_400,
    "workers": 64,
}
_MAY_BE_ZERO = frozenset({"restarts"})
_SHARED_OUT = ("max_processes", "max_connections", "max_requests", "max_requests_per_caller")
"""Limits of which each worker gets its share."""
_LONGEST_TOKEN_TIMEOUT = 60
_MAY_BE_BLANK = frozenset({"environment", "value", "values", "command", "token_types"})
"""Keys under which an empty text means something: a variable's value, a constraint's value, an argument, no
type of token."""


def broken_rules(document: Table) -> Iterator[Problem]:
    """Every rule the document breaks."""
    yield from _unfilled(document, ())
    for section in _SECTIONS:
        yield from _names(section, table(document.get(section)))
    yield from _folders(document)
    yield from _authority(table(document.get("authority")))
    yield from _log(table(document.get("log")))
    yield from _proxy(table(document.get("proxy")))
    yield from _telemetry(table(document.get("telemetry")))
    yield from _addresses(table(document.get("authority")), table(document.get("proxy")))
    yield from risk_problems(document)
    yield from server_problems(document)
    yield from name_problems(document)
    yield from agent_problems(document)
    yield from identity_problems(document)
    yield from workflow_problems(document)
    yield from hop_problems(document)
    yield from approval_problems(document)
    yield from login_problems(document)
    yield from authorization_server_problems(document)
    yield from event_problems(document)
    yield from people_problems(document)


def _unfilled(value: object, path: KeyPath) -> Iterator[Problem]:
    if isinstance(value, str):
        if forms.is_placeholder(value):
            yield Problem(path, f'"{value}" is a placeholder; put the real value here')
        elif not value.strip() and not _MAY_BE_BLANK.intersection(path):
            yield Problem(path, "is blank; fill it in or leave the key out")
    elif isinstance(value, dict):
        for key, inner in cast("Table", value).items():
            yield from _unfilled(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _unfilled(inner, (*path, index))


def _names(section: str, entries: Table) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name in entries:
        wrong = forms.wrong_name(name)
        if wrong:
            yield Problem((section, name), wrong)
        first = seen.setdefault(alike(name), name)
        if first != name:
            yield Problem((section, name), f'cannot be told apart from "{first}"; rename one of them')


def _folders(document: Table) -> Iterator[Problem]:
    for key in ("state", "policies"):
        yield from _if_wrong((key,), text(document.get(key)), forms.wrong_path(text(document.get(key))))
    state, policies = (normpath(text(document.get(key)) or default) for key, default in _FOLDERS.items())
    if policies in (state, normpath(f"{state}/keys")):
        yield Problem(("policies",), "must not be the state folder: that one holds private keys")


def _authority(section: Table) -> Iterator[Problem]:
    path: KeyPath = ("authority",)
    issuer, endpoint = text(section.get("issuer")), text(section.get("token_endpoint"))
    yield from _if_wrong((*path, "issuer"), issuer, forms.wrong_base(issuer))
    yield from _if_wrong((*path, "token_endpoint"), endpoint, forms.wrong_endpoint(endpoint))
    mode = section.get("mode", "embedded")
    if mode == "remote" and "token_endpoint" not in section:
        yield Problem((*path, "token_endpoint"), 'missing; mode = "remote" needs it')
    for key in ("token_endpoint", "token_timeout_seconds"):
        if mode == "embedded" and key in section:
            yield Problem((*path, key), 'has no effect with mode = "embedded"; leave it out')
    seconds = section.get("token_timeout_seconds", 1)
    if isinstance(seconds, int) and not 1 <= seconds <= _LONGEST_TOKEN_TIMEOUT:
        yield Problem((*path, "token_timeout_seconds"), f"must be 1 to {_LONGEST_TOKEN_TIMEOUT}")
    yield from _listen(path, section, "issuer")


def _log(section: Table) -> Iterator[Problem]:
    redacted = section.get("arguments") == "redacted"
    if redacted and not items(section.get("redact")):
        yield Problem(("log", "redact"), 'missing; arguments = "redacted" needs names of arguments')
    if "redact" in section and not redacted:
        yield Problem(("log", "redact"), 'has no effect without arguments = "redacted"')


def _proxy(section: Table) -> Iterator[Problem]:
    path: KeyPath = ("proxy",)
    public = text(section.get("public_url"))
    yield from _if_wrong((*path, "public_url"), public, forms.wrong_base(public))
    for index, entry in enumerate(items(section.get("allowed_hosts"))):
        host = text(entry)
        yield from _if_wrong((*path, "allowed_hosts", index), host, forms.wrong_host(host))
    for index, origin in enumerate(items(section.get("allowed_origins"))):
        yield from _if_wrong(
            (*path, "allowed_origins", index), text(origin), forms.wrong_origin(text(origin))
        )
    for key, most in _LIMITS.items():
        value, least = section.get(key, 1), 0 if key in _MAY_BE_ZERO else 1
        if isinstance(value, int) and not least <= value <= most:
            yield Problem((*path, key), f"must be {least} to {most}")
    workers = section.get("workers", 1)
    for key in _SHARED_OUT:
        value = section.get(key, getattr(ProxySettings(), key))
        if isinstance(value, int) and isinstance(workers, int) and 1 <= value < workers:
            yield Problem((*path, key), f"is shared out among {workers} workers, so it must be at least that")
    yield from _listen(path, section, "public_url")


def _telemetry(section: Table) -> Iterator[Problem]:
    endpoint, name = text(section.get("endpoint")), text(section.get("service_name"))
    yield from _if_wrong(("telemetry", "endpoint"), endpoint, forms.wrong_base(endpoint))
    if forms.has_control(name):
        yield Problem(("telemetry", "service_name"), "holds a control character")


def _listen(path: KeyPath, section: Table, outside: str) -> Iterator[Problem]:
    address = text(section.get("listen"))
    wrong = forms.wrong_listen(address)
    yield from _if_wrong((*path, "listen"), address, wrong)
    host, _ = forms.listen_parts(address)
    beyond = bool(address) and not wrong and not forms.is_loopback(host)
    if beyond and not text(section.get(outside)).startswith("https://"):
        told = f"listens beyond this machine; that needs TLS in front of it and an https:// {outside}"
        yield Problem((*path, "listen"), told)


def _addresses(authority: Table, proxy: Table) -> Iterator[Problem]:
    if proxy.get("listen", ProxySettings().listen) == authority.get("listen", _AUTHORITY_LISTEN):
        yield Problem(("proxy", "listen"), "is where the authority listens; give them different ports")


def _if_wrong(path: KeyPath, value: str, wrong: str) -> Iterator[Problem]:
    if value.strip() and wrong:
        yield Problem(path, wrong)
