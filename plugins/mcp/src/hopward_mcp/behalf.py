"""On whose behalf a server asks something of its client: the chain in whose request or session it comes."""

from typing import cast

from hopward import Chain
from hopward_mcp.carried import NOBODY
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import METHOD_NOT_FOUND, REFUSED, Body, Message, MessageError
from hopward_mcp.methods import RELATED_KEY, is_modern
from hopward_mcp.pending import Pending, Requests


class Behalf:
    """Knows whose chain a message of the server stands on. `caller` is what the client came with last."""

    def __init__(self, gate: Gate, requests: Requests) -> None:
        self.caller: Chain = NOBODY
        self._requests = requests
        self._gate = gate

    def of(self, message: Message, key: int | None) -> Chain:
        """The chain that a request of the server is authorized by.

        `key` is the request on whose stream it came, where the transport knows it; else any request under
        way may be meant, so all of them have to be of one authority; of a request about an MCP task, those
        that have made it. Raises `MessageError` where that cannot be told, and in the era 2026-07-28, in
        which a server sends no requests.
        """
        under_way = self._under_way(key)
        if any(is_modern(pending.message) for pending in under_way):
            sentence = "In protocol version 2026-07-28 a server sends no requests."
            raise MessageError(METHOD_NOT_FOUND, "server_request", sentence, message.id)
        chains = [pending.chain for pending in under_way] or [self.caller]
        meta: Body = message.params.get("_meta", {})
        if RELATED_KEY in meta:
            chains = [chain for chain in self.chains(key) if self._has_made(chain, meta[RELATED_KEY])]
        if len({_authority(chain) for chain in chains}) != 1 or not chains[0].actors:
            sentence = "It cannot be told on whose behalf the server asks this."
            raise MessageError(REFUSED, "behalf_unknown", sentence, message.id)
        # A caller with a fresher token is the same caller.
        return max(chains, key=lambda chain: chain.issued_at)

    def chains(self, key: int | None) -> list[Chain]:
        """Every chain that a message of the server may be for: one of the requests, or the caller's own."""
        return [*(pending.chain for pending in self._under_way(key)), self.caller]

    def _has_made(self, chain: Chain, related: object) -> bool:
        task_id: object = cast("Body", related).get("taskId") if isinstance(related, dict) else None
        return bool(self._gate.mcp_tasks.reachable(chain, [task_id]))

    def _under_way(self, key: int | None) -> list[Pending]:
        owner = self._requests.get(key)
        if owner is not None:
            return [owner]
        return [pending for _, pending in self._requests.items() if pending.forwarded]


def _authority(chain: Chain) -> tuple[object, ...]:
    """What makes two chains one and the same to a decision, but for their age."""
    return (chain.task, chain.subject, chain.actors, chain.hops, chain.scope)
