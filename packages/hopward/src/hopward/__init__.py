"""Hopward decides, credentials and records every tool call an AI agent makes, at every hop.

    guard = Guard.open("hopward.toml")
    task = guard.open_task("support", subject="alice@example.com")
    call = ToolCall(server="desk", tool="refund", arguments={"amount": 20})
    decision = guard.authorize(call, guard.enter(task.id))
    if decision.permitted:
        token = guard.mint(decision, call)   # good for this one call
        ...                                  # call the server with it
        guard.settle(decision, Outcome(status="ok"))

A permit is returned only after its row in the decision log is durable. What cannot be decided is denied.
"""

from hopward.assertion import ClientAuthenticator
from hopward.canonical import canonical, digest
from hopward.config import read_settings
from hopward.errors import (
    ChainError,
    ConfigError,
    ExchangeRefusedError,
    HopwardError,
    LedgerError,
    NotFoundError,
    PolicyError,
    StateError,
    TokenError,
)
from hopward.model import (
    Budget,
    Capability,
    Chain,
    Credential,
    Decision,
    Delegation,
    Narrowing,
    Outcome,
    Task,
    ToolCall,
    Verdict,
)
from hopward.settings import Settings
from hopward.tokenrequest import TokenRequest
from hopward.verifier import CredentialVerifier
from hopward.wire import fields as form_fields
from hopward.wire import read_request as read_exchange
from hopward.wiring import Guard

__all__ = [
    "Budget",
    "Capability",
    "Chain",
    "ChainError",
    "ClientAuthenticator",
    "ConfigError",
    "Credential",
    "CredentialVerifier",
    "Decision",
    "Delegation",
    "ExchangeRefusedError",
    "Guard",
    "HopwardError",
    "LedgerError",
    "Narrowing",
    "NotFoundError",
    "Outcome",
    "PolicyError",
    "Settings",
    "StateError",
    "Task",
    "TokenError",
    "TokenRequest",
    "ToolCall",
    "Verdict",
    "canonical",
    "digest",
    "form_fields",
    "read_exchange",
    "read_settings",
]

__version__ = "0.1.0"
