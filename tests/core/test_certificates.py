"""X.509-SVIDs: which certificates are of a workload, and which are not, whoever has signed them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from hopward.certificates import workload_of
from hopward.clock import SECOND
from hopward.errors import TokenError
from hopward.testing.trust_domain import HOUR, TrustDomain

DOMAIN = TrustDomain(datetime.now(UTC))
ID = "spiffe://prod.example/agent/helper"


def now() -> int:
    return int(datetime.now(UTC).timestamp()) * SECOND


def why(der: bytes, trust_domain: str = "prod.example") -> str:
    with pytest.raises(TokenError) as refused:
        workload_of(der, trust_domain, now())
    return refused.value.error


def test_a_leaf_names_its_workload_and_when_it_ends() -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + HOUR
    assert workload_of(DOMAIN.svid(ID, ends=ends)[0], "prod.example", now()) == (
        ID,
        int(ends.timestamp()) * SECOND,
    )


@pytest.mark.parametrize(
    ("uris", "error"),
    [
        ((), "malformed"),
        ((ID, ID), "bad_claim"),
        ((ID, "spiffe://prod.example/agent/other"), "bad_claim"),
        ((ID, "https://prod.example"), "bad_claim"),
        (("https://prod.example/agent/helper",), "bad_claim"),
        (("spiffe://prod.example",), "bad_claim"),
        (("spiffe://prod.example/",), "bad_claim"),
        (("spiffe://prod.example/agent/../helper",), "bad_claim"),
        (("spiffe://test.example/agent/helper",), "wrong_issuer"),
        (("spiffe://prod.example.evil.example/agent/helper",), "wrong_issuer"),
    ],
)
def test_a_leaf_names_exactly_one_workload_of_the_trust_domain(uris: tuple[str, ...], error: str) -> None:
    assert why(DOMAIN.svid(*uris)[0]) == error


@pytest.mark.parametrize(
    "changes",
    [
        {"ca": True},
        {"usages": ()},
        {"usages": ("key_encipherment",)},
        {"usages": ("digital_signature", "key_cert_sign"), "ca": True},
        {"usages": ("digital_signature", "crl_sign")},
    ],
)
def test_a_certificate_that_may_sign_others_is_no_workloads(changes: dict[str, Any]) -> None:
    assert why(DOMAIN.svid(ID, **changes)[0]) == "wrong_type"


def test_a_leaf_counts_while_it_is_valid() -> None:
    at = datetime.now(UTC)
    assert why(DOMAIN.svid(ID, begins=at - 2 * HOUR, ends=at - HOUR)[0]) == "expired"
    assert why(DOMAIN.svid(ID, begins=at + HOUR, ends=at + 2 * HOUR)[0]) == "expired"


def test_what_is_no_certificate_is_refused() -> None:
    for der in (b"", b"no certificate", DOMAIN.svid(ID)[0][:-9]):
        assert why(der) == "malformed"
