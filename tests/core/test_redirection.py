"""Where a client may have people sent back to: exact addresses, and on loopback any port."""

import pytest

from hopward.redirection import redirect_fits, return_source, wrong_redirect

REGISTERED = (
    "http://127.0.0.1/callback",
    "http://[::1]:80/callback",
    "https://app.example/back?x=1",
    "app.own:/back",
)


@pytest.mark.parametrize(
    "asked",
    [
        *REGISTERED,
        "http://127.0.0.1:4711/callback",
        "http://[::1]:65535/callback",
    ],
)
def test_a_registered_address_fits_and_on_loopback_any_port(asked: str) -> None:
    assert redirect_fits(asked, REGISTERED)


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "http://127.0.0.1/callback/",
        "http://127.0.0.1/callback?x=1",
        "http://127.0.0.1/Callback",
        "http://127.0.0.1/callback#x",
        "http://127.0.0.1/other/../callback",
        "http://127.0.0.1:4711",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:80@evil.example/callback",
        "http://127.0.0.1@evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.2/callback",
        "http://localhost/callback",
        "https://127.0.0.1/callback",
        "http://127.0.0.1:4711/\\evil.example/callback",
        "https://app.example/back",
        "https://app.example:444/back?x=1",
        "https://app.example/back?x=1&y=2",
        "https://APP.example/back?x=1",
        "https://app.example.evil/back?x=1",
        "https://user@app.example/back?x=1",
        "app.own:/back/",
        "app.own:/Back",
        "javascript:/back",
        "http://127.0.0.1/callback\r\nSet-Cookie: a=b",
        "http://127.0.0.1/callb\u00e4ck",
    ],
)
def test_an_address_that_differs_in_anything_else_does_not_fit(asked: str) -> None:
    assert not redirect_fits(asked, REGISTERED)


def test_localhost_fits_itself_at_any_port() -> None:
    assert redirect_fits("http://localhost:4711/callback", ["http://localhost/callback"])


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/back",
        "http://127.0.0.1.example/",
        "https:///back",
        "https://",
        "javascript:alert(1)",
        "javascript:/alert(1)",
        "data:/text",
        "file:///etc/passwd",
        "about:/blank",
        "app",
        "/back",
        "//app.example/back",
        "https://app.example/a b",
        "https://app.example/#x",
        "https://" + "a" * 2_000,
    ],
)
def test_an_address_that_nobody_should_be_sent_to_is_not_registered(uri: str) -> None:
    assert wrong_redirect(uri)
    assert not redirect_fits(uri, [uri])


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("https://app.example/back?x=1", "https://app.example"),
        ("http://127.0.0.1:4711/callback", "http://127.0.0.1:4711"),
        ("http://127.0.0.1?x", "http://127.0.0.1"),
        ("http://[::1]:4711/callback", "http:"),
        ("app.own:/back", "app.own:"),
        ("app.own://host/back", "app.own:"),
    ],
)
def test_the_page_lets_its_form_lead_to_the_address_and_nowhere_else(uri: str, source: str) -> None:
    assert not wrong_redirect(uri)
    assert return_source(uri) == source
