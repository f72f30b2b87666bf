"""`[clients.NAME]`, and `login` of a workflow, in `hopward.toml`: what refuses to start."""

from pathlib import Path

import pytest

from hopward import ConfigError, read_settings

from .test_logins import CONFIG


def problems(folder: Path, old: str, new: str) -> tuple[str, ...]:
    assert old in CONFIG
    path = folder / "hopward.toml"
    path.write_text(CONFIG.replace(old, new, 1))
    with pytest.raises(ConfigError) as refused:
        read_settings(path)
    return refused.value.problems


LOGIN = 'login = ["ines", "staff:*"]'
BACK = 'redirect_uris = ["http://127.0.0.1/callback", "https://app.example/back"]'


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (LOGIN, "login = []", "workflows.tickets.login: is empty"),
        (LOGIN, 'login = ["a*b"]', "workflows.tickets.login[0]: "),
        (LOGIN, 'login = ["agent:x"]', "is an agent; only people log in"),
        (LOGIN, 'login = ["Assistant"]', "is an agent; only people log in"),
        (LOGIN, LOGIN + '\nparameters = { ticket = "string" }', 'no value for the parameter "ticket"'),
        ('page = "http://127.0.0.1:8700"', "", "workflows.tickets.login: needs [approvals] page"),
        (BACK, "redirect_uris = []", "clients.desktop.redirect_uris: is empty"),
        (
            BACK,
            'redirect_uris = ["http://app.example/back"]',
            "clients.desktop.redirect_uris[0]: must be https",
        ),
        (BACK, 'redirect_uris = ["javascript:/x"]', "clients.desktop.redirect_uris[0]: must be https"),
        (BACK, "", "clients.desktop.redirect_uris: missing"),
        ('name = "Desk assistant"', f'name = "{"x" * 61}"', "clients.desktop.name: is longer than 60"),
        ('name = "Desk assistant"', 'nam = "x"', 'did you mean "name"?'),
        ('name = "Desk assistant"', 'key = { kty = "oct" }', "clients.desktop.key: is no usable public key"),
        ("[clients.other]", '[clients."a/b"]', "a name is 1 to 63 letters"),
    ],
)
def test_a_mistake_about_logins_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert any(told in problem for problem in problems(tmp_path, old, new))


def test_a_parameter_that_may_be_left_out_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(CONFIG.replace(LOGIN, LOGIN + '\nparameters = { ticket = "string?" }'))
    assert read_settings(path).workflows["tickets"].login == ("ines", "staff:*")
