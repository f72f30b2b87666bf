"""A SPIFFE trust domain for tests: its authority for X.509-SVIDs, and whatever it is made to sign."""

from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HOUR = timedelta(hours=1)
_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


class TrustDomain:
    """An authority, whose certificate is the whole bundle. What it signs is good for an hour from `now`."""

    def __init__(self, now: datetime, name: str = "prod.example") -> None:
        self._now = now
        self._key = generate_private_key(SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, name)])
        begun = now - HOUR
        builder = x509.CertificateBuilder().subject_name(self._name).issuer_name(self._name)
        builder = builder.public_key(self._key.public_key()).serial_number(1)
        builder = builder.not_valid_before(begun).not_valid_after(begun + 1_000 * HOUR)
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        builder = builder.add_extension(usage("key_cert_sign", "crl_sign"), critical=True)
        self.certificate = builder.sign(self._key, SHA256())

    @property
    def bundle(self) -> str:
        """The bundle, as PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def svid(
        self, *uris: str, usages: tuple[str, ...] = ("digital_signature",), ca: bool = False, **times: Any
    ) -> tuple[bytes, str, str]:
        """A leaf with these names, as DER and PEM, and its key as PEM; `begins` and `ends` are instants."""
        key = generate_private_key(SECP256R1())
        builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(self._name)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(times.get("begins", self._now - HOUR))
        builder = builder.not_valid_after(times.get("ends", self._now + HOUR))
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        builder = builder.add_extension(usage(*usages), critical=True)
        if uris:
            names = [x509.UniformResourceIdentifier(uri) for uri in uris]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        leaf = builder.sign(self._key, SHA256())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return leaf.public_bytes(Encoding.DER), leaf.public_bytes(Encoding.PEM).decode(), private


def usage(*used: str) -> x509.KeyUsage:
    """The key usages of a certificate, by their names in `cryptography`."""
    return x509.KeyUsage(**{name: name in used for name in _USAGES})
