"""`hopward.toml`: what may be handed on, and the ways in which a program does it."""

from pathlib import Path

import pytest

from hopward.config import read_settings
from hopward.model import Budget

from .test_config import problems_of

GOOD = """\
[authority]
issuer = "http://127.0.0.1:8700"

[agents.boss]
owner = "ana@example.com"
purpose = "Settles claims"
ceiling = [{ tools = ["app/read"], actions = ["read"], sensitivity = "public", destinations = ["desk"] }]
delegable = [{ tools = ["app/*"], actions = ["read", "pay"], sensitivity = "public", destinations = ["*"] }]

[agents.payer]
owner = "ana@example.com"
purpose = "Pays"
ceiling = [{ tools = ["app/pay"], actions = ["pay"], sensitivity = "public", destinations = ["bank"] }]

[servers.app]
in_process = true
resource = "urn:example:app"
credential = { by = "context" }
workflow = "claims"

[servers.app.tools.pay]
action = "pay"
sensitivity = "public"
integrity = "trusted"
destination = "bank"

[servers.app.hops.pay_out]
agent = "payer"
tool = "task"
when = { subagent_type = "payer" }
purpose = "Pay one claim"
capabilities = [{ tools = ["app/pay"], actions = ["pay"], sensitivity = "public", destinations = ["bank"] }]
budget = { calls = 3, writes = 1 }
expires_in = 60

[workflows.claims]
agent = "boss"
purpose = "Settle a claim"
expires_in = 600
budget = { calls = 10, writes = 2 }
capabilities = [{ tools = ["app/read"], actions = ["read"], sensitivity = "public", destinations = ["desk"] }]
delegable = [{ tools = ["app/*"], actions = ["pay"], sensitivity = "public", destinations = ["bank"] }]
depth = 1
fan_out = 2
"""

HOP = GOOD[GOOD.index("[servers.app.hops.pay_out]") : GOOD.index("[workflows.claims]")]


def test_what_is_handed_on_and_how_is_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "hopward.toml").write_text(GOOD)
    settings = read_settings(tmp_path / "hopward.toml")
    workflow, hop = settings.workflows["claims"], settings.servers["app"].hops["pay_out"]
    assert (workflow.depth, workflow.fan_out, len(workflow.delegable)) == (1, 2, 1)
    assert len(settings.agents["boss"].delegable) == 1
    assert settings.agents["payer"].delegable == ()
    assert (hop.agent, hop.tool, hop.when, hop.node) == ("payer", "task", {"subagent_type": "payer"}, "")
    narrowing = hop.narrowing
    assert (narrowing.purpose, narrowing.budget) == ("Pay one claim", Budget(calls=3, writes=1))
    assert (narrowing.expires_in, narrowing.shared, narrowing.depth) == (60, False, 0)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("depth = 1\n", "", "depth: missing; delegable needs it"),
        ("fan_out = 2\n", "", "fan_out: missing; delegable needs it"),
        ("depth = 1", "depth = 0", "must be 1 to 7"),
        ("depth = 1", "depth = 8", "must be 1 to 7"),
        ("fan_out = 2", "fan_out = 0", "must be 1 to 1000"),
        (
            'delegable = [{ tools = ["app/*"], actions = ["pay"]',
            'x = [{ tools = ["app/*"], actions = ["pay"]',
            "x",
        ),
        ('agent = "payer"\ntool', 'agent = "player"\ntool', "there is no [agents.player]"),
        ('tool = "task"\n', 'tool = "pay"\n', "it either does work or hands it on"),
        ('tool = "task"\nwhen = { subagent_type = "payer" }\n', "", "needs tool"),
        ('tool = "task"\n', 'node = "payer"\n', "has no effect without tool"),
        ("budget = { calls = 3, writes = 1 }\n", "", "budget"),
        ("budget = { calls = 3, writes = 1 }", "budget = { calls = 3, writes = 4 }", "is more than calls"),
        ("expires_in = 60\n", "", "expires_in"),
        ("expires_in = 60\n", "expires_in = 0\n", "must be 1 to"),
        ('purpose = "Pay one claim"\n', "", "purpose"),
        (
            'claim"\ncapabilities = [{ tools = ["app/pay"]',
            'claim"\ncapabilities = [{ tools = ["ap/pay"]',
            "there is no [servers.ap]",
        ),
        ("in_process = true\n", 'command = ["x"]\n', "needs in_process = true: it is about a program"),
    ],
)
def test_a_broken_rule_of_handing_on_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    found = problems_of(tmp_path, GOOD.replace(old, new, 1))
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("", ""), "fits calls that hop pay_out fits too"),
        (('when = { subagent_type = "payer" }\n', ""), "fits calls that hop pay_out fits too"),
        (('when = { subagent_type = "payer" }', 'when = { other = "payer" }'), "fits calls that hop pay_out"),
        (('tool = "task"\nwhen = { subagent_type = "payer" }', 'node = "payer"'), ""),
        (('subagent_type = "payer"', 'subagent_type = "other"'), ""),
    ],
)
def test_no_call_can_lead_to_two_agents(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    other = HOP.replace("hops.pay_out", "hops.other").replace(*change)
    text = GOOD.replace("[workflows.claims]", other + "[workflows.claims]")
    if told:
        assert any(told in problem for problem in problems_of(tmp_path, text))
    else:
        (tmp_path / "hopward.toml").write_text(text)
        assert len(read_settings(tmp_path / "hopward.toml").servers["app"].hops) == 2


def test_two_hops_do_not_share_a_graph_node(tmp_path: Path) -> None:
    node = HOP.replace('tool = "task"\nwhen = { subagent_type = "payer" }', 'node = "payer"')
    twice = node + node.replace("hops.pay_out", "hops.other")
    text = GOOD.replace(HOP, twice)
    assert any("is the node of hop pay_out too" in problem for problem in problems_of(tmp_path, text))


def test_an_agent_that_only_hands_work_on_needs_no_right_of_its_own(tmp_path: Path) -> None:
    mine = '[{ tools = ["app/read"], actions = ["read"], sensitivity = "public", destinations = ["desk"] }]'
    assert GOOD.count(mine) == 2
    (tmp_path / "hopward.toml").write_text(GOOD.replace(mine, "[]"))
    settings = read_settings(tmp_path / "hopward.toml")
    assert settings.agents["boss"].ceiling == settings.workflows["claims"].capabilities == ()
    nothing = GOOD.replace(mine, "[]").replace("delegable = [", "x = [")
    assert sum("is empty: nothing at all could be done" in one for one in problems_of(tmp_path, nothing)) == 2
