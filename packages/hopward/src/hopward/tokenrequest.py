"""A question to an authorization server, with the network left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hopward.claims import CallDetails
from hopward.model import Chain, Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """One question, to ask once: POST `form` to `url`, or GET it where there is no form; hand in the answer.

    An empty `url` is our authority's token endpoint. Requests with the same `flight`, unless it is empty,
    would get the same answer: one of them is enough at a time. `form` holds secrets, and is not shown.
    """

    form: Mapping[str, str] = field(repr=False)
    call: CallDetails
    credential: Credential
    chain: Chain
    url: str = ""
    flight: str = ""
