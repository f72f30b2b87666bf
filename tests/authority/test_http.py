"""The HTTP around it: documents, hosts, origins, forms, and what is never served."""

from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from hopward import ConfigError
from hopward.jwk import key_set
from hopward_authority import create_app
from hopward_authority.form import MAX_BODY
from hopward_authority.hosts import own_hosts

from .conftest import ASSERTION, ISSUER, Authority, MakeAuthority

FORM = "application/x-www-form-urlencoded"
PUBLIC = ["/.well-known/oauth-authorization-server", "/jwks"]
POSTED = ["/token", "/revoke", "/introspect"]


def method(path: str) -> str:
    return "POST" if path in POSTED else "GET"


def test_the_metadata_says_where_everything_is(authority: Authority) -> None:
    answer = authority.http.get(PUBLIC[0])
    assert answer.status_code == 200
    document = answer.json()
    assert document["issuer"] == ISSUER
    for name, path in (
        ("token_endpoint", "/token"),
        ("jwks_uri", "/jwks"),
        ("revocation_endpoint", "/revoke"),
        ("introspection_endpoint", "/introspect"),
    ):
        assert document[name] == ISSUER + path
    for name in ("token", "revocation", "introspection"):
        assert document[f"{name}_endpoint_auth_methods_supported"] == ["private_key_jwt"]
        assert document[f"{name}_endpoint_auth_signing_alg_values_supported"] == ["ES256", "EdDSA"]
    assert document["grant_types_supported"] == [
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ]
    assert "authorization_endpoint" not in document


def test_an_issuer_with_a_path_is_served_under_that_path(make_authority: MakeAuthority) -> None:
    """RFC 8414 section 3.1: the well-known part comes before the issuer's own path."""
    authority = make_authority(issuer="https://example.com/tenants/one")
    http = TestClient(create_app(authority.guard), base_url="https://example.com")
    document = http.get("/.well-known/oauth-authorization-server/tenants/one").json()
    assert document["issuer"] == "https://example.com/tenants/one"
    assert document["jwks_uri"] == "https://example.com/tenants/one/jwks"
    assert http.get("/tenants/one/jwks").status_code == 200
    assert http.get("/jwks").status_code == 404
    assert authority.agent_token()


def test_the_published_keys_are_public_and_rotate(authority: Authority) -> None:
    before = authority.http.get("/jwks").json()
    assert len(key_set(before)) == 1
    access = authority.access_token()
    authority.guard.issuer.rotate(authority.guard.ledger)
    after = authority.http.get("/jwks").json()
    assert set(key_set(before)) < set(key_set(after))
    assert all("d" not in key for key in after["keys"])
    assert authority.credential(access).status_code == 200
    assert authority.claims(access)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "authority.example.evil.example",
        "authority.example:8443",
        "authority.example@evil.example",
        "evil.example/authority.example",
        "AUTHORITY.EXAMPLE.",
        "authority.example, evil.example",
        "[::1",
    ],
)
def test_every_surface_refuses_a_foreign_host(authority: Authority, host: str) -> None:
    """Advisory rows 8 and 11 (CVE-2026-48710, DNS rebinding)."""
    for path in (*PUBLIC, *POSTED, "/", "/nowhere"):
        answer = authority.http.request(method(path), path, headers={"Host": host})
        assert (answer.status_code, answer.json()["error"]) == (403, "invalid_request")
        assert answer.headers["cache-control"] == "no-store"
    assert len(authority.rows("refusal")) == 7


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://authority.example", "https://authority.example:8443", ""],
)
def test_every_surface_refuses_a_foreign_origin(authority: Authority, origin: str) -> None:
    for path in (*PUBLIC, *POSTED):
        answer = authority.http.request(method(path), path, headers={"Origin": origin})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_our_own_host_in_any_case_and_our_own_origin_are_served(authority: Authority) -> None:
    for headers in ({"Host": "Authority.Example"}, {"Host": "authority.example:443"}, {"Origin": ISSUER}):
        assert authority.http.get("/jwks", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "Forwarded", "X-Original-URL", "X_Task"],
)
def test_forwarding_headers_change_nothing(authority: Authority, name: str) -> None:
    """Advisory row 30."""
    headers = {name: "evil.example"}
    assert authority.http.get(PUBLIC[0], headers=headers).json() == authority.http.get(PUBLIC[0]).json()


def test_parameters_in_the_address_are_refused(authority: Authority) -> None:
    for path in (*PUBLIC, *POSTED):
        answer = authority.http.request(method(path), path + "?client_assertion=x")
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": "text/plain"}, b"a=b", 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--", 415),
        ({"Content-Type": FORM + "; charset=utf-16"}, b"a=b", 415),
        ({"Content-Type": FORM + "x"}, b"a=b", 415),
        ({}, b"a=b", 415),
        ({"Content-Type": FORM}, b"grant_type", 400),
        ({"Content-Type": FORM}, b"a=b&&c=d", 400),
        ({"Content-Type": FORM}, b"a=%zz", 400),
        ({"Content-Type": FORM}, b"a=%e9", 400),
        ({"Content-Type": FORM}, b"a=%", 400),
        ({"Content-Type": FORM}, "a=é".encode(), 400),
        ({"Content-Type": FORM}, b"\xff\xfe", 400),
        ({"Content-Type": FORM}, b"&".join(b"a%d=b" % n for n in range(41)), 400),
        ({"Content-Type": FORM}, b"a=" + b"x" * MAX_BODY, 413),
        ({"Content-Type": FORM, "Content-Encoding": "gzip"}, b"a=b", 400),
        ({"Content-Type": FORM, "DPoP": "x"}, b"a=b", 400),
        ({"Content-Type": FORM, "Authorization": "Bearer x"}, b"a=b", 401),
        ({"Content-Type": FORM, "Authorization": "Basic eDp5"}, b"a=b", 401),
    ],
)
def test_what_is_no_proper_form_is_refused_and_recorded(
    authority: Authority, headers: dict[str, str], body: bytes, status: int
) -> None:
    for path in POSTED:
        answer = authority.http.post(path, content=body, headers=headers)
        assert answer.status_code == status
        assert answer.json()["error"] in ("invalid_request", "invalid_client", "invalid_dpop_proof")
        assert answer.headers["cache-control"] == "no-store"
        assert authority.rows("refusal")[-1].reason == answer.json()["error"]


