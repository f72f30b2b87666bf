"""A JWT-SVID in a file, where a SPIFFE helper keeps it up to date (SPIFFE Workload API, `FetchJWTSVID`)."""

from pathlib import Path

from hopward.errors import ExchangeRefusedError, TokenError
from hopward.foreign import audiences, unverified_claims
from hopward.jose import MAX_TOKEN


def svid_in(path: Path, audience: str) -> str:
    """The SVID in a file, whose only audience must be this one: whoever gets another one could use it
    elsewhere.

    Whether it is genuine and current, says whoever is authenticated to. Raises `ExchangeRefusedError`
    (`invalid_client`).
    """
    try:
        with path.open("rb") as file:
            token = file.read(MAX_TOKEN + 1).decode("ascii").strip()
        named = audiences(unverified_claims(token))
    except (OSError, ValueError, TokenError) as error:
        told = "The file that should hold a JWT-SVID to authenticate with holds none that can be read."
        raise ExchangeRefusedError(told, error="invalid_client") from error
    if named != (audience,):
        told = "The JWT-SVID to authenticate with is for another audience than the issuer, or for several."
        raise ExchangeRefusedError(told, error="invalid_client")
    return token
