"""What `hopward mcp classify` proposes, and what it writes."""

from pathlib import Path
from typing import Any

import pytest

from hopward import ConfigError, read_settings
from hopward_mcp.accepted import write_entries
from hopward_mcp.proposal import propose_prompt, propose_resource, propose_tool

from .installation import install, stdio_server

CONFIG = """# kept
[authority]
issuer = "http://127.0.0.1:8700"
[log]
[proxy]
[agents.assistant]
owner = "ops"   # kept too
purpose = "tickets"
ceiling = []
[workflows]
[servers.desk]
command = ["desk"]
resource = "urn:example:desk"
credential = { by = "meta" }
"""


def tool(name: str, **annotations: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"id": {"type": "string"}, "n": {"type": "number"}}}
    return {"name": name, "inputSchema": schema, "annotations": annotations}


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("read_ticket", "read"),
        ("searchCustomers", "read"),
        ("git_status", "read"),
        ("create_issue", "write"),
        ("git_commit", "write"),
        ("send_email", "send"),
        ("delete_customer", "delete"),
        ("refund", "pay"),
        ("list_and_delete", "delete"),
        ("run_query", "execute"),
        ("frobnicate", "execute"),
        ("", "execute"),
    ],
)
def test_a_name_gives_the_most_cautious_class_it_speaks_of(name: str, action: str) -> None:
    assert propose_tool("desk", tool(name)).action == action


def test_an_annotation_may_make_a_proposal_more_cautious_and_never_less() -> None:
    assert propose_tool("desk", tool("read_ticket", destructiveHint=True)).action == "delete"
    assert propose_tool("desk", tool("read_ticket", readOnlyHint=False)).action == "write"
    assert propose_tool("desk", tool("delete_customer", readOnlyHint=True)).action == "delete"
    assert propose_tool("desk", tool("refund", destructiveHint=False)).action == "pay"
    assert propose_tool("desk", tool("frobnicate", readOnlyHint=True)).action == "execute"


def test_only_arguments_of_types_policy_can_see_are_proposed() -> None:
    properties = {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "nested": {"type": "object"},
        "either": {"type": ["string", "null"]},
        "odd": "not a schema",
    }
    described = {"name": "x", "inputSchema": {"properties": properties}}
    assert propose_tool("desk", described).arguments == {
        "text": "string",
        "count": "integer",
        "tags": "strings",
    }


def test_texts_that_are_called_like_what_names_something_are_proposed_as_names() -> None:
    names = ["to", "ccRecipients", "customer_id", "IBAN", "body", "subject", "url", "amount", "path"]
    kinds = {"amount": "number", "ccRecipients": "array"}
    properties = {name: {"type": kinds.get(name, "string"), "items": {"type": "string"}} for name in names}
    found = propose_tool("desk", {"name": "x", "inputSchema": {"properties": properties}})
    assert found.names == ("to", "ccRecipients", "customer_id", "IBAN", "url", "path")
    assert found.entry()["names"] == list(found.names)


def test_a_server_that_describes_nothing_sensible_still_gets_a_proposal() -> None:
    for described in ({}, {"name": 7}, {"name": "x", "inputSchema": [], "annotations": "no"}):
        assert propose_tool("desk", described).action == "execute"


def test_a_template_is_proposed_as_the_prefix_it_fills() -> None:
    assert propose_resource("desk", "ticket://{id}/body").name == "ticket://*"
    assert propose_resource("desk", "ticket://7").name == "ticket://7"


def test_accepted_entries_are_added_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    config = tmp_path / "hopward.toml"
    config.write_text(CONFIG)
    config.chmod(0o640)
    accepted = [
        propose_tool("desk", tool("refund")),
        propose_resource("desk", "ticket://{id}"),
        propose_prompt("desk", "draft"),
    ]
    write_entries(config, "desk", accepted)
    assert config.read_text().startswith(CONFIG.rstrip("\n"))
    assert config.stat().st_mode & 0o777 == 0o640
    assert "# proposed because the name says 'refund'" in config.read_text()
    with pytest.raises(ConfigError, match="already"):
        write_entries(config, "desk", accepted[:1])


def test_accepted_entries_are_read_back_as_classifications(tmp_path: Path) -> None:
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    write_entries(config, "desk", [propose_tool("desk", tool("pay_invoice"))])
    entry = read_settings(config).servers["desk"].tools["pay_invoice"]
    assert (entry.action, entry.arguments) == ("pay", {"id": "string", "n": "decimal"})
    assert entry.names == ("id",)


def test_a_tool_name_meant_for_the_terminal_or_the_file_stays_text(tmp_path: Path) -> None:
    config = tmp_path / "hopward.toml"
    config.write_text(CONFIG)
    hostile = 'x"]\n[servers.evil]\ncommand = ["sh"]\n#\x1b[2J'
    write_entries(config, "desk", [propose_tool("desk", tool(hostile))])
    assert "[servers.evil]" not in config.read_text().splitlines()
