"""The SPIFFE Workload API (gRPC over a Unix socket), by the library `spiffe`; imported where it is used."""

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.jwk import ECKey, RSAKey
from spiffe import TrustDomain, WorkloadApiClient
from spiffe.errors import PySpiffeError

from hopward import TokenError


def jwt_bundle(address: str, trust_domain: str, timeout: float) -> bytes:
    """The bundle of exactly this trust domain for JWT-SVIDs, as a JWKS document; not those it federates with.

    Raises `TokenError` (`keys_unavailable`) where it cannot be had within `timeout` seconds.
    """
    try:
        with WorkloadApiClient(address) as client:
            found = client.fetch_jwt_bundles(timeout=timeout)
        bundle = found.get_bundle_for_trust_domain(TrustDomain(trust_domain))
    except PySpiffeError as error:
        raise TokenError(f"The Workload API gives no bundle: {error}", error="keys_unavailable") from error
    if bundle is None:
        told = f"The Workload API has no bundle of {trust_domain}."
        raise TokenError(told, error="keys_unavailable")
    return json.dumps({"keys": [_jwk(kid, key) for kid, key in bundle.jwt_authorities.items()]}).encode()


def _jwk(kid: str, key: Any) -> dict[str, Any]:
    made = RSAKey(key, key) if isinstance(key, RSAPublicKey) else ECKey(key, key)
    return {**made.as_dict(private=False), "kid": kid, "use": "jwt-svid"}
