"""Calls of models and retrievers, as far as a callback tells which one is called."""

from collections.abc import Mapping
from typing import Any

_SAID = ("model", "model_name", "model_id", "deployment_name", "azure_deployment")
"""Parameters of a call that name its model, in the order they are looked at."""


def model_call(serialized: Mapping[str, Any] | None, event: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """`model:NAME` and the arguments that are decided on. The prompt is none of them: it is not logged.

    The name is what the call sends to the provider; of a model that sends none, that of its class.
    """
    parameters: Mapping[str, Any] = event.get("invocation_params") or {}
    said = (parameters.get(key) for key in _SAID)
    name = next((str(one) for one in said if one), "") or _class_name(serialized)
    return f"model:{name}", {"model": name}


def retrieval(query: str, event: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """`retriever:NAME` and the arguments that are decided on.

    The name is what LangChain derives from the class: that of `VaultRetriever` is `vault`. The name of a run
    plays no part, it is anybody's choice.
    """
    metadata: Mapping[str, Any] = event.get("metadata") or {}
    name = str(metadata.get("ls_retriever_name") or "unknown")
    return f"retriever:{name}", {"retriever": name, "query": query}


def _class_name(serialized: Mapping[str, Any] | None) -> str:
    """The name of the class, which is not the name of a run."""
    written = serialized or {}
    path: Any = written.get("id") or ["unknown"]
    return str(written.get("name") or path[-1])
