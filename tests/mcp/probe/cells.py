"""Who speaks to whom: a client of an era over a transport, and a server of an era over a transport."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .talk import Era, Transport

Pair: TypeAlias = Literal["stdio", "http", "http-to-stdio", "stdio-to-http"]
"""What the client speaks, and the server."""

Kind: TypeAlias = Literal["both", "older", "modern"]
"""The eras that a server speaks."""

PAIRS: tuple[Pair, ...] = ("stdio", "http", "http-to-stdio", "stdio-to-http")


@dataclass(frozen=True)
class Cell:
    """A session: directly where `pair` is empty, else through Hopward. The server speaks `kind`."""

    client: Era
    kind: Kind
    speaks: Transport
    pair: Pair | Literal[""] = ""

    @property
    def spoken_to(self) -> Transport:
        """What the server speaks."""
        if not self.pair:
            return self.speaks
        return "http" if self.pair.endswith("http") else "stdio"

    @property
    def offered(self) -> Era:
        """The era of what the server offers to this client."""
        return self.client if self.kind == "both" else self.kind

    @property
    def bridged(self) -> bool:
        """Whether client and server are of different eras."""
        return self.offered != self.client

    @property
    def name(self) -> str:
        server = "" if self.kind in ("both", self.client) else f" to {self.kind}"
        return f"{self.client}{server}, {self.pair or f'direct {self.speaks}'}"

    def direct(self, speaks: Transport | Literal[""] = "") -> "Cell":
        """The session of the same client with a server of its own era, without anything between."""
        return Cell(self.client, "both", speaks or self.speaks)

    @property
    def server_name(self) -> str:
        """What hopward.toml calls the server."""
        return f"{self.kind}_{self.spoken_to}"

    @property
    def audience(self) -> str:
        return f"urn:example:{self.server_name}"

    @property
    def credential_in(self) -> str:
        """How credentials get to the server."""
        return "header" if self.spoken_to == "http" else "_meta"


ERAS: tuple[Era, ...] = ("older", "modern")
DIRECT = [Cell(era, "both", speaks) for era in ERAS for speaks in ("stdio", "http")]


def _through(client: Era, kind: Kind) -> list[Cell]:
    return [Cell(client, kind, "http" if pair.startswith("http") else "stdio", pair) for pair in PAIRS]


SAME_ERA = [*_through("older", "both"), *_through("modern", "both")]
BRIDGED = [*_through("modern", "older"), *_through("older", "modern")]
CELLS = [*DIRECT, *SAME_ERA, *BRIDGED]
