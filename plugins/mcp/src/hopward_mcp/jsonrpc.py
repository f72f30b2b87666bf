"""JSON-RPC 2.0 messages, parsed once and strictly.

What two parsers could read in two ways is refused here, so that what was decided on is what the server gets:
duplicate keys, keys that differ only in case, numbers that are not finite, lone surrogates, batches, ids that
are neither string nor integer. `dump` writes the parsed form again; raw bytes are never forwarded.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import msgspec

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REFUSED = -32000
"""Implementation-defined: Hopward refused the request, or the server behind it is gone."""
TIMED_OUT = -32001
"""Implementation-defined: the server gave no answer in time."""

MessageId: TypeAlias = int | str
Body: TypeAlias = dict[str, Any]
"""A JSON object as parsed."""

_ENVELOPE = {key.casefold(): key for key in ("jsonrpc", "id", "method", "params", "result", "error")}
_PARAMS = {
    key.casefold(): key
    for key in (
        *(
            "_meta",
            "name",
            "arguments",
            "uri",
            "ref",
            "notifications",
            "requestId",
            "progressToken",
            "cursor",
        ),
        *("inputResponses", "requestState", "task", "argument", "context", "protocolVersion", "capabilities"),
        *("taskId", "inputRequests"),
    )
}
_NESTED = {
    "ref": {"type": "type", "name": "name", "uri": "uri"},
    "notifications": {"resourcesubscriptions": "resourceSubscriptions", "taskids": "taskIds"},
}
"""Objects in the params whose members are looked at too."""

_RESULT = {
    key.casefold(): key
    for key in (
        *("_meta", "capabilities", "tools", "resources", "resourceTemplates", "prompts"),
        *("inputRequests", "isError", "cacheScope", "resultType", "task", "taskId", "tasks"),
    )
}
"""What the proxy reads, or leaves out, in a result."""


TOO_LARGE = "too_large"


class MessageError(Exception):
    """A message that is not handled further; `code` and `sentence` make the JSON-RPC error.

    `id` is the request's id where it could be read without doubt. `reason` is the stable word for the log.
    """

    def __init__(
        self, code: int, reason: str, sentence: str, id: MessageId | None = None, data: Body | None = None
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.reason = reason
        self.sentence = sentence
        self.id = id
        self.data = data


@dataclass(frozen=True, slots=True)
class Message:
    """One well-formed message. `body` is everything that was received, unknown fields included.

    `params` is empty where there are none; it is part of `body` otherwise. A response to a message whose
    id the other side could not read has the id None.
    """

    kind: Literal["request", "notification", "response"]
    id: MessageId | None
    method: str
    params: Body
    body: Body


class Parser:
    """Parses messages of one direction.

    `every_key` refuses keys that differ only in case at every depth (client to server); without it only where
    a key has a meaning here, because results are data. `max_bytes` and `max_depth` bound a message.
    """

    def __init__(self, *, max_bytes: int, max_depth: int, every_key: bool) -> None:
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._every_key = every_key
        self._faults: list[tuple[str, str]] = []
        self._last: list[tuple[str, str]] = []
        self._decode = json.JSONDecoder(
            object_pairs_hook=self._object, parse_float=self._float, parse_constant=self._constant
        ).decode

    def parse(self, raw: bytes) -> Message:
        """The message in `raw`; raises `MessageError`."""
        body = self._parsed(raw)
        if isinstance(body, list):
            raise MessageError(INVALID_REQUEST, "batch", "Batches are refused: send one message at a time.")
        if not isinstance(body, dict):
            raise MessageError(INVALID_REQUEST, "not_an_object", "A message must be a JSON object.")
        body = cast("Body", body)
        message_id = self._id(body)
        if self._faults:
            reason, sentence = self._faults[0]
            raise MessageError(INVALID_REQUEST, reason, sentence, message_id)
        if raw.count(b"{") + raw.count(b"[") > self._max_depth and _deeper(body, self._max_depth):
            sentence = f"The message is nested more than {self._max_depth} levels deep."
            raise MessageError(INVALID_REQUEST, "too_deep", sentence, message_id)
        _check_spelling(body, _ENVELOPE, message_id)
        return _message(body, message_id)

    def _parsed(self, raw: bytes) -> object:
        if len(raw) > self._max_bytes:
            raise too_large(self._max_bytes)
        self._faults.clear()
        self._last = []
        try:
            text = raw.decode("utf-8")
            value = self._decode(text)
            if b"\\u" in raw:
                dump(value)
        except UnicodeDecodeError:
            raise MessageError(PARSE_ERROR, "not_utf8", "The message is not valid UTF-8.") from None
        except UnicodeEncodeError:
            raise MessageError(PARSE_ERROR, "lone_surrogate", "A string holds a lone surrogate.") from None
        except RecursionError:
            raise MessageError(PARSE_ERROR, "too_deep", "The message is nested too deeply.") from None
        except json.JSONDecodeError as error:
            sentence = f"The message is not valid JSON (at character {error.pos})."
            raise MessageError(PARSE_ERROR, "not_json", sentence) from None
        except ValueError:
            raise MessageError(INVALID_REQUEST, "number", "A number has too many digits.") from None
        return value

    def _object(self, pairs: list[tuple[str, Any]]) -> Body:
        value = dict(pairs)
        self._last = []
        if len(value) != len(pairs):
            self._fault("duplicate_key", pairs, "appears twice in one object")
        elif self._every_key and len(value) > 1 and len({key.casefold() for key in value}) != len(value):
            self._fault("case_variant_key", pairs, "differs from another key only in case")
        return value

    def _fault(self, reason: str, pairs: list[tuple[str, Any]], what: str) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            folded = key.casefold()
            if folded in seen:
                self._last.append((folded, reason))
                self._faults.append((reason, f"The key {_shown(key)} {what}."))
            seen.add(folded)

    def _float(self, text: str) -> float:
        value = float(text)
        if value - value != 0.0:
            self._faults.append(("number", "A number is too large for a double."))
        return value

    def _constant(self, text: str) -> None:
        self._faults.append(("number", f"{text} is not JSON."))

    def _id(self, body: Body) -> MessageId | None:
        """The id, where exactly one well-typed id stands in the envelope."""
        value = body.get("id")
        ambiguous = any(key == "id" for key, _ in self._last)
        return value if _is_id(value) and not ambiguous else None


def too_large(max_bytes: int) -> MessageError:
    """The error of a message over the size limit."""
    return MessageError(INVALID_REQUEST, TOO_LARGE, f"The message is larger than {max_bytes} bytes.")


def dump(value: Any) -> bytes:
    """A parsed value as compact UTF-8 JSON, keys in the order received.

    Raises `UnicodeEncodeError` for a lone surrogate.
    """
    return msgspec.json.encode(value)


def result(message_id: MessageId | None, value: Body) -> bytes:
    """A response that carries a result."""
    return dump({"jsonrpc": "2.0", "id": message_id, "result": value})


def error(message_id: MessageId | None, code: int, sentence: str, data: Body | None = None) -> bytes:
    """A response that carries an error."""
    content: Body = {"code": code, "message": sentence}
    if data is not None:
        content["data"] = data
    return dump({"jsonrpc": "2.0", "id": message_id, "error": content})


def _message(body: Body, message_id: MessageId | None) -> Message:
    if body.get("jsonrpc") != "2.0":
        raise MessageError(INVALID_REQUEST, "version", 'The member "jsonrpc" must be "2.0".', message_id)
    if "id" in body and message_id is None and not ("error" in body and body["id"] is None):
        raise MessageError(INVALID_REQUEST, "id", "An id must be a string or an integer.")
    if "method" not in body:
        return _response(body, message_id)
    if "result" in body or "error" in body:
        sentence = "A message is a request or a response, not both."
        raise MessageError(INVALID_REQUEST, "shape", sentence, message_id)
    method, params = body["method"], body.get("params", {})
    if not isinstance(method, str):
        raise MessageError(INVALID_REQUEST, "method", "A method must be a string.", message_id)
    if not isinstance(params, dict):
        raise MessageError(INVALID_REQUEST, "params", "The params must be an object.", message_id)
    params = cast("Body", params)
    _check_spelling(params, _PARAMS, message_id)
    for name, members in _NESTED.items():
        inner = params.get(name)
        if isinstance(inner, dict):
            _check_spelling(cast("Body", inner), members, message_id)
    if not isinstance(params.get("_meta", _NOTHING), dict):
        raise MessageError(INVALID_PARAMS, "meta", "The member _meta must be an object.", message_id)
    return Message("request" if "id" in body else "notification", message_id, method, params, body)


def _response(body: Body, message_id: MessageId | None) -> Message:
    if "id" not in body or ("result" in body) == ("error" in body):
        sentence = "A message must be a request, a notification or a response with one result or error."
        raise MessageError(INVALID_REQUEST, "shape", sentence, message_id)
    if not isinstance(body["result"] if "result" in body else body["error"], dict):
        raise MessageError(INVALID_REQUEST, "shape", "A result or error must be an object.", message_id)
    if "result" in body:
        _check_spelling(body["result"], _RESULT, message_id)
    return Message("response", message_id, "", _NOTHING, body)


_NOTHING: Body = {}


def _is_id(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _check_spelling(body: Body, known: dict[str, str], message_id: MessageId | None) -> None:
    """Refuse a key that a case-insensitive reader would take for one with a meaning."""
    for key in body:
        exact = known.get(key.casefold())
        if exact is not None and exact != key:
            sentence = f"The key {_shown(key)} differs from {exact} only in case."
            raise MessageError(INVALID_REQUEST, "case_variant_key", sentence, message_id)


def _deeper(body: Body, limit: int) -> bool:
    """Whether objects and lists nest more than `limit` levels."""
    level: list[Any] = [body]
    for _ in range(limit):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += cast("Body", value).values()
            elif isinstance(value, list):
                below += cast("list[Any]", value)
        if not below:
            return False
        level = below
    return any(isinstance(value, dict | list) for value in level)


def _shown(key: str) -> str:
    """A key, short and printable, for a message to a person."""
    return repr(key[:40]).encode("ascii", "backslashreplace").decode("ascii")
