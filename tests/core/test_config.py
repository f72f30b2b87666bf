"""`hopward.toml`: every mistake is named with its line, and none of them starts a guard."""

import string
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from hopward.config import Document, find_settings, read_settings
from hopward.config.lines import line_map, line_of
from hopward.config.shape import misshapen
from hopward.errors import ConfigError
from hopward.jwk import SigningKey

GOOD = """\
state = ".hopward"
policies = "policies"

[authority]
issuer = "http://127.0.0.1:8700"

[agents.assistant]
owner = "ana@example.com"
purpose = "Answers support tickets"
ceiling = [
    { tools = ["support/*"], actions = ["read", "pay"], sensitivity = "public", destinations = ["support"] },
]

[servers.support]
command = ["python", "server.py"]
resource = "urn:example:support"
credential = { by = "meta" }
workflow = "tickets"

[servers.support.tools.read_ticket]
action = "read"
sensitivity = "confidential"
integrity = "untrusted"
destination = "support"
arguments = { ticket = "string" }

[workflows.tickets]
agent = "assistant"
purpose = "Answer one ticket"
expires_in = 3600
budget = { calls = 50, writes = 5 }

[[workflows.tickets.capabilities]]
tools = ["support/read_ticket", "support/refund"]
actions = ["read", "pay"]
sensitivity = "confidential"
destinations = ["support"]
constraints = { amount = [{ kind = "range", minimum = 0, maximum = 50 }] }
"""

REMOTE = """
[authority]
issuer = "https://a.example"
mode = "remote"
token_endpoint = "https://a.example/token"
"""


def problems_of(folder: Path, text: str) -> list[str]:
    path = folder / "hopward.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_settings(path)
    return list(caught.value.problems)


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1, f"not in the good file: {old}"
    return GOOD.replace(old, new, 1)


def test_a_good_file_becomes_settings_whose_paths_start_at_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(GOOD)
    settings = read_settings(path)
    assert settings.root == tmp_path
    assert settings.state == tmp_path / ".hopward"
    assert settings.policies == tmp_path / "policies"
    assert settings.servers["support"].tools["read_ticket"].action == "read"
    assert settings.workflows["tickets"].budget.calls == 50


def test_a_relative_path_gives_absolute_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hopward.toml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert read_settings(Path("hopward.toml")).state == tmp_path / ".hopward"


def test_the_nearest_file_upwards_is_found(tmp_path: Path) -> None:
    (tmp_path / "hopward.toml").write_text(GOOD)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert find_settings(inner) == tmp_path / "hopward.toml"


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hopward init"):
        read_settings(tmp_path / "hopward.toml")


def test_a_mistyped_key_is_named_with_its_line_and_the_key_that_was_meant(tmp_path: Path) -> None:
    found = problems_of(tmp_path, changed("resource =", "resorce ="))
    assert found == ['hopward.toml:16: servers.support.resorce: unknown key; did you mean "resource"?']


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("restarts = 3", "servers.support.restarts: unknown key; it belongs in [proxy]"),
        ("restart = 3", 'servers.support.restart: unknown key; did you mean "restarts" in [proxy]?'),
        ("sensitivity = 3", "servers.support.sensitivity: unknown key; one of "),
    ],
)
def test_a_key_in_the_wrong_table_is_told_where_it_belongs(tmp_path: Path, key: str, told: str) -> None:
    (found,) = problems_of(tmp_path, changed("resource =", f"{key}\nresource ="))
    assert told in found


