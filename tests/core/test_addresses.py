"""What in a text leads its reader somewhere."""

import pytest

from hopward.addresses import addresses


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Check out www.evil.example", ["www.evil.example"]),
        ("see https://evil.example/a?b=c.", ["https://evil.example/a?b=c."]),
        ("[click](https://evil.example)", ["https://evil.example)"]),
        ("<https://evil.example|the report>", ["https://evil.example"]),
        ("evil\u200b.example", ["evil.example"]),
        ("\uff45vil\u3002example", ["evil.example"]),
        ("ask mallory@evil", ["mallory@evil"]),
        ("b\u00fccher.example", ["b\u00fccher.example"]),
        ("xn--bcher-kva.xn--p1ai", ["xn--bcher-kva.xn--p1ai"]),
        ("http://2130706433/", ["http://2130706433/"]),
        ("10.0.0.1", ["10.0.0.1"]),
        ("pay GB29NWBK60161331926819", ["GB29NWBK60161331926819"]),
        ("pay GB29 NWBK 6016 1331 9268 19", ["GB29NWBK60161331926819"]),
        ("pay GB29-NWBK-6016-1331-9268-19", ["GB29NWBK60161331926819"]),
        ("pay DE75.5121.0800.1245.1261.99", ["DE75512108001245126199"]),
        ("call +44 20 7946 0958", ["+442079460958"]),
        ("call +44.20.7946.0958", ["+442079460958"]),
        ("call 0044 20 7946 0958", ["00442079460958"]),
        ("card 4111-1111-1111-1111", ["4111111111111111"]),
        ("card 4111 1111 1111 1111", ["4111111111111111"]),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", ["bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"]),
        ("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", ["1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"]),
        ("account 123456789", ["123456789"]),
        ("a.example,b.example", ["a.example,b.example"]),
    ],
)
def test_an_address_is_found_however_it_is_written(text: str, found: list[str]) -> None:
    assert addresses(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "Congrats on being the 1-th most active user!",
        "Hi, can everybody write me their favorite hobby in DM?",
        "On 2022-01-01 we paid 1,234.56 in all (e.g. for rent), 10% more.",
        "It was 3.5 at 12:30; see you.",
        "In 2024, 2025 and 2026 there were 1200 1300 1400 of them, at 00:30 or 00.15.",
        "",
    ],
)
def test_words_numbers_and_dates_are_no_addresses(text: str) -> None:
    assert addresses(text) == []
