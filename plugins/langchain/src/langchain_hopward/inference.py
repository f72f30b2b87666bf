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
    metadata: Mapping[str, Any] = event.get("metadata") or {}
    said = (parameters.get(key) for key in _SAID)
    name = next((str(one) for one in said if one), "") or str(metadata.get("ls_model_name") or "")
    name = name or _class_name(serialized)
    provider = str(metadata.get("ls_provider") or "")
    return f"model:{name}", {"model": name, **({"provider": provider} if provider else {})}


def retrieval(serialized: Mapping[str, Any] | None, query: str) -> tuple[str, dict[str, Any]]:
    """`retriever:NAME`, by the name of its class, and the arguments that are decided on."""
    name = _class_name(serialized)
    return f"retriever:{name}", {"retriever": name, "query": query}


def _class_name(serialized: Mapping[str, Any] | None) -> str:
    """The name of the class, which is not the name of a run: that one is anybody's choice."""
    written = serialized or {}
    path: Any = written.get("id") or ["unknown"]
    return str(written.get("name") or path[-1])
