"""The issuer: mints task tokens, agent tokens, tokens of hops, access tokens for the proxy, and credentials.

The authority calls it over HTTP, the proxy in its own process; `hopward.exchange` decides for both. A token
is signed only after the row that names it is durable.

    issuer   `Issuer`: every token an installation mints, and every question about one
    handing  work handed on over OAuth: the guard's decision as a token, or as an OAuth error
    minting  the row of a token, then its signature
"""

from hopward.issuer.handing import Delegator
from hopward.issuer.issuer import Issuer
from hopward.issuer.minting import Book, Issued, Keys

__all__ = ["Book", "Delegator", "Issued", "Issuer", "Keys"]