def test_every_mistake_is_named_not_only_the_first(tmp_path: Path) -> None:
    text = changed("resource =", "resorce =")
    text = text.replace('owner = "ana@example.com"\n', "")
    text = text.replace("expires_in = 3600", 'expires_in = "1h"')
    text = text.replace('action = "read"', 'action = "raed"')
    text = text.replace("calls = 50", "calls = 0")
    text = text.replace('credential = { by = "meta" }', 'credential = { by = "authorization" }')
    assert problems_of(tmp_path, text) == [
        "hopward.toml:7: agents.assistant.owner: missing; it is required and has no default",
        'hopward.toml:15: servers.support.resorce: unknown key; did you mean "resource"?',
        'hopward.toml:16: servers.support.credential.by: "authorization" needs url; '
        'with command use "meta" or "variable"',
        "hopward.toml:20: servers.support.tools.read_ticket.action: "
        '"raed" is not allowed; did you mean "read"?',
        "hopward.toml:29: workflows.tickets.expires_in: must be a whole number, not text",
        "hopward.toml:30: workflows.tickets.budget.calls: must be 1 to 1000000000",
    ]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('resource = "urn:example:support"\n', "servers.support.resource"),
        ('credential = { by = "meta" }\n', "servers.support.credential"),
        ('owner = "ana@example.com"\n', "agents.assistant.owner"),
        ('purpose = "Answers support tickets"\n', "agents.assistant.purpose"),
        ("budget = { calls = 50, writes = 5 }\n", "workflows.tickets.budget"),
        ("expires_in = 3600\n", "workflows.tickets.expires_in"),
        ('agent = "assistant"\n', "workflows.tickets.agent"),
        ('issuer = "http://127.0.0.1:8700"\n', "authority.issuer"),
        ('integrity = "untrusted"\n', "servers.support.tools.read_ticket.integrity"),
    ],
)
def test_a_missing_security_setting_refuses_to_start(tmp_path: Path, line: str, key: str) -> None:
    assert any(f": {key}: missing" in problem for problem in problems_of(tmp_path, changed(line, "")))


