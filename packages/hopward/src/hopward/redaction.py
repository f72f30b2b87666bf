"""How much of a call's arguments the decision log keeps: all, all but named ones, or only their digest."""

from typing import Any

from hopward.canonical import JSON, digest
from hopward.model import ToolCall
from hopward.pattern import folded
from hopward.settings import LogSettings


class Redaction:
    """Applies `[log] arguments` and `redact` from `hopward.toml`.

    `redacted` replaces the value of every argument named in `redact`, at any depth and however it is cased,
    by its digest, so that equal values stay recognisable without being readable. The call's own digest always
    covers everything.
    """

    def __init__(self, settings: LogSettings) -> None:
        self._mode = settings.arguments
        self._names = frozenset(map(folded, settings.redact))

    def arguments(self, call: ToolCall) -> Any:
        """The arguments as the log keeps them."""
        if self._mode == "full":
            return call.arguments
        if self._mode == "digest":
            return {"digest": digest(call.arguments)}
        return self._redacted(call.arguments)

    def task(self, told: dict[str, Any]) -> dict[str, Any]:
        """A task as the log keeps it: parameters are kept as arguments are, and the request if all are.

        So are the arguments of its steps, which are bound to parameters.
        """
        if self._mode == "full":
            return told
        if self._mode == "digest":
            parameters: Any = {"digest": digest(told["parameters"])}
        else:
            parameters = self._redacted(told["parameters"])
        request = {"redacted": digest(told["request"])} if told["request"] else ""
        steps = [
            {**step, "arguments": {"digest": digest(step["arguments"])} if step["arguments"] else {}}
            for step in told["steps"]
        ]
        return {**told, "parameters": parameters, "request": request, "steps": steps}

    def _redacted(self, value: JSON) -> Any:
        if isinstance(value, dict):
            return {
                key: {"redacted": digest(inner)} if folded(key) in self._names else self._redacted(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [self._redacted(inner) for inner in value]
        return value
