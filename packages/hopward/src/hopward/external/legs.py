"""Which exchanges lead from a subject token to the server called, and as whom each is made.
 Where the server nests actors, each actor of the chain is a client there: the first exchanges the subject
token for one addressed to the second, and so on, and the last for one addressed to the server called. So its
`act` names all of them, and none can be left out. Else one client makes the one exchange.
"""

from dataclasses import dataclass

from hopward.authorization_servers import ActingClient, AuthorizationServerSettings
from hopward.errors import ExchangeRefusedError


@dataclass(frozen=True, slots=True)
class Leg:
    """One exchange: by this client, for a token whose only audience is `target`."""

    client: ActingClient
    target: str


def legs(server: AuthorizationServerSettings, actors: tuple[str, ...], audience: str) -> tuple[Leg, ...]:
    """The exchanges for a chain of these actors; raises `ExchangeRefusedError` for one without a client."""
    if server.chain == "signed":
        asking = ActingClient(client_id=server.client_id, audience=server.client_audience)
        return (Leg(asking, audience),)
    clients: list[ActingClient] = []
    for actor in actors:
        client = server.agents.get(actor)
        if client is None:
            told = f"Agent {actor} is no client of the authorization server, so no token can name it."
            raise ExchangeRefusedError(told, error="unauthorized_client")
        clients.append(client)
    if not clients:
        raise ExchangeRefusedError("Nobody acts in this chain.", error="unauthorized_client")
    targets = [*(client.addressed for client in clients[1:]), audience]
    return tuple(Leg(client, target) for client, target in zip(clients, targets, strict=True))