SERVER = 'command = ["python", "server.py"]\n'


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (SERVER, "", "servers.support: needs command (stdio), url (HTTP) or in_process = true"),
        (SERVER, SERVER + 'url = "https://mcp.example.com/"\n', "servers.support: has command and url; one"),
        (SERVER, SERVER + "in_process = true\n", "has command and in_process = true; one of them only"),
        (SERVER, "in_process = true\n", 'credential.by: "meta" has no request to travel in'),
        (SERVER, "in_process = false\n", "in_process: is true or left out"),
        (SERVER, 'in_process = true\ndirectory = "x"\n', "directory: has no effect without command"),
        (SERVER, 'in_process = true\nserver_requests = ["ping"]\n', "has no effect with in_process"),
        ('by = "meta"', 'by = "context"', 'credential.by: "context" needs in_process = true'),
        (SERVER, 'url = "http://mcp.example.com/"\n', "http:// is allowed on a loopback address only"),
        (SERVER, 'url = "ftp://mcp.example.com/"\n', "must be an https:// URL"),
        (SERVER, 'url = "https://a:b@mcp.example.com/"\n', "no user name or password"),
        (SERVER, "command = []\n", "is empty"),
        (SERVER, 'command = ["--flag"]\n', "not an option"),
        (SERVER, 'command = ["python", "a\\nb"]\n', "command[1]: holds a newline"),
        (SERVER, 'command = ["python", "a\\u0000b"]\n', "command[1]: holds a newline or another control"),
        (SERVER, SERVER + 'environment = { "A B" = "x" }\n', "no name of an environment variable"),
        (SERVER, SERVER + 'pass_environment = ["A B"]\n', "no name of an environment variable"),
        (
            SERVER,
            SERVER + 'environment = { K = "v" }\npass_environment = ["K"]\n',
            "stands in environment too",
        ),
        (
            'by = "meta"',
            'by = "header", name = "X-Key", environment = "K"',
            '"header" needs url',
        ),
        ('by = "meta"', 'by = "variable", environment = "K"', "needs the name of the variable"),
        ('by = "meta"', 'by = "variable", name = "K"', "exactly one of environment and keyring"),
        (
            'by = "meta"',
            'by = "variable", name = "K", environment = "K", keyring = "a/b"',
            "exactly one of environment and keyring",
        ),
        ('by = "meta"', 'by = "variable", name = "K", keyring = "service"', "must be SERVICE/USER"),
        ('by = "meta"', 'by = "meta", environment = "K"', 'has no effect with by = "meta"'),
        ("urn:example:support", "support", "must be an absolute URI"),
        ("urn:example:support", "URN:example:support", "must be an absolute URI"),
        ("urn:example:support", "HTTP://127.0.0.1:8700/", "cannot be told apart from that of the authority"),
        ("[agents.assistant]", "[agents.hopward-proxy]\n[agents.assistant]", "is the name of the proxy"),
        (
            SERVER + 'resource = "urn:example:support"\ncredential = { by = "meta" }',
            'url = "https://a.example/"\ncredential = { by = "header", name = "Host", environment = "K" }',
            '"Host" is a header of the connection itself',
        ),
        (
            SERVER + 'resource = "urn:example:support"\ncredential = { by = "meta" }',
            SERVER
            + 'environment = { K = "v" }\ncredential = { by = "variable", name = "K", environment = "S" }',
            "stands in environment too",
        ),
        ("minimum = 0, maximum = 50", "minimum = nan", "constraints.amount[0]"),
        ("minimum = 0, maximum = 50", "maximum = inf", "constraints.amount[0]"),
        ("urn:example:support", "https://mcp.example.com/#a", "has no fragment"),
        ("urn:example:support", "http://127.0.0.1:8701/support/mcp", "lies under proxy.public_url"),
        ("urn:example:support", "HTTP://127.0.0.1:8701", "lies under proxy.public_url"),
        ('workflow = "tickets"', 'workflow = "ticket"', "there is no [workflows.ticket]"),
        ('agent = "assistant"', 'agent = "asistant"', "there is no [agents.asistant]"),
        ('tools = ["support/*"]', 'tools = ["*"]', "must be SERVER/TOOL"),
        ('tools = ["support/*"]', 'tools = ["suport/*"]', "there is no [servers.suport]"),
        ('tools = ["support/*"]', 'tools = ["support/*_ticket"]', "may have one `*`, at its end"),
        ('tools = ["support/*"]', "tools = []", "is empty"),
        ('destinations = ["support"] }', 'destinations = ["*.com"] }', "may have one `*`, at its end"),
        ('"range", minimum = 0, maximum = 50', '"range"', "constraints.amount[0]"),
        (
            'kind = "range", minimum = 0, maximum = 50',
            'kind = "pattern", pattern = "(a"',
            "constraints.amount[0]",
        ),
        ('{ kind = "range", minimum = 0, maximum = 50 }', "", "amount: has no conditions"),
        (
            "maximum = 50 }",
            'maximum = 50 }, { kind = "range", minimum = 51 }',
            "its conditions exclude each other",
        ),
        ('kind = "range"', 'kind = "rnge"', 'did you mean "range"?'),
        ('kind = "range", ', "", "constraints.amount[0].kind: missing"),
        ("expires_in = 3600", "expires_in = 0", "must be 1 to 2678400 seconds"),
        ("expires_in = 3600", "expires_in = 2678401", "must be 1 to 2678400 seconds"),
        ("calls = 50", "calls = -1", "must be 1 to 1000000000"),
        ("calls = 50", "calls = 1000000000000000000000", "must be 1 to 1000000000"),
        ("writes = 5", "writes = -1", "must be 0 or more"),
        ("writes = 5", "writes = 51", "is more than calls"),
        ("tools.read_ticket]", 'tools."read ticket"]', "a tool's name is"),
        ("tools.read_ticket]", 'tools."read*"]', "a tool's name is"),
        ('destination = "support"', 'destination = "*"', "is one exact name"),
        ('destination = "support"', 'destination = "x"\ncarries = ["body"]', "must stand in arguments"),
        ('destination = "support"', 'destination = "x"\nvouched = ["/a//b"]', "names no field"),
        (
            'integrity = "untrusted"\ndestination = "support"',
            'integrity = "trusted"\ndestination = "x"\nvouched = ["id"]',
            "has no effect: all that a trusted tool returns is believed",
        ),
        ("ana@example.com", "CHANGE-ME", "is a placeholder"),
        ("ana@example.com", "change_me", "is a placeholder"),
        ("Answer one ticket", "  ", "workflows.tickets.purpose: is blank"),
        ("http://127.0.0.1:8700", "http://auth.example.com", "http:// is allowed on a loopback address only"),
        ("http://127.0.0.1:8700", "http://127.0.0.1:8700/", "leave out the / at the end"),
        ("http://127.0.0.1:8700", "https://auth.example.com?x=1", "has no query"),
        ("[agents.assistant]", "[authority.x]\ny = 1\n[agents.assistant]", "authority.x: unknown key"),
        ('policies = "policies"', 'policies = ".hopward"', "must not be the state folder"),
        ('policies = "policies"', 'policies = "x/../.hopward/./keys/"', "must not be the state folder"),
        ('state = ".hopward"', 'state = "./policies"', "must not be the state folder"),
        ("[servers.support]", '[servers."-x"]\n[servers.support]', "a name is 1 to 63"),
        ("[agents.assistant]", '[agents."assistänt"]\n[agents.assistant]', "a name is 1 to 63"),
        ("[servers.support]", "[servers.Support]\n[servers.support]", "cannot be told apart"),
        ('workflow = "tickets"', 'server_requests = ["roots/list"]', "is no list any more: say what each"),
    ],
)
def test_a_broken_rule_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    found = problems_of(tmp_path, changed(old, new))
    assert any(told in problem for problem in found), found


