"""Which arguments a call repeats in headers, by what the server's schemas have marked."""

from typing import Any

import pytest

from hopward_mcp.jsonrpc import Message
from hopward_mcp.parameters import Parameters


def headers(schema: Any, arguments: Any) -> dict[str, str]:
    parameters = Parameters()
    parameters.learn({"tools": [{"name": "echo", "inputSchema": schema}]})
    params = {"name": "echo", "arguments": arguments}
    return parameters.headers(Message("request", 1, "tools/call", params, {}))


def marked(header: Any, kind: str = "string") -> dict[str, Any]:
    return {"properties": {"x": {"type": kind, "x-mcp-header": header}}}


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("string", "eu", "eu"),
        ("string", "Köln\r\nX: y", "=?base64?S8O2bG4NClg6IHk=?="),
        ("integer", 42, "42"),
        ("boolean", True, "true"),
    ],
)
def test_a_marked_argument_is_repeated_in_a_form_a_header_can_carry(
    kind: str, value: Any, shown: str
) -> None:
    assert headers(marked("Region", kind), {"x": value}) == {"mcp-param-region": shown}
    nested = {"properties": {"in": marked("City", kind)}}
    assert headers(nested, {"in": {"x": value}}) == {"mcp-param-city": shown}


@pytest.mark.parametrize("header", ["", "a b", "a\r\nb", 1, None, "x" * 65])
def test_a_mark_that_is_no_name_of_a_header_marks_nothing(header: Any) -> None:
    assert headers(marked(header), {"x": "eu"}) == {}


@pytest.mark.parametrize("arguments", [{}, {"x": None}, {"x": [1]}, {"x": 1.5}, [], None])
def test_what_is_not_there_or_no_scalar_is_not_repeated(arguments: Any) -> None:
    assert headers(marked("Region"), arguments) == {}


@pytest.mark.parametrize("listed", [{}, {"tools": 1}, {"tools": [1, {"name": 2}, {"name": "a"}]}])
def test_a_list_that_is_none_teaches_nothing(listed: Any) -> None:
    parameters = Parameters()
    parameters.learn(listed)
    assert parameters.headers(Message("request", 1, "tools/call", {"name": "a"}, {})) == {}
