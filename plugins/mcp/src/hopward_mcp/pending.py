"""Requests under way in one session, so that an answer reaches exactly the request it belongs to.

Ids are mapped in both directions: the server sees numbers of ours, so equal ids of two clients never meet,
and an answer is accepted only for a request that was forwarded in this very session.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hopward import Chain, Decision, ToolCall
from hopward_mcp.caller import Caller
from hopward_mcp.jsonrpc import INVALID_REQUEST, REFUSED, Message, MessageError, MessageId
from hopward_mcp.mcp_task_store import McpTask
from hopward_mcp.tracing import Trace

_MOST = 1024
"""Requests one session may have under way in each direction."""


@dataclass(frozen=True, slots=True)
class Permit:
    """One of the MCP resources that a `subscriptions/listen` may subscribe to."""

    call: ToolCall
    decision: Decision


@dataclass(slots=True)
class Pending:
    """A client's request between its arrival and its answer. `started` is event-loop time in seconds,
    `subject_token` the access token it came with, if any, `token` the credential it was forwarded with.
    `answered` gets the answer in the client's place; `trace` is told how a call goes. `call` is what was
    authorized, `mcp_task` the MCP task that it is about. `permits` are those of a `subscriptions/listen` by
    URI, until their outcomes are recorded, `refused` is what the client is told of the others. `carried` is
    whether the chain came with the request, and is not the session's. A person is asked once on a request
    (`asked`), through `caller`; meanwhile it `waits`."""

    message: Message
    chain: Chain
    started: float
    subject_token: str = ""
    decision: Decision | None = None
    token: str = ""
    forwarded: bool = False
    cancelled: bool = False
    answered: Callable[[Any], None] | None = None
    call: ToolCall | None = None
    mcp_task: McpTask | None = None
    trace: Trace | None = None
    permits: dict[str, Permit] = field(default_factory=dict[str, Permit])
    refused: dict[str, Any] = field(default_factory=dict[str, Any])
    caller: Caller | None = None
    carried: bool = False
    asked: bool = False
    waits: bool = False

    @property
    def from_subject(self) -> bool:
        """Whether the client can be the subject's own: not where an agent has been handed the work."""
        return not (self.carried or self.chain.hops)


class Requests:
    """The client's requests under way, by our id and by the client's. `version` is the protocol's, once
    `initialize` has agreed on one."""

    def __init__(self) -> None:
        self.version = ""
        self._pending: dict[int, Pending] = {}
        self._keys: dict[MessageId, int] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def open(self, key: int, pending: Pending) -> None:
        """Enter a request under our id; raises `MessageError` when its own id is in use."""
        message_id = pending.message.id
        if message_id is None or message_id in self._keys:
            raise MessageError(INVALID_REQUEST, "id_in_use", "Another request with this id is under way.")
        if len(self._pending) >= _MOST:
            raise MessageError(REFUSED, "too_many", "Too many requests are under way.", message_id)
        self._pending[key] = pending
        self._keys[message_id] = key

    def close(self, key: object) -> Pending | None:
        """Take a request out; None if it is not under way."""
        pending = self._pending.pop(key, None) if isinstance(key, int) else None
        if pending is not None and pending.message.id is not None:
            self._keys.pop(pending.message.id, None)
        return pending

    def renew(self, key: int, now: float) -> None:
        """Have a request begin anew: it has waited for something other than the server."""
        pending = self._pending.pop(key, None)
        if pending is not None:
            pending.started, self._pending[key] = now, pending

    def get(self, key: object) -> Pending | None:
        """The request under our id, if it is under way."""
        return self._pending.get(key) if isinstance(key, int) else None

    def key(self, message_id: object) -> int | None:
        """Our id of the request with the client's id."""
        return self._keys.get(message_id) if isinstance(message_id, int | str) else None

    def awaited(self) -> bool:
        """Whether anything under way is still waited for."""
        return any(not pending.cancelled for pending in self._pending.values())

    def items(self) -> Iterator[tuple[int, Pending]]:
        """A snapshot, oldest first."""
        return iter(list(self._pending.items()))


@dataclass(slots=True)
class Question:
    """A request of the server between its arrival and the client's answer; `started` and `call` are as in
    `Pending`, `task` is the client's MCP task that it is about."""

    message: Message
    started: float
    call: ToolCall | None = None
    task: McpTask | None = None
    decision: Decision | None = None


class Asked:
    """The server's requests to the client that wait for an answer, by our id."""

    def __init__(self) -> None:
        self._questions: dict[MessageId, Question] = {}

    def open(self, key: int, question: Question) -> None:
        """Enter a request of the server under our id; raises `MessageError` when there are too many."""
        if len(self._questions) >= _MOST:
            told = "Too many requests are under way."
            raise MessageError(REFUSED, "too_many", told, question.message.id)
        self._questions[key] = question

    def get(self, key: MessageId | None) -> Question | None:
        """The request under our id, if it waits for an answer."""
        return self._questions.get(key) if key is not None else None

    def close(self, key: MessageId | None) -> Question | None:
        """Take a request out; None if it does not wait for an answer."""
        return self._questions.pop(key, None) if key is not None else None

    def close_all(self) -> list[Question]:
        """Take all of them out."""
        questions, self._questions = self._questions, {}
        return list(questions.values())

    def forwarded(self) -> list[MessageId]:
        """Our ids of what the client has been asked and not answered."""
        return list(self._questions)

    def key(self, message_id: object) -> MessageId | None:
        """Our id of the request with the server's id."""
        found = (key for key, question in self._questions.items() if question.message.id == message_id)
        return next(found, None)