REQUEST = """
[servers.support.server_requests."%s"]
action = "send"
sensitivity = "internal"
integrity = "untrusted"
destination = "support"
arguments = { mode = "string" }
"""


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("roots list", "must be an MCP method such as roots/list"),
        ("roots/*", "must be an MCP method such as roots/list"),
        ("a" * 129, "must be an MCP method such as roots/list"),
        ("ping", "is always allowed; leave it out"),
        ("tools/call", "is no request that a server may send"),
        ("Sampling/createMessage", "is no request that a server may send"),
        ("rpc.discover", "is no request that a server may send"),
        ("notifications/x", "is no request that a server may send"),
    ],
)
def test_only_what_a_server_may_ask_for_can_be_classified_as_its_request(
    tmp_path: Path, method: str, told: str
) -> None:
    (problem,) = problems_of(tmp_path, GOOD + REQUEST % method)
    assert f'server_requests."{method}": ' in problem or f"server_requests.{method}: " in problem
    assert told in problem


VENDOR = REQUEST.replace("server_requests", "vendor_methods")


@pytest.mark.parametrize(
    "method",
    [
        *("initialize", "ping", "tools/call", "tools/other", "Tools/Call", "tasks/get", "TASKS/x"),
        *("server/discover", "resources/read", "prompts/get", "completion/complete", "subscriptions/listen"),
        *("logging/setLevel", "sampling/createMessage", "elicitation/create", "roots/list"),
        *("notifications/x", "rpc.x"),
    ],
)
def test_no_method_of_the_protocol_can_be_classified_as_a_vendors(tmp_path: Path, method: str) -> None:
    (problem,) = problems_of(tmp_path, GOOD + VENDOR % method)
    assert "is a name of the protocol itself" in problem


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('client_notifications = ["notifications/initialized"]', "is a name of the protocol itself"),
        ('client_notifications = ["Notifications/Tools/list_changed"]', "is a name of the protocol itself"),
        ('client_notifications = ["tools/call"]', "is a name of the protocol itself"),
        ('client_notifications = ["notifications/tools/call"]', "is a name of the protocol itself"),
        ('client_notifications = ["notifications"]', "is a name of the protocol itself"),
        ('server_notifications = ["notifications/tasks/status"]', "is a name of the protocol itself"),
        ('server_notifications = ["notifications/message"]', "is a name of the protocol itself"),
        ('server_notifications = ["acme/*"]', "must be an MCP method"),
        ('client_notifications = ["acme/do"]', "is classified as a request"),
        ('client_notifications = ["ACME/do"]', "is classified as a request"),
        ('server_notifications = ["acme/ask"]', "is classified as a request"),
    ],
)
def test_a_notification_that_is_no_vendors_is_refused(tmp_path: Path, line: str, told: str) -> None:
    text = changed('workflow = "tickets"', f'workflow = "tickets"\n{line}')
    (problem,) = problems_of(tmp_path, text + VENDOR % "acme/do" + REQUEST % "acme/ask")
    assert told in problem


