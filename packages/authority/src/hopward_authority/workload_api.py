"""The SPIFFE Workload API (gRPC over a Unix socket), by the library `spiffe`; imported where it is used."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import Certificate
from joserfc.jwk import ECKey, RSAKey
from spiffe import SpiffeId, TrustDomain, WorkloadApiClient
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


def jwt_svid(address: str, audience: str, spiffe_id: str, timeout: float) -> str:
    """A JWT-SVID of the process that asks, for this audience alone; of several identities, this SPIFFE ID.

    The Workload API hands out the same one until half of its life is over. Raises `TokenError`
    (`svid_unavailable`) where it has none for this process, or cannot be reached within `timeout` seconds.
    """
    try:
        with WorkloadApiClient(address) as client:
            subject = SpiffeId(spiffe_id) if spiffe_id else None
            return client.fetch_jwt_svid({audience}, subject, timeout).token
    except PySpiffeError as error:
        raise TokenError(f"The Workload API gives no SVID: {error}", error="svid_unavailable") from error


@dataclass(frozen=True, slots=True)
class X509Material:
    """An X.509-SVID with its private key and the bundle of its trust domain, each as PEM."""

    chain: str
    key: str = field(repr=False)
    bundle: str


def x509_material(address: str, spiffe_id: str, timeout: float) -> X509Material:
    """The X.509-SVID with exactly this SPIFFE ID of the process that asks, and what verifies its peers.

    The bundle is that of its own trust domain, not of those it federates with. Raises `TokenError`
    (`svid_unavailable`) where it has none, or cannot be reached within `timeout` seconds.
    """
    try:
        with WorkloadApiClient(address) as client:
            found = client.fetch_x509_context(timeout)
        svid = next((one for one in found.x509_svids if str(one.spiffe_id) == spiffe_id), None)
        bundle = svid and found.x509_bundle_set.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
    except PySpiffeError as error:
        raise TokenError(f"The Workload API gives no SVID: {error}", error="svid_unavailable") from error
    if not svid or not bundle:
        raise TokenError(f"The Workload API has no SVID {spiffe_id}.", error="svid_unavailable")
    key = svid.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return X509Material(_pem(svid.cert_chain), key.decode("ascii"), _pem(bundle.x509_authorities))


def _pem(certificates: Iterable[Certificate]) -> str:
    return "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in certificates)


def _jwk(kid: str, key: Any) -> dict[str, Any]:
    made = RSAKey(key, key) if isinstance(key, RSAPublicKey) else ECKey(key, key)
    return {**made.as_dict(private=False), "kid": kid, "use": "jwt-svid"}
