"""What an answer to `server/discover` says about the era of a server."""

from typing import Any

import pytest

from hopward_mcp.greeting import DISCOVER, speaks_newer


def refused(code: int, data: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": "no", "data": data}}


@pytest.mark.parametrize(
    "answer",
    [
        {"result": {"supportedVersions": ["2025-11-25", "2026-07-28"]}},
        refused(-32022, {"supported": ["2026-07-28"], "requested": "2026-07-28"}),
    ],
)
def test_a_server_that_names_the_version_speaks_it_also_where_it_refuses(answer: dict[str, Any]) -> None:
    assert speaks_newer(answer)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"result": {}},
        {"result": {"supportedVersions": "2026-07-28"}},
        {"result": {"supportedVersions": ["2025-11-25"]}},
        refused(-32022, {"supported": ["2025-11-25"]}),
        refused(-32022, {"supported": {"2026-07-28": True}}),
        refused(-32022, ["2026-07-28"]),
        refused(-32601, {"supported": ["2026-07-28"]}),
        {"error": {"code": -32022, "message": "no"}},
    ],
)
def test_any_other_answer_is_of_an_older_server(answer: dict[str, Any]) -> None:
    assert not speaks_newer(answer)


def test_the_proxy_says_who_asks() -> None:
    assert DISCOVER["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] == "hopward"