def test_an_empty_form_is_nobodys(authority: Authority) -> None:
    for path, status in zip(POSTED, (400, 401, 401), strict=True):
        answer = authority.http.post(path, content=b"", headers={"Content-Type": FORM})
        assert answer.status_code == status


def test_two_content_types_are_refused(authority: Authority) -> None:
    headers: Any = [("Content-Type", FORM), ("Content-Type", FORM)]
    assert authority.http.post("/token", content=b"a=b", headers=headers).status_code == 415


def test_a_form_says_in_which_characters_it_is_written(authority: Authority) -> None:
    body = urlencode(
        {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION,
            "client_assertion": authority.assertion("helper"),
        }
    )
    for kind in (FORM, FORM + ";charset=utf-8", FORM + "; charset=UTF-8"):
        assert (
            authority.http.post("/introspect", content=body, headers={"Content-Type": kind}).status_code
            == 400
        )
    answer = authority.http.post("/token", content=body, headers={"Content-Type": FORM + "; charset=UTF-8"})
    assert answer.status_code == 200


def test_a_refusal_never_repeats_what_was_sent(authority: Authority) -> None:
    secret = "s3cret-that-must-not-be-repeated"
    for parameters in (
        {"grant_type": "client_credentials", "client_assertion": secret},
        {"grant_type": "client_credentials", secret: "x"},
        {"grant_type": "client_credentials", "client_secret": secret},
        {"grant_type": "client_credentials", "client_id": secret},
        {"grant_type": "client_credentials", "client_assertion_type": secret},
    ):
        answer = authority.post("/token", "helper", **parameters)
        assert answer.status_code in (400, 401)
        assert secret not in answer.text
    assert secret not in authority.log_text()


def test_a_description_stays_within_the_characters_of_oauth(authority: Authority) -> None:
    answer = authority.post("/token", "helper", grant_type='x"\\\r\né' + "y" * 1000)
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")
    description = answer.json()["error_description"]
    assert description.isascii()
    assert len(description) <= 300
    assert not set(description) & set('"\\\r\n')


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/token/", 404),
        ("GET", "//token", 404),
        ("GET", "/TOKEN", 404),
        ("GET", "/token", 405),
        ("PUT", "/token", 405),
        ("POST", "/jwks", 405),
        ("DELETE", "/revoke", 405),
        ("OPTIONS", "/token", 405),
        ("GET", "/authorize", 404),
        ("POST", "/register", 404),
    ],
)
def test_nothing_else_is_served(authority: Authority, verb: str, path: str, status: int) -> None:
    answer = authority.http.request(verb, path, follow_redirects=False)
    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"


def test_every_route_answers_401_without_a_token(authority: Authority) -> None:
    """Advisory row 23: the routes come from the application itself; the public ones are named here."""
    routes: Any = create_app(authority.guard).routes
    assert {route.path for route in routes} == {*PUBLIC, *POSTED}
    for route in routes:
        if route.path in PUBLIC:
            assert authority.http.get(route.path).status_code == 200
        else:
            answer = authority.http.post(route.path, data={"grant_type": "client_credentials", "token": "x"})
            assert answer.status_code in (400, 401)
            assert "access_token" not in answer.text


def test_a_log_that_cannot_be_written_issues_nothing(authority: Authority) -> None:
    subject = authority.task_token(authority.open_task())
    assertion = authority.assertion("helper")
    authority.guard.close()
    for path, parameters in (
        ("/token", {"grant_type": "client_credentials"}),
        (
            "/token",
            {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": subject},
        ),
        ("/revoke", {"token": subject}),
        ("/introspect", {"token": subject}),
    ):
        answer = authority.post(path, "helper", client_assertion=assertion, **parameters)
        assert (answer.status_code, answer.json()["error"]) == (503, "server_error")
        assert "access_token" not in answer.text


def test_a_guard_without_the_signing_key_serves_no_authority(make_authority: MakeAuthority) -> None:
    with pytest.raises(ConfigError, match="not opened as the authority"):
        make_authority(extra='mode = "remote"\ntoken_endpoint = "https://authority.example/token"\n')


@pytest.mark.parametrize(
    ("issuer", "listen", "hosts"),
    [
        ("https://a.example", "127.0.0.1:8700", {"a.example", "a.example:443"}),
        ("https://a.example:443", "127.0.0.1:8700", {"a.example", "a.example:443"}),
        ("https://a.example:8443", "127.0.0.1:8700", {"a.example:8443"}),
        ("http://127.0.0.1:8700", "127.0.0.1:8700", set[str]()),
    ],
)
def test_the_hosts_of_an_authority_are_its_issuers_and_its_own(
    issuer: str, listen: str, hosts: set[str]
) -> None:
    local = {"localhost:8700", "127.0.0.1:8700", "[::1]:8700"}
    assert own_hosts(issuer, listen) == hosts | local
    assert own_hosts("https://a.example", "0.0.0.0:80") == {"a.example", "a.example:443", "0.0.0.0:80"}
