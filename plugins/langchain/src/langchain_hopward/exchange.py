"""Requests and answers of the MCP SDK, as far as the chain and the decision of a call stand in them."""

from dataclasses import dataclass
from typing import Any, Final, cast

CHAIN_KEY: Final = "dev.hopward/chain"
DECISION_KEY: Final = "dev.hopward/decision"
CALL: Final = "tools/call"


class Asked:
    """A request of the MCP SDK; in mcp 1.x it stands in a union model."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._inner: Any = getattr(request, "root", request)
        self._data: dict[str, Any] = self._inner.model_dump(by_alias=True, mode="json", exclude_none=True)
        self.params: dict[str, Any] = self._data.get("params") or {}
        self._meta: dict[str, Any] = self.params.pop("_meta", None) or {}

    @property
    def method(self) -> str:
        """The JSON-RPC method."""
        return self._data["method"]

    @property
    def tool(self) -> str:
        """What the server calls the tool; clients may show another name."""
        return self.params["name"]

    def carrying(self, value: dict[str, Any]) -> Any:
        """The same request with a chain in its `_meta`."""
        params = {**self.params, "_meta": {**self._meta, CHAIN_KEY: value}}
        made: Any = cast("Any", type(self._inner)).model_validate({**self._data, "params": params})
        return made if self._inner is self._request else type(self._request)(made)


@dataclass(frozen=True, slots=True)
class Told:
    """What has been decided about a call. `id` is empty where the proxy could not decide."""

    id: str
    verdict: str
    reason: str
    sentence: str
    observed: bool = False


def refusal(answer: Any) -> Told | None:
    """The refusal that an answer of the proxy is; no server behind it can write such an answer."""
    meta: Any = getattr(answer, "meta", None) or {}
    data: Any = cast("dict[str, Any]", meta).get(DECISION_KEY) if isinstance(meta, dict) else None
    if not isinstance(data, dict) or cast("dict[Any, Any]", data).get("observed") is True:
        return None
    told = {str(key): str(value) for key, value in cast("dict[Any, Any]", data).items()}
    texts: list[Any] = [getattr(part, "text", "") for part in getattr(answer, "content", ())]
    message = " ".join(text for text in texts if isinstance(text, str))
    return Told(told.get("id", ""), "deny", told.get("reason", ""), message)


def error_text(error: Exception) -> str:
    """What a JSON-RPC error says; empty for any other exception."""
    text: Any = getattr(getattr(error, "error", None), "message", "")
    return text if isinstance(text, str) else ""
