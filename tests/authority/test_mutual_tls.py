"""Mutual TLS with X.509-SVIDs: who gets through a handshake, before and after what counts has changed."""

import ssl
from datetime import UTC, datetime

import pytest

pytest.importorskip("spiffe")

from hopward.errors import TokenError
from hopward.testing.trust_domain import TrustDomain
from hopward_authority.mutual_tls import STALE, Handshakes, tls_context
from hopward_authority.workload_api import X509Material

NOW = datetime.now(UTC)
SERVER, CLIENT = "spiffe://prod.example/authority", "spiffe://prod.example/agent"


def material(domain: TrustDomain, name: str, trusted: TrustDomain | None = None) -> X509Material:
    """An SVID of one trust domain, whose holder trusts that, or another."""
    _, chain, key = domain.svid(name)
    return X509Material(chain, key, (trusted or domain).bundle)


def shaken(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes:
    """The certificate that the server has been shown, after a handshake without a network."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server, server_hostname=None)
    waiting = [here, there]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    shown = there.getpeercert(binary_form=True)
    assert shown
    return shown


def fails(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    with pytest.raises(ssl.SSLError):
        shaken(server, client)


def test_both_sides_show_an_svid_of_the_trust_domain() -> None:
    domain = TrustDomain(NOW)
    server = Handshakes(material(domain, SERVER)).front
    assert shaken(server, tls_context(material(domain, CLIENT), server=False))


def test_no_certificate_or_one_of_another_trust_domain_gets_nobody_in() -> None:
    domain, other = TrustDomain(NOW), TrustDomain(NOW, "other.example")
    server = Handshakes(material(domain, SERVER)).front
    fails(server, tls_context(material(other, CLIENT, trusted=domain), server=False))
    fails(server, tls_context(material(domain, CLIENT, trusted=other), server=False))
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    fails(server, nobody)


def test_the_next_handshake_uses_the_bundle_and_the_certificate_that_count_then() -> None:
    old, new = TrustDomain(NOW), TrustDomain(NOW)
    handshakes = Handshakes(material(old, SERVER))
    of_old = tls_context(material(old, CLIENT), server=False)
    of_new = tls_context(material(new, CLIENT), server=False)
    assert shaken(handshakes.front, of_old)
    fails(handshakes.front, of_new)
    handshakes.renew(material(new, SERVER))
    assert shaken(handshakes.front, of_new)
    fails(handshakes.front, of_old)
    fails(handshakes.front, tls_context(material(old, CLIENT, trusted=new), server=False))


def test_what_is_too_old_lets_nobody_in() -> None:
    domain, now = TrustDomain(NOW), [0.0]
    handshakes = Handshakes(material(domain, SERVER), lambda: now[0])
    client = tls_context(material(domain, CLIENT), server=False)
    now[0] = STALE - 1
    assert shaken(handshakes.front, client)
    now[0] = STALE
    fails(handshakes.front, client)
    handshakes.renew(material(domain, SERVER))
    assert shaken(handshakes.front, client)


def test_material_that_cannot_be_used_leaves_what_was_before() -> None:
    domain = TrustDomain(NOW)
    handshakes = Handshakes(material(domain, SERVER))
    with pytest.raises(TokenError) as refused:
        handshakes.renew(X509Material("no", "pem", "at all"))
    assert refused.value.error == "svid_unavailable"
    assert shaken(handshakes.front, tls_context(material(domain, CLIENT), server=False))


def test_no_session_is_resumed() -> None:
    domain = TrustDomain(NOW)
    context = Handshakes(material(domain, SERVER)).front
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET
