"""The headers of a request that calls nothing, to a server that wants a token on every request."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from hopward import Chain
from hopward_mcp.gate import Gate

Introduce: TypeAlias = Callable[[str], Awaitable[Mapping[str, str]]]
"""The headers of a request that calls nothing, by its method; raises `HopwardError`."""


async def introduction(gate: Gate, chain: Chain, method: str, token: str = "") -> Mapping[str, str]:
    """None are needed but where credentials go in `Authorization`. `token` is the access token that presented
    the chain, if one did.

    Raises `HopwardError` when there is no token to be had.
    """
    if gate.courier.by != "authorization":
        return {}
    if gate.authority is None:
        issued = gate.guard.introduce(chain, gate.server, method)
    else:
        issued = await gate.authority.token(gate.asking_nothing(chain, method, token))
    gate.concealment.learn(issued)
    return gate.courier.call_headers(issued)