def test_vendor_notifications_are_allowed_by_name(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    lines = 'client_notifications = ["notifications/acme/a", "acme/b"]\nserver_notifications = ["acme/c"]'
    path.write_text(changed('workflow = "tickets"', f'workflow = "tickets"\n{lines}') + VENDOR % "acme/do")
    server = read_settings(path).servers["support"]
    assert server.client_notifications == ("notifications/acme/a", "acme/b")
    assert server.server_notifications == ("acme/c",)


@pytest.mark.parametrize(
    "method",
    ["sampling/createMessage", "elicitation/create", "roots/list", "com.acme/re-index", "acme/ask.it"],
)
def test_a_request_of_the_server_is_classified_like_a_tool(tmp_path: Path, method: str) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(GOOD + REQUEST % method)
    entry = read_settings(path).servers["support"].server_requests[method]
    assert (entry.action, entry.arguments) == ("send", {"mode": "string"})


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ('[authority]\nissuer = "https://a.example"\nmode = "remote"', "authority.token_endpoint: missing"),
        (
            '[authority]\nissuer = "https://a.example"\ntoken_endpoint = "https://a.example/token"',
            'has no effect with mode = "embedded"',
        ),
        (
            '[authority]\nissuer = "https://a.example"\ntoken_timeout_seconds = 5',
            'authority.token_timeout_seconds: has no effect with mode = "embedded"',
        ),
        (f"{REMOTE}token_timeout_seconds = 0", "authority.token_timeout_seconds: must be 1 to 60"),
        (f"{REMOTE}token_timeout_seconds = 61", "authority.token_timeout_seconds: must be 1 to 60"),
        (
            '[authority]\nissuer = "https://a.example"\nmode = "remote"\ntoken_endpoint = "http://a.example/t"',
            "http:// is allowed on a loopback address only",
        ),
        ('[proxy]\nlisten = "0.0.0.0:80"', "listens beyond this machine"),
        ('[proxy]\nlisten = "8701"', "must be HOST:PORT"),
        ("[proxy]\nrestarts = -1", "must be 0 to 1000"),
        ("[proxy]\nrestarts = 1001", "must be 0 to 1000"),
        ("[telemetry]", "telemetry.endpoint: missing"),
        ('[telemetry]\nendpont = "http://127.0.0.1:4318"', 'did you mean "endpoint"?'),
        ('[telemetry]\nendpoint = "collector.example"', "telemetry.endpoint"),
        (
            '[telemetry]\nendpoint = "http://collector.example:4318"',
            "http:// is allowed on a loopback address only",
        ),
        (
            '[telemetry]\nendpoint = "http://127.0.0.1:4318"\nservice_name = "a\\u0007"',
            "holds a control character",
        ),
        ('[proxy]\nlisten = "127.0.0.1:99999"', "must be HOST:PORT"),
        ('[proxy]\npublic_url = "http://proxy.example.com"', "http:// is allowed on a loopback address only"),
        ('[proxy]\nallowed_hosts = ["*"]', "* is not a host"),
        ('[proxy]\nallowed_origins = ["*"]', "* is not an origin"),
        ('[proxy]\nallowed_origins = ["https://app.example.com/x"]', "without path"),
        ("[proxy]\nmax_depth = 0", "must be 1 to 512"),
        ('[proxy]\nlisten = "127.0.0.1:8700"', "is where the authority listens"),
        ('[log]\narguments = "redacted"', "log.redact: missing"),
        ('[log]\nredact = ["body"]', 'has no effect without arguments = "redacted"'),
        ('[log]\ndurability = "none"', "is not allowed"),
    ],
)
def test_a_broken_rule_of_the_whole_installation_is_named(tmp_path: Path, section: str, told: str) -> None:
    text = (
        GOOD.replace('[authority]\nissuer = "http://127.0.0.1:8700"\n', "")
        if "[authority]" in section
        else GOOD
    )
    found = problems_of(tmp_path, f"{text}\n{section}\n")
    assert any(told in problem for problem in found), found


