"""X.509-SVIDs (SPIFFE X.509-SVID section 2 to 5): which workload a certificate is of.

Whether it is genuine, TLS has found out: the chain leads to the bundle of one trust domain. Here is what TLS
does not look at: that the leaf names exactly one workload, of that trust domain, and may not sign others.
"""

from cryptography import x509
from cryptography.x509 import BasicConstraints, ExtensionNotFound, KeyUsage, SubjectAlternativeName

from hopward.clock import SECOND, Instant
from hopward.errors import TokenError
from hopward.workload import spiffe_id


def workload_of(der: bytes, trust_domain: str, now: Instant) -> tuple[str, Instant]:
    """The SPIFFE ID of a leaf certificate, and when it ends; raises `TokenError`."""
    try:
        leaf = x509.load_der_x509_certificate(der)
        named = leaf.extensions.get_extension_for_class(SubjectAlternativeName).value
        names = named.get_values_for_type(x509.UniformResourceIdentifier)
        usage = leaf.extensions.get_extension_for_class(KeyUsage).value
        authority = _is_authority(leaf)
    except (ValueError, ExtensionNotFound) as error:
        raise TokenError("The certificate is no X.509-SVID.", error="malformed") from error
    if authority or usage.key_cert_sign or usage.crl_sign or not usage.digital_signature:
        raise TokenError("The certificate is not that of a workload.", error="wrong_type")
    found = spiffe_id(names[0]) if len(names) == 1 else None
    if found is None:
        raise TokenError("The certificate does not name exactly one workload.", error="bad_claim")
    if found.trust_domain != trust_domain:
        raise TokenError("The certificate is from another trust domain.", error="wrong_issuer")
    begins = int(leaf.not_valid_before_utc.timestamp()) * SECOND
    ends = int(leaf.not_valid_after_utc.timestamp()) * SECOND
    if not begins <= now < ends:
        raise TokenError("The certificate is not valid now.", error="expired")
    return names[0], ends


def _is_authority(leaf: x509.Certificate) -> bool:
    try:
        return leaf.extensions.get_extension_for_class(BasicConstraints).value.ca
    except ExtensionNotFound:
        return False
