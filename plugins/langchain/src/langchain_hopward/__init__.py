"""Hopward for LangChain: every call of a tool that runs in this process is authorized, credentialed, logged.

    hopward = Hopward.open("hopward.toml").install()      # every tool call in this process, fail closed
    tools = hopward.protect([search, pay])                # on final arguments, however they are called
    with hopward.task(subject="alice@example.com", workflow="refund"):
        agent.invoke(...)

`install` refuses what nobody protected on what can be seen from outside; `protect` decides on validated
arguments. What this process can do to itself is out of reach of both (docs/guides/langchain.md).
"""

from langchain_hopward.credential import current_credential
from langchain_hopward.denial import AuthorizationDenied
from langchain_hopward.handler import HopwardHandler
from langchain_hopward.installation import Hopward

__all__ = ["AuthorizationDenied", "Hopward", "HopwardHandler", "current_credential"]

__version__ = "0.1.0"