def test_a_listener_beyond_this_machine_is_accepted_behind_an_https_address(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(f'{GOOD}\n[proxy]\nlisten = "0.0.0.0:8701"\npublic_url = "https://proxy.example.com"\n')
    assert read_settings(path).proxy.listen == "0.0.0.0:8701"


def test_two_servers_may_not_share_a_resource_indicator(tmp_path: Path) -> None:
    second = (
        '\n[servers.other]\ncommand = ["x"]\nresource = "urn:example:support"\ncredential = { by = "meta" }\n'
    )
    assert "cannot be told apart from that of server" in problems_of(tmp_path, GOOD + second)[0]


def test_an_agents_key_must_be_public(tmp_path: Path) -> None:
    key = SigningKey.generate("ES256")
    path = tmp_path / "hopward.toml"
    path.write_text(changed("owner =", f"key = {_inline(key.public_jwk())}\nowner ="))
    assert read_settings(path).agents["assistant"].key["kty"] == "EC"
    found = problems_of(tmp_path, changed("owner =", f"key = {_inline(key.to_jwk())}\nowner ="))
    assert "agents.assistant.key: is no usable public key" in found[0]


def _inline(jwk: dict[str, Any]) -> str:
    return (
        "{ " + ", ".join(f'{key} = "{value}"' for key, value in jwk.items() if isinstance(value, str)) + " }"
    )


def test_a_private_key_in_the_file_is_not_repeated_in_the_message(tmp_path: Path) -> None:
    jwk = SigningKey.generate("ES256").to_jwk()
    found = problems_of(tmp_path, changed("owner =", f"key = {_inline(jwk)}\nowner ="))
    assert str(jwk["d"]) not in "\n".join(found)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a = 1\nb = = 2\n", "hopward.toml:2: is not TOML"),
        (b"a = 1\na = 2\n", "is not TOML: cannot overwrite a value"),
        (b"a = [1,\n", "hopward.toml:2: is not TOML"),
        (b"a = 1\nb = '\xff'\n", "hopward.toml:2: is not UTF-8 text"),
        (b"a = 1" + b"0" * 5000, "more than 4300 digits"),
        (b"a = " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b"", "hopward.toml:1: authority: missing"),
    ],
)
def test_bytes_that_are_no_toml_are_refused_with_their_line(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "hopward.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_settings(path)
    assert told in "\n".join(caught.value.problems)


def test_a_file_of_absurd_size_is_refused_without_reading_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    with path.open("wb") as file:
        file.truncate(5 * 1024 * 1024)
    with pytest.raises(ConfigError, match="larger than"):
        read_settings(path)


_keys = st.text(st.sampled_from(string.ascii_letters + "-_ .\"'ä\t#=[]"), min_size=1, max_size=6)
_scalars = st.one_of(
    st.integers(-1000, 1000),
    st.booleans(),
    st.text(max_size=8),
    st.floats(allow_nan=False, allow_infinity=False),
)
_documents = st.recursive(
    st.dictionaries(_keys, _scalars, max_size=4),
    lambda inner: st.dictionaries(_keys, st.one_of(_scalars, inner, st.lists(inner, max_size=3)), max_size=4),
    max_leaves=12,
)


def _places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _places(inner, (*path, index))
    return found


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_documents)
def test_every_place_of_a_document_has_the_line_its_key_is_written_on(document: dict[str, Any]) -> None:
    text = tomlkit.dumps(document)
    written = text.split("\n")
    parsed = tomllib.loads(text)
    lines = line_map(text)
    for path in _places(parsed):
        assert path in lines
        key = next(part for part in reversed(path) if isinstance(part, str))
        line = written[lines[path] - 1]
        assert key in line or any(quoted in line for quoted in (tomlkit.key(key).as_string(),))


