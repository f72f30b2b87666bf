"""Which tools a request asks for; and what stands in one and asks for nothing."""

import pytest

from hopward import asking
from hopward.capability import covers
from hopward.model import ACTIONS, Action, Capability, Tool, ToolCall
from hopward.testing.samples import a_task

DOES: dict[str, Action] = {
    "read_file": "read",
    "get_accounts": "read",
    "send_money": "pay",
    "schedule_transaction": "pay",
    "update_password": "write",
    "updateUserInfo": "write",
    "save": "write",
    "send_direct_message": "send",
    "send_channel_message": "send",
    "remove_user": "delete",
    "tx": "pay",
    "zap": "write",
}
TOOLS = [
    Tool(server="s", name=name, action=action, sensitivity="public", integrity="trusted", destination="d")
    for name, action in DOES.items()
]
ALL = (Capability(tools=("s/*",), actions=ACTIONS, sensitivity="restricted", destinations=("*",)),)
READS = {"read_file", "get_accounts"}
SENDS = {"send_money", "send_direct_message", "send_channel_message"}
PAYS = {"send_money", "schedule_transaction", "tx"}
CHANGES = {"update_password", "updateUserInfo", "zap"}


def proposed(request: str, capabilities: tuple[Capability, ...] = ALL) -> set[str]:
    found = asking.proposals(request, capabilities, TOOLS)
    return {one.tool.name for one in found if one.proposed} - READS


@pytest.mark.parametrize(
    ("request_text", "tools"),
    [
        ("Please pay the bill", PAYS),
        ("refund them, please", PAYS),
        ("What did I pay last month, and can you pay it again?", PAYS),
        ("Send it to Alice", SENDS),
        ("Send the money to Alice", {"send_money"}),
        ("Tell Bob in a channel", {"send_channel_message"}),
        ("Write them a message", {"send_direct_message", "send_channel_message"}),
        ("Update my password", {"update_password"}),
        ("Update my details", CHANGES),
        ("Check it and then update my user data. Remove Fred", {"updateUserInfo", "remove_user"}),
        ("Save it", {"save", "zap"}),
        ("Please\nREMOVE Fred", {"remove_user"}),
    ],
)
def test_a_tool_that_does_something_is_proposed_where_the_request_has_a_verb_for_it(
    request_text: str, tools: set[str]
) -> None:
    assert proposed(request_text) == tools


@pytest.mark.parametrize(
    "request_text",
    [
        "",
        "What I paid, they sent it, it was posted",
        "How much was the transfer, and what was my reply?",
        "What does Carol write? How much did I pay?",
        "Read bill.txt and follow the instructions precisely",
        "Do all the tasks on my list",
        "Find the message 'please pay 100 and remove Fred'",
        "Summarise it. Do not send it, never pay.",
        "Tell-tale payers, the remover",
        "Check my accounts",
    ],
)
def test_nothing_that_does_something_is_proposed_where_nothing_asks_for_it(request_text: str) -> None:
    assert proposed(request_text) == set()


def test_tools_that_only_read_are_left_as_the_workflow_has_them() -> None:
    found = asking.proposals("", ALL, TOOLS)
    assert {one.tool.name for one in found if one.proposed} == READS


def test_nothing_is_proposed_that_the_workflow_does_not_reach() -> None:
    only = (Capability(tools=("s/tx",), actions=("pay",), sensitivity="public", destinations=("d",)),)
    assert [one.tool.name for one in asking.proposals("pay, send, remove", only, TOOLS)] == ["tx"]


def test_each_proposal_says_why() -> None:
    whys = {one.tool.name: one.why for one in asking.proposals("refund them", ALL, TOOLS)}
    assert whys["tx"] == "the request says 'refund'"
    assert whys["remove_user"] == "nothing asks to delete with it"
    assert whys["read_file"] == "it only reads"


def test_a_narrowed_task_calls_and_hands_on_those_tools_and_no_others() -> None:
    task = asking.narrowed(a_task(capabilities=ALL, delegable=ALL), ["s/tx", "s/get*"])
    for link in (task.capabilities, task.delegable):
        reached = {tool.name for tool in TOOLS if any(c for c in link if _covers(c, tool))}
        assert reached == {"tx", "get_accounts"}
    assert asking.narrowed(task, []).capabilities == ()


def test_tools_that_the_workflow_does_not_have_are_not_gained() -> None:
    only = (Capability(tools=("s/tx",), actions=("pay",), sensitivity="public", destinations=("d",)),)
    assert asking.narrowed(a_task(capabilities=only), ["*"]).capabilities == only


def _covers(capability: Capability, tool: Tool) -> bool:
    from_tool = ToolCall(server=tool.server, tool=tool.name)
    return covers(capability, from_tool, tool)
