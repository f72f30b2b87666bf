"""Where a call leads, as its arguments tell it, and what tells nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopward.canonical import JSON
from hopward.destination import argument_of, check, destinations, may_lead
from hopward.model import Tool


def tool(destination: str) -> Tool:
    return Tool(
        server="web",
        name="fetch",
        action="read",
        sensitivity="public",
        integrity="untrusted",
        destination=destination,
        arguments={"url": "string", "to": "strings"},
    )


def led(destination: str, **arguments: JSON) -> tuple[str, ...]:
    return destinations(tool(destination), arguments)


def test_a_destination_without_an_argument_is_always_the_same() -> None:
    assert led("mail", url="https://a.example") == ("mail",)


def test_a_place_is_made_of_the_value_of_an_argument() -> None:
    assert led("account:{url}/x", url=" DE89 ") == ("account:DE89/x",)
    assert led("channel:{to}", to=["a", "b", "a"]) == ("channel:a", "channel:b")


def test_an_argument_that_is_absent_leads_where_it_is_said_to_or_nowhere() -> None:
    assert led("account:{url|own}") == ("account:own",)
    assert led("account:{url}") == ()


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("https://api.example.com/a?b#c", "host:api.example.com"),
        ("HTTPS://API.Example.COM:443/", "host:api.example.com"),
        ("http://api.example.com:8080", "host:api.example.com:8080"),
        ("www.example.com/path", "host:www.example.com"),
        ("bob@Example.com", "host:example.com"),
        ("evil.example/x@good.example.com", "host:evil.example"),
        ("169.254.169.254/latest/meta-data?@good.example.com", "private:169.254.169.254"),
        ("localhost/x@good.example.com", "private:localhost"),
        ("https://93.184.216.34/", "host:93.184.216.34"),
        ("https://xn--bcher-kva.example/", "host:xn--bcher-kva.example"),
    ],
)
def test_the_host_of_a_url_a_mail_address_or_a_name(value: str, host: str) -> None:
    assert led("host:{url}", url=value) == (host,)


@pytest.mark.parametrize(
    "value",
    [
        "http://127.0.0.1/",
        "http://10.1.2.3/",
        "http://192.168.0.1:8080/",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:8700/",
        "http://printer.local/",
        "http://db.internal/",
        "http://intranet/",
        "root@localhost",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://192.0.0.192/latest/",
        "http://192.88.99.1/",
        "http://224.0.0.1/",
        "http://239.255.255.250/",
        "http://240.0.0.1/",
        "http://198.18.0.1/",
        "https://kubernetes.default.svc/api",
        "http://kubernetes.default.svc.cluster.local/",
        "http://metadata.google.internal/",
        "http://metadata.goog/computeMetadata",
        "http://METADATA.goog/",
        "http://metadata.tencentyun.com/",
        "http://router.home.arpa/",
        "http://x.onion/",
        "http://a.test/",
        "http://a.invalid/",
        "http://a.alt/",
        "http://nas.private/",
    ],
)
def test_a_host_that_is_not_public_is_a_private_destination(value: str) -> None:
    (found,) = led("host:{url}", url=value)
    assert found.startswith("private:")


@pytest.mark.parametrize(
    "value",
    [
        "http://8.8.8.8/",
        "http://192.0.1.1/",
        "http://223.255.255.1/",
        "https://test.goog/",
        "https://svc.example/",
    ],
)
def test_a_public_host_is_taken_for_none_else(value: str) -> None:
    (found,) = led("host:{url}", url=value)
    assert found.startswith("host:")


@pytest.mark.parametrize(
    "value",
    [
        "https://good.example@evil.example/",
        "https://good.example\\@evil.example/",
        "https://good.example%2f@evil.example/",
        "https://good.example%00.evil.example/",
        "https://good.example\t.evil.example/",
        "https://good.example\n.evil.example/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://good.example./",
        "https://g\u043eod.example/",
        "https://good\u3002example/",
        "https://good.example:99999/",
        "https://good_host.example/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "gopher://good.example/",
        "//good.example/",
        "a@b@good.example",
        "bob@good.example, eve@evil.example",
        "*.example.com",
        "",
        " ",
        "x" * 300,
    ],
)
def test_what_could_be_read_as_another_host_leads_nowhere(value: str) -> None:
    assert led("host:{url}", url=value) == ()


@pytest.mark.parametrize(
    "value", [None, 7, True, {}, [], [7], ["a", ""], [["a"]], "a\u200bb", "a\x00b", "a\x1bb"]
)
def test_what_is_no_plain_text_leads_nowhere(value: JSON) -> None:
    assert led("account:{url}", url=value) == ()


def test_one_that_leads_nowhere_spoils_the_list() -> None:
    assert led("host:{to}", to=["bob@a.example", "eve@b.example"]) == ("host:a.example", "host:b.example")
    assert led("host:{to}", to=["bob@a.example", "eve"]) != ("host:a.example",)
    assert led("host:{to}", to=["bob@a.example", "x@y@z"]) == ()
    assert led("host:{to}", to=["a@b.example"] * 65) == ()


def test_a_template_is_checked_as_it_is_written() -> None:
    assert [check(one) for one in ("mail", "account:{to}", "account:{to|own}", "host:{url}")] == [None] * 4
    for wrong in ("{", "a}b", "{}", "{a}{b}", "{a|b|c}", "host:{url}:443", "xhost:{", "private:{url}"):
        assert check(wrong) is not None
    assert argument_of("account:{to|own}") == "to"
    assert argument_of("mail") == ""


@pytest.mark.parametrize(
    ("template", "place", "expected"),
    [
        ("account:{to}", "account:DE*", True),
        ("account:{to}", "acc*", True),
        ("account:{to}", "account:DE1", True),
        ("account:{to}", "mail", False),
        ("host:{url}", "host:*.example", True),
        ("host:{url}", "private:10.*", True),
        ("host:{url}", "mail*", False),
    ],
)
def test_a_tool_is_shown_if_some_value_could_lead_where_it_may(
    template: str, place: str, expected: bool
) -> None:
    assert may_lead(template, place) is expected


@given(st.text(max_size=60))
def test_no_value_makes_it_raise_or_puts_anything_hidden_into_a_destination(value: str) -> None:
    for template in ("host:{url}", "account:{url}"):
        for found in led(template, url=value):
            assert found == found.strip()
            assert "*" not in found.removeprefix("account:") or template.startswith("account:")
