"""The chain of one call beside a token of somebody else: a JWT signed by Hopward, of a type of its own.
 An external authorization server may be unable to say who has acted, and for which call a token is. This says
it: subject, every actor, task, hops, the tool and the digest of its arguments, as a credential of ours does,
and in `ath` (as RFC 9449 section 4.2 has it) which access token it goes with. It opens nothing: its type is
no access token's.
"""

import secrets

import msgspec

from hopward import claims
from hopward.claims import CallDetails, Content
from hopward.exchange import PROXY
from hopward.jose import sign
from hopward.jwk import SigningKey
from hopward.model import Credential

TYPE = "hopward-chain+jwt"
"""The `typ` of such a statement."""


def write(credential: Credential, call: CallDetails, token: str, issuer: str, key: SigningKey) -> str:
    """The statement that goes with `token`, for a credential as it was planned: its audience is the server's
    resource indicator, its scope the one tool, and it lives for a minute at most."""
    named = msgspec.structs.replace(credential, id="chn_" + secrets.token_hex(16))
    content: Content = claims.write(named, issuer, PROXY)
    content |= {"authorization_details": call.claim(), "ath": claims.token_hash(token)}
    if call.decision:
        content["decision"] = call.decision
    return sign(content, key, TYPE)