def test_lines_are_found_through_every_form_toml_has() -> None:
    text = (
        "# comment\n"
        'one = """\n'
        'a "" b = 2\n'
        '""""\n'
        "[table]\n"
        "list = [ 1, # one\n"
        "  { two = 'x', \"three\" = [\n"
        "    [4] ] } ]\n"
        "dotted . key = 1979-05-27 07:32:00\n"
        "[[row]]\n"
        "n = 1\n"
        "[[row]]\n"
        "n = '''\n"
        "[not.a.table]\n"
        "'''\n"
        "[row.sub]\n"
        "n = 2\n"
    )
    tomllib.loads(text)
    lines = line_map(text)
    assert lines["one",] == 2
    assert lines["table",] == 5
    assert lines["table", "list", 1, "three"] == 7
    assert lines["table", "list", 1, "three", 0] == 8
    assert lines["table", "dotted", "key"] == 9
    assert lines["row", 0, "n"] == 11
    assert lines["row", 1, "n"] == 13
    assert lines["row", 1, "sub", "n"] == 17
    assert line_of(lines, ("row", 1, "sub", "missing")) == 16
    assert not any("not" in path for path in lines)


_replacements = st.one_of(
    st.none(), _scalars, st.just([]), st.just({}), st.just(["x"]), st.just({"x": 1}), st.just([{}])
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_walk_over_the_types_finds_a_mistake_exactly_when_the_conversion_refuses(
    data: st.DataObject,
) -> None:
    document = tomllib.loads(GOOD)
    place = data.draw(st.sampled_from(_places(document)))
    replacement = data.draw(_replacements)
    holder: Any = document
    for part in place[:-1]:
        holder = holder[part]
    if replacement is None and isinstance(place[-1], str):
        del holder[place[-1]]
    elif replacement is not None:
        holder[place[-1]] = replacement
    try:
        msgspec.convert(document, Document)
    except msgspec.ValidationError:
        refused = True
    else:
        refused = False
    assert bool(list(misshapen(document, inspect.type_info(Document)))) == refused


def test_two_agents_may_not_share_a_key(tmp_path: Path) -> None:
    key = _inline(SigningKey.generate("ES256").public_jwk())
    second = f'\n[agents.other]\nowner = "x"\npurpose = "y"\nkey = {key}\nceiling = []\n'
    found = problems_of(tmp_path, changed("owner =", f"key = {key}\nowner =") + second)
    assert any('agents.other.key: is the key of agent "assistant" too' in problem for problem in found)


def test_a_servers_key_must_be_public_and_nobody_elses(tmp_path: Path) -> None:
    key = SigningKey.generate("ES256")
    path = tmp_path / "hopward.toml"
    path.write_text(changed("resource =", f"key = {_inline(key.public_jwk())}\nresource ="))
    assert [server.key["kid"] for server in read_settings(path).servers.values()] == [key.kid]
    found = problems_of(tmp_path, changed("resource =", f"key = {_inline(key.to_jwk())}\nresource ="))
    assert ".key: is no usable public key" in found[0]
    shared = changed("owner =", f"key = {_inline(key.public_jwk())}\nowner =")
    found = problems_of(
        tmp_path, shared.replace("resource =", f"key = {_inline(key.public_jwk())}\nresource =", 1)
    )
    assert any('is the key of agent "assistant" too' in problem for problem in found)


def test_a_key_with_control_characters_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    found = problems_of(tmp_path, GOOD + '\n[servers."a\\u001b[2J\\n"]\n')
    assert any('servers."a\\u001b[2J\\n"' in problem for problem in found)
    assert not any("\x1b" in problem or "\n" in problem for problem in found)


IN_PROCESS = GOOD.replace(SERVER, "in_process = true\n").replace('by = "meta"', 'by = "context"')


def test_tools_of_the_program_itself_need_no_server_to_reach(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(IN_PROCESS)
    server = read_settings(path).servers["support"]
    assert server.in_process
    assert (server.command, server.url, server.credential.by) == ((), "", "context")


def test_tools_of_the_program_itself_need_an_authority_in_it_too(tmp_path: Path) -> None:
    remote = 'mode = "remote"\ntoken_endpoint = "http://127.0.0.1:8700/token"\n'
    text = IN_PROCESS.replace("[authority]\n", f"[authority]\n{remote}")
    assert problems_of(tmp_path, text) == [
        "hopward.toml:17: servers.support.in_process: needs authority.mode embedded: "
        "its credentials are minted in the program itself"
    ]
