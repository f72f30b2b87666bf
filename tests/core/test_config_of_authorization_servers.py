"""`hopward.toml`: external authorization servers, and the credentials that come from them."""

from pathlib import Path

import pytest

from hopward.config import read_settings

from .foreign_server import NESTED, ON_BEHALF_OF, SIGNED, written
from .test_config import problems_of

SPIFFE = 'client_authentication = "spiffe_jwt"\n'
SCOPE = 'scope = ["desk:read", "desk:list"]'
SOURCE = 'authorization_server = "firm"\n'


@pytest.mark.parametrize(
    "firm",
    [
        NESTED,
        SIGNED,
        ON_BEHALF_OF,
        SPIFFE + SIGNED,
        'client_audience = "https://proxy.example"\n' + SIGNED,
        'cache_seconds = 60\nlongest_seconds = 7200\nactor = "token"\n' + NESTED,
    ],
)
def test_each_kind_of_server_can_be_configured(tmp_path: Path, firm: str) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(written(firm))
    settings = read_settings(path)
    assert settings.servers["desk"].credential.authorization_server == "firm"
    assert settings.authorization_servers["firm"].algorithms == ("RS256",)


def test_scope_is_looked_up_by_name_then_by_the_longest_prefix_then_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    more = '"read_ticket" = ["desk:list"], "read_t*" = ["desk:read", "desk:list"], "read*" ='
    path.write_text(written(SIGNED).replace('"read*" =', more))
    credential = read_settings(path).servers["desk"].credential
    assert credential.scope_for("read_ticket") == ("desk:list",)
    assert credential.scope_for("read_tag") == ("desk:read", "desk:list")
    assert credential.scope_for("read") == ("desk:read",)
    assert credential.scope_for("search") == ("desk:read", "desk:list")


@pytest.mark.parametrize(
    ("firm", "old", "new", "told"),
    [
        (SIGNED, "[authorization_servers.firm]", '[authorization_servers."fi rm"]', "a name is 1 to 63"),
        (SIGNED, 'issuer = "https://idp', 'issuer = "http://idp', "http:// is allowed on a loopback"),
        (SIGNED, "https://idp.example/token", "ftp://idp.example/token", "must be an https:// URL"),
        (SIGNED, "https://idp.example/jwks", "http://idp.example/jwks", "loopback address only"),
        (SIGNED, '"https://idp.example"', '"http://127.0.0.1:8700"', "is our own authority"),
        (SIGNED, '["RS256"]', "[]", "algorithms: is empty"),
        (SIGNED, '["RS256"]', '["HS256"]', '"HS256" is not allowed'),
        (SIGNED, '["RS256"]', '["none"]', '"none" is not allowed'),
        (SIGNED, 'algorithms = ["RS256"]\n', "", "algorithms: missing"),
        (SIGNED, '["at+jwt"]', "[]", "token_types: is empty"),
        (SIGNED, 'token_types = ["at+jwt"]\n', "", "token_types: missing"),
        (SIGNED, 'chain = "signed"\n', "", "chain: missing"),
        (SIGNED, "narrows = true\n", "", "narrows: missing"),
        (SIGNED, 'client_id = "proxy"\n', "", "client_id: missing"),
        (SIGNED, "narrows = true", "narrow = true", 'did you mean "narrows"?'),
        (SIGNED, "narrows = true", "narrows = true\ncache_seconds = 61", "cache_seconds: must be 0 to 60"),
        (SIGNED, "narrows = true", "narrows = true\ntimeout_seconds = 0", "timeout_seconds: must be 1 to 60"),
        (SIGNED, "narrows = true", "narrows = true\nlongest_seconds = 7201", "must be 10 to 7200"),
        (SIGNED, "narrows = true", "narrows = false", "does not narrow scope"),
        (NESTED, "[authorization_servers.firm.agents", "[authorization_servers.firm.agent", "unknown key"),
        (NESTED, 'chain = "nested"', 'chain = "nested"\nclient_id = "x"', "client_id: has no effect"),
        (NESTED, '"agent-b"', '"agent-a"', "is that of assistant too"),
        (NESTED, "https://agent-b.example/", "https://agent-a.example/", "is that of assistant too"),
        (NESTED, "[authorization_servers.firm.agents.assistant]", SPIFFE, "one SPIFFE ID, not one for each"),
        (SIGNED, "narrows = true", 'narrows = true\nsvid_file = "svid"', "has no effect without client_auth"),
        (SPIFFE + SIGNED, "narrows = true", 'narrows = true\nsvid_file = "-svid"', "looks like an option"),
        (SIGNED, 'chain = "signed"', 'chain = "nested"', "agents: missing"),
        (NESTED, 'chain = "nested"', 'chain = "signed"', "agents: has no effect"),
        (ON_BEHALF_OF, 'chain = "signed"', 'chain = "nested"', "on-behalf-of names no actors"),
        (ON_BEHALF_OF, "narrows = true", 'narrows = true\ntarget = "resource"', "target: has no effect"),
        (ON_BEHALF_OF, "narrows = true", 'narrows = true\nactor = "token"', "actor: has no effect"),
        (SIGNED, SOURCE, 'authorization_server = "farm"\n', "there is no [authorization_servers.farm]"),
        (SIGNED, SOURCE, "", "has no effect without authorization_server"),
        (SIGNED, SCOPE, "", "scope: missing"),
        (SIGNED, SCOPE, "scope = []", "scope: missing"),
        (SIGNED, '["desk:read", "desk:list"]', '["desk:read"]', "must stand in scope too"),
        (SIGNED, '"desk:list"]', '"desk: list"]', "is no scope token"),
        (SIGNED, '"read*" = ["desk:read"]', '"read*" = []', "a token for nothing is not to be had"),
        (SIGNED, '"read*" =', '"re*d" =', "may have one `*`, at its end"),
        (
            SIGNED,
            'by = "authorization"',
            'by = "header"\nname = "X-Key"\nenvironment = "KEY"',
            "goes with by =",
        ),
        (
            SIGNED,
            'issuer = "http://127.0.0.1:8700"',
            'issuer = "http://127.0.0.1:8700"\nmode = "remote"\ntoken_endpoint = "http://127.0.0.1:8700/token"',
            "cannot be signed for here",
        ),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, firm: str, old: str, new: str, told: str) -> None:
    text = written(firm)
    assert old in text
    found = problems_of(tmp_path, text.replace(old, new))
    assert any(told in problem for problem in found), found


def test_two_servers_never_have_one_audience_at_an_authorization_server(tmp_path: Path) -> None:
    text = written(SIGNED)
    start = text.index("[servers.desk]")
    other = (
        text[start:]
        .replace("servers.desk", "servers.other")
        .replace('resource = "https://desk.example/mcp"', 'resource = "https://other.example/mcp"')
    )
    other = other.replace(SOURCE, f'{SOURCE}audience = "https://desk.example/mcp"\n')
    found = problems_of(tmp_path, text + other)
    assert any("is that of server desk too; a token for one opens the other" in one for one in found), found


def test_a_server_whose_tokens_say_all_of_it_goes_with_an_authority_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    remote = 'mode = "remote"\ntoken_endpoint = "http://127.0.0.1:8700/token"'
    ours = 'issuer = "http://127.0.0.1:8700"'
    path.write_text(written(NESTED).replace(ours, f"{ours}\n{remote}"))
    settings = read_settings(path)
    assert settings.authority.mode == "remote"
    assert not settings.authorization_servers["firm"].signed
