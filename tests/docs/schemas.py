"""The JSON Schemas under shared/schema: exported from the values that cross a boundary or are stored."""

import json
from typing import Any

import msgspec

from hopward.approval import Approval
from hopward.config import Document
from hopward.model import (
    Agent,
    Capability,
    Chain,
    Containment,
    Credential,
    Decision,
    Delegation,
    Hop,
    Narrowing,
    Outcome,
    Revocation,
    Task,
    Tool,
    ToolCall,
    Usage,
    Verdict,
)
from hopward.policies.cases import Case

from .markdown import ROOT

FOLDER = ROOT / "shared" / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

# `hopward.canonical.JSON` is recursive, which msgspec cannot export: here arguments are any JSON object.
CALL = msgspec.defstruct(
    "ToolCall",
    [("server", str), ("tool", str), ("arguments", dict[str, Any], {})],
    forbid_unknown_fields=True,
    namespace={"__doc__": ToolCall.__doc__},
)

VALUES: dict[str, Any] = {
    "agent": Agent,
    "approval": Approval,
    "capability": Capability,
    "chain": Chain,
    "containment": Containment,
    "credential": Credential,
    "decision": Decision,
    "delegation": Delegation,
    "hop": Hop,
    "narrowing": Narrowing,
    "outcome": Outcome,
    "policy-case": Case,
    "revocation": Revocation,
    "settings": Document,
    "task": Task,
    "tool": Tool,
    "tool-call": CALL,
    "usage": Usage,
    "verdict": Verdict,
}
"""File name -> value. Decisions, tasks and the rest are as `hopward.model.plain` and the log write them."""


def schemas() -> dict[str, str]:
    """The text of every schema file, by its name."""
    return {f"{name}.json": _text(value) for name, value in VALUES.items()}


def _text(value: Any) -> str:
    schema = {"$schema": DIALECT, **msgspec.json.schema(value)}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
