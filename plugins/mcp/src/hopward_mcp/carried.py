"""The chain that one request carries in its `_meta`, for callers with several agents in one session.

    params._meta["dev.hopward/chain"] = {"links": [...], "key": {...}, "proof": "..."}

docs/reference/chain.md shows one.

It is bound to this endpoint and to exactly this request, and counts once. Where the session has a chain of
its own, the carried one is of the same task and subject, and the session's own has to stand as well.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from hopward import Chain, Guard, TokenError
from hopward_mcp.jsonrpc import REFUSED, Body, Message, MessageError

CHAIN_KEY: Final = "dev.hopward/chain"

NOBODY: Final = Chain(task="", subject="", actors=(), issued_at=0, expires_at=0, scope=())
"""The chain of a session in which every request has to carry one (`hopward mcp run --carried`)."""


def carried(guard: Guard, server: str, message: Message, own: Chain) -> Chain:
    """The chain a request is judged by: the one it carries, else the session's own.

    Once the session's own has fallen, it is that one without its scope: then nothing is permitted, whatever
    is carried, and the decision says what has fallen.

    Raises `MessageError` for a chain that is not genuine, not for this request, or of another task.
    """
    meta: Body = message.params.get("_meta", {})
    if CHAIN_KEY not in meta:
        return own
    value: object = meta[CHAIN_KEY]
    params = {key: inner for key, inner in message.params.items() if key != "_meta"}
    try:
        chain = guard.presented(value, server, message.method, params)
    except TokenError as error:
        sentence = f"The chain this request carries is not accepted: {error.message}"
        raise MessageError(REFUSED, error.error, sentence, message.id) from None
    if own is not NOBODY and (chain.task, chain.subject) != (own.task, own.subject):
        sentence = "The chain this request carries is of another task than its session."
        raise MessageError(REFUSED, "chain_mismatch", sentence, message.id)
    if own is NOBODY or guard.stands(own):
        return chain
    return msgspec.structs.replace(own, scope=())


def reachable(guard: Guard, chain: Chain, server: str, names: Iterable[str]) -> frozenset[str]:
    """Which of a server's names a listing shows: what the chain could be permitted to call.

    Without a chain, what anybody could: the session's agents list once and call with chains of their own.
    """
    return guard.visible(chain, server, names) if chain.actors else guard.classified(server, names)


def require(message: Message, chain: Chain) -> None:
    """Raise `MessageError` for a request that needs a chain and has none."""
    if not chain.actors:
        sentence = "Every call of this session has to carry the chain of its agent, and this one does not."
        raise MessageError(REFUSED, "chain_missing", sentence, message.id)
