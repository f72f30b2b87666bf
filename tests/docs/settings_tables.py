"""The tables of docs/reference/configuration.md: one per struct, written after the structs themselves.

A table stands after `<!-- settings: NAME -->`. Key, type and default come from the struct NAME, the meaning
is the page's own: it is kept, and a key that is new gets an empty one, which a test refuses.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from hopward.authorization_servers import ActingClient, AuthorizationServerSettings
from hopward.config import Document
from hopward.constraint import kinds
from hopward.model import Budget, Capability
from hopward.money import Spending
from hopward.people import PeopleSettings
from hopward.secevent import EventReceiver, EventSettings, EventSource, EventSubjects
from hopward.settings import (
    AgentSettings,
    ApprovalSettings,
    ApproverGroup,
    AuthoritySettings,
    Classification,
    ClientSettings,
    Delivery,
    HopSettings,
    LoginSettings,
    LogSettings,
    ProxySettings,
    ServerSettings,
    StepSettings,
    TelemetrySettings,
    WebhookSettings,
    WorkflowSettings,
)
from hopward.thresholds import RiskActions, RiskSettings, RiskThresholds, RiskWeights, RiskWindows
from hopward.workload import (
    AgentIdentity,
    FormerKey,
    IdentitySettings,
    IssuerSettings,
    MtlsSettings,
    TrustDomainSettings,
)

from .markdown import cells

CONSTRAINTS = (
    kinds.Equals,
    kinds.OneOf,
    kinds.Prefix,
    kinds.Pattern,
    kinds.Range,
    kinds.Length,
    kinds.PathUnder,
    kinds.UrlHost,
)

STRUCTS: dict[str, type[msgspec.Struct]] = {
    struct.__name__: struct
    for struct in (
        Document,
        AuthoritySettings,
        LogSettings,
        ProxySettings,
        TelemetrySettings,
        PeopleSettings,
        ApprovalSettings,
        ApproverGroup,
        WebhookSettings,
        RiskSettings,
        RiskThresholds,
        RiskWindows,
        RiskWeights,
        RiskActions,
        IdentitySettings,
        IssuerSettings,
        TrustDomainSettings,
        MtlsSettings,
        AgentSettings,
        FormerKey,
        AgentIdentity,
        ServerSettings,
        Delivery,
        AuthorizationServerSettings,
        ActingClient,
        Classification,
        HopSettings,
        WorkflowSettings,
        ClientSettings,
        LoginSettings,
        StepSettings,
        EventSettings,
        EventReceiver,
        EventSource,
        EventSubjects,
        Budget,
        Spending,
        Capability,
        *CONSTRAINTS,
    )
}

_LINKS = {
    "Capability": "[capabilities](#capabilities)",
    "Budget": "[budget](#budget)",
    "Spending": "[spends](#spends)",
    "Delivery": "[credential](#credential)",
    "Classification": "[classifications](#classifications)",
    "HopSettings": "[hops](#hops)",
    "AuthoritySettings": "[authority](#authority)",
    "AuthorizationServerSettings": "[authorization servers](#authorization-servers)",
    "ActingClient": "[agents there](#agents-at-an-authorization-server)",
    "ClientSettings": "[clients](#clients)",
    "LoginSettings": "[login](#login)",
    "LogSettings": "[log](#log)",
    "ProxySettings": "[proxy](#proxy)",
    "TelemetrySettings": "[telemetry](#telemetry)",
    "PeopleSettings": "[people](#people)",
    "ApprovalSettings": "[approvals](#approvals)",
    "ApproverGroup": "[groups](#groups-of-approvers)",
    "WebhookSettings": "[webhook](#webhook)",
    "RiskSettings": "[risk](#risk)",
    "RiskThresholds": "[thresholds](#thresholds-of-risk)",
    "RiskWindows": "[windows](#windows-of-risk)",
    "RiskWeights": "[weights](#weights-of-risk)",
    "RiskActions": "[actions](#actions-of-risk)",
    "IdentitySettings": "[identity](#identity)",
    "IssuerSettings": "[issuers](#issuers-of-workload-tokens)",
    "TrustDomainSettings": "[trust domains](#trust-domains)",
    "MtlsSettings": "[mtls](#mutual-tls)",
    "AgentSettings": "[agents](#agents)",
    "FormerKey": "[former key](#former-key)",
    "AgentIdentity": "[identity](#identity-of-an-agent)",
    "ServerSettings": "[servers](#servers)",
    "WorkflowSettings": "[workflows](#workflows)",
    "StepSettings": "[steps](#steps)",
    "EventSettings": "[events](#events)",
    "EventReceiver": "[receivers](#receivers-of-events)",
    "EventSource": "[sources](#events)",
    "EventSubjects": "[subjects](#subjects-of-events)",
}
_HEAD = ["key", "type", "default", "meaning"]
_TABLE = re.compile(r"<!-- settings: (?P<name>\w+) -->\n\n(?P<table>(?:\|.*\n)*)")


def refreshed(text: str) -> str:
    """The page with every table as its struct is now."""
    return _TABLE.sub(lambda found: _marked(found["name"], found["table"]), text)


def shown(text: str) -> dict[str, list[list[str]]]:
    """Struct name -> rows of its table on the page."""
    return {found["name"]: _rows(found["table"]) for found in _TABLE.finditer(text)}


def _marked(name: str, table: str) -> str:
    meanings = {row[0]: row[3] for row in _rows(table)}
    rows = [[*row, meanings.get(row[0], "")] for row in fields(STRUCTS[name])]
    lines = [_HEAD, ["---"] * 4, *rows]
    written = "".join(f"| {' | '.join(map(_escaped, line))} |\n" for line in lines)
    return f"<!-- settings: {name} -->\n\n{written}"


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|")


def _rows(table: str) -> list[list[str]]:
    return [cells(line) for line in table.splitlines()[2:]]


def fields(struct: type[msgspec.Struct]) -> Iterator[list[str]]:
    """Key, type and default of every field."""
    found = inspect.type_info(struct)
    assert isinstance(found, inspect.StructType)
    for field in found.fields:
        yield [f"`{field.encode_name}`", _kind(field.type), _default(field)]


def _kind(kind: inspect.Type) -> str:
    match kind:
        case inspect.StrType():
            return "text"
        case inspect.IntType():
            return "whole number"
        case inspect.FloatType():
            return "number"
        case inspect.BoolType():
            return "true or false"
        case inspect.DateTimeType():
            return "date and time"
        case inspect.DateType():
            return "date"
        case inspect.AnyType():
            return "any value"
        case inspect.LiteralType(values):
            return "one of " + ", ".join(f'`"{value}"`' for value in values)
        case inspect.VarTupleType(item):
            return f"list of {_kind(item)}"
        case inspect.DictType(_, value):
            return f"table of {_kind(value)}"
        case inspect.StructType(cls):
            return _LINKS.get(cls.__name__, "[constraints](#constraints)")
        case inspect.UnionType(types):
            return " or ".join(
                dict.fromkeys(_kind(one) for one in types if not isinstance(one, inspect.NoneType))
            )
        case _:
            raise AssertionError(f"no word for {kind}")


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    value: Any = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if value in ("", (), {}, None) or isinstance(value, msgspec.Struct):
        return "none" if not isinstance(value, msgspec.Struct) else "its defaults"
    return f"`{json.dumps(value)}`"
