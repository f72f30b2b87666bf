"""`[people]` of hopward.toml: whatever is missing or wrong refuses to start, and says where."""

from pathlib import Path

import pytest

from hopward import ConfigError
from hopward.config import checked_settings
from hopward.settings import Settings

GOOD = {
    "issuer": '"https://idp.example/realms/staff"',
    "client_id": '"hopward"',
    "authentication": '"client_secret_basic"',
    "secret_environment": '"IDP_SECRET"',
}
PAGE = '[approvals]\npage = "https://approve.example"\n'


def read(page: str = PAGE, **changes: str | None) -> Settings:
    lines = [f"{name} = {value}" for name, value in (GOOD | changes).items() if value is not None]
    text = '[authority]\nissuer = "https://authority.example"\n' + page + "[people]\n" + "\n".join(lines)
    return checked_settings(text, Path("hopward.toml"))


def mistakes(page: str = PAGE, **changes: str | None) -> str:
    with pytest.raises(ConfigError) as refused:
        read(page, **changes)
    return "\n".join(refused.value.problems)


def test_what_is_left_out_is_the_careful_choice() -> None:
    people = read().people
    assert people is not None
    assert (people.algorithm, people.name, people.session_seconds, people.check_seconds) == (
        *("RS256", "sub"),
        *(28_800, 60),
    )


def test_nobody_logs_in_without_a_page_to_come_back_to() -> None:
    assert "needs [approvals] page" in mistakes(page="")


@pytest.mark.parametrize("missing", ["issuer", "client_id", "authentication", "secret_environment"])
def test_what_protects_a_login_has_no_default(missing: str) -> None:
    assert f"people.{missing}: missing" in mistakes(**{missing: None})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("issuer", '"http://idp.example"'),
        ("issuer", '"https://idp.example/?a=b"'),
        ("issuer", '"https://idp.example/#a"'),
        ("issuer", '"https://user@idp.example"'),
        ("client_id", '""'),
        ("authentication", '"none"'),
        ("secret_environment", '"not a name"'),
        ("secret_environment", '""'),
        ("algorithm", '"none"'),
        ("algorithm", '"HS256"'),
        ("name", '"preferred_username"'),
        ("scopes", '["a b"]'),
        ("session_seconds", "86401"),
        ("session_seconds", "0"),
        ("check_seconds", "9"),
        ("check_seconds", "601"),
        ("check_secs", "60"),
        ("client_secret", '"s3cret"'),
    ],
)
def test_a_setting_that_would_make_logins_weaker_is_refused(key: str, value: str) -> None:
    assert f"people.{key}" in mistakes(**{key: value})


def test_a_key_and_a_secret_are_not_both_used() -> None:
    assert "people.secret_environment: belongs to" in mistakes(authentication='"private_key_jwt"')
    assert read(authentication='"private_key_jwt"', secret_environment=None).people
