"""`hopward workflow`: list, show, draw and check."""

from xml.etree import ElementTree

import pytest
from tests.core.settling import CONFIG, PERMIT_ALL, STEPS, installed

from .shell import Shell

UNTRUSTED = """
[servers.web]
in_process = true
resource = "urn:example:web"
credential = { by = "context" }
[servers.web.tools.fetch]
action = "read"
sensitivity = "public"
integrity = "untrusted"
destination = "internet"
[approvals.groups.finance]
members = ["carol"]
"""
FETCHING = UNTRUSTED + '[workflows.claims.steps.fetch]\ntool = "web/fetch"\n'
BOTH = CONFIG.replace('{ tools = ["desk/*"], actions', '{ tools = ["desk/*", "web/*"], actions')
"""Capabilities and ceilings with the web."""

NAMED = 'destination = "bank"\narguments = { to = "string" }\nnames = ["to"]\n'


class Desk:
    """A folder with a project, and a shell in it."""

    def __init__(self, shell: Shell) -> None:
        self.folder, self.shell = shell.folder, shell

    def given(self, config: str, policies: str = PERMIT_ALL) -> "Desk":
        installed(self.folder, config, policies)
        return self

    def findings(self, status: int = 1) -> list[tuple[str, str, str]]:
        """Severity, step and kind of what is found."""
        if status:
            printed = self.shell.fails("workflow check --json", status)
        else:
            printed = self.shell("workflow check --json")
        return [(one["severity"], one["step"], one["kind"]) for one in printed.json["findings"]]


@pytest.fixture
def desk(shell: Shell) -> Desk:
    return Desk(shell)


def changed(old: str, new: str, config: str = CONFIG) -> str:
    assert config.count(old) == 1, old
    return config.replace(old, new)


UNUSED = ("warning", "", "unused_parameter")


def test_workflows_are_listed_and_shown(desk: Desk) -> None:
    shell = desk.given(CONFIG).shell
    assert shell("workflow list").out.split()[5:11] == ["claims", "clerk", "claim,", "amount,", "note", "6"]
    assert shell("workflow list --json").json["steps"]["pay"]["agent"] == "payer"
    told = shell("workflow show claims").out
    assert "parameter    note (string, may be left out)" in told
    assert "step         pay 0 of 1, payer: bank/pay, after hand_over, unless refuse" in told
    assert shell("workflow show claims --json").json["parameters"]["amount"] == "decimal"
    assert "Configured workflows: claims" in shell.fails("workflow show claim").err


def test_a_workflow_is_drawn(desk: Desk) -> None:
    shell = desk.given(CONFIG).shell
    assert shell("workflow draw claims").out.startswith(
        'flowchart TD\n  opened(["claims<br>claim (string)<br>'
    )
    image = shell("workflow draw claims --format svg").out
    assert ElementTree.fromstring(image).tag.endswith("svg")  # noqa: S314 - written by ourselves


def test_a_workflow_without_steps_is_drawn_as_the_tools_it_may_call(desk: Desk) -> None:
    told = desk.given(CONFIG.replace(STEPS, "")).shell("workflow draw claims").out
    assert told.count("opened --> ") == 5
    assert "clerk: bank/pay" in told


def test_nothing_is_found_in_a_path_that_is_well(desk: Desk) -> None:
    desk.given(changed(', note = "string?"', ""))
    assert desk.shell("workflow check").out == "Nothing is wrong with claims.\n"
    assert desk.findings(0) == []


def test_a_parameter_that_binds_nothing_is_no_error(desk: Desk) -> None:
    assert desk.given(CONFIG).findings(0) == [UNUSED]
    assert "parameter note binds no step" in desk.shell("workflow check claims").out


def test_a_step_that_nothing_leads_to_is_found(desk: Desk) -> None:
    config = changed('delegate = "payer"\nafter = ["check"]', 'delegate = "payer"\nafter = ["pay"]')
    found = desk.given(config).findings()
    assert ("error", "hand_over", "unreachable") in found
    assert ("error", "pay", "unreachable") in found


def test_a_step_that_its_own_way_rules_out_is_found(desk: Desk) -> None:
    config = changed('unless = ["pay"]', 'unless = ["look_up"]')
    assert ("error", "refuse", "unreachable") in desk.given(config).findings()


def test_a_step_of_an_agent_that_gets_no_work_is_found(desk: Desk) -> None:
    config = changed('delegate = "payer"', 'tool = "desk/read_history"')
    assert ("error", "pay", "no_work") in desk.given(config).findings()


def test_a_step_of_a_tool_that_nobody_has_classified_is_found(desk: Desk) -> None:
    config = changed('tool = "bank/pay"\nafter', 'tool = "bank/pya"\nafter')
    assert ("error", "pay", "unknown_tool") in desk.given(config).findings()


def test_a_step_beyond_what_is_granted_is_found(desk: Desk) -> None:
    beyond = changed(
        'delegable = [\n    { tools = ["bank/*"], actions = ["pay"], sensitivity = "internal",'
        ' destinations = ["*"] },\n]\ndepth',
        'delegable = [\n    { tools = ["bank/*"], actions = ["pay"], sensitivity = "public",'
        ' destinations = ["*"] },\n]\ndepth',
    )
    assert ("error", "pay", "outside") in desk.given(beyond).findings()
    told = desk.shell.fails("workflow check").out
    assert "pay: lies outside of what the workflow lets be handed on (delegable)." in told


def test_a_step_whose_conditions_no_capability_covers_is_found(desk: Desk) -> None:
    narrow = '{ tools = ["desk/*"], actions = ["read", "write"], sensitivity = "internal", destinations'
    constrained = narrow.replace(
        "destinations", 'constraints = { strict = [{ kind = "equals", value = false }] }, destinations'
    )
    head, tail = CONFIG.split("[workflows.claims]\n")
    config = f"{head}[workflows.claims]\n{tail.replace(narrow, constrained)}"
    found = desk.given(config).findings()
    assert ("error", "check", "outside") in found
    assert ("error", "look_up", "outside") not in found


def test_a_hop_deeper_than_the_workflow_allows_is_found(desk: Desk) -> None:
    deeper = CONFIG + '[workflows.claims.steps.back]\nagent = "payer"\ndelegate = "clerk"\nafter = ["pay"]\n'
    assert ("error", "back", "outside") in desk.given(deeper).findings()


def test_a_loop_that_only_the_budget_ends_is_found(desk: Desk) -> None:
    config = changed("times = 3", "times = 51")
    assert ("error", "research", "unbounded_loop") in desk.given(config).findings()
    assert desk.given(changed("times = 3", "times = 50")).findings(0) == [UNUSED]


def test_a_step_that_no_policy_permits_is_found(desk: Desk) -> None:
    policies = 'permit (principal, action in [Hopward::Action::"read", Hopward::Action::"write"], resource);'
    found = desk.given(CONFIG, policies).findings()
    assert ("error", "pay", "never_permitted") in found
    assert ("error", "hand_over", "never_permitted") in found


def test_an_effect_outside_after_untrusted_content_without_approval_is_found(desk: Desk) -> None:
    assert desk.given(BOTH + FETCHING).findings() == [("error", "pay", "unapproved_effect"), UNUSED]
    told = desk.shell.fails("workflow check").out
    assert "pay at bank may come after untrusted content (fetch) without approval" in told


APPROVED = PERMIT_ALL + (
    '@id("ask") @step_up("finance") forbid (principal, action == Hopward::Action::"bank/pay", resource)'
    ' when { context.taken_integrity == "untrusted" && !context.names_known };'
)


def test_the_benign_twin_has_a_policy_that_asks_a_person(desk: Desk) -> None:
    assert desk.given(BOTH + FETCHING, APPROVED).findings(0) == [UNUSED]


def test_the_approval_of_the_step_does_as_well(desk: Desk) -> None:
    config = changed('tool = "bank/pay"\n', 'tool = "bank/pay"\napproval = "finance"\n', BOTH + FETCHING)
    assert desk.given(config).findings(0) == [UNUSED]
    assert "approval by finance" in desk.shell("workflow draw claims").out
    assert "with approval by finance" in desk.shell("workflow show claims").out


def test_a_policy_that_asks_for_less_is_no_approval(desk: Desk) -> None:
    weak = APPROVED.replace("!context.names_known", "context.arguments has to")
    config = (BOTH + FETCHING).replace('destination = "bank"\n', NAMED.replace('names = ["to"]\n', ""))
    assert ("error", "pay", "unapproved_effect") in desk.given(config, weak).findings()


def test_an_effect_whose_place_is_bound_to_a_parameter_is_a_warning(desk: Desk) -> None:
    config = (BOTH + FETCHING).replace('destination = "bank"\n', NAMED)
    assert desk.given(config, APPROVED).findings(0) == [UNUSED]
    bound = config.replace('arguments = { amount = "{amount}",', 'arguments = { to = "{claim}",')
    assert ("warning", "pay", "unapproved_effect") in desk.given(bound, APPROVED).findings(0)


def test_untrusted_content_that_can_only_come_afterwards_is_no_finding(desk: Desk) -> None:
    config = BOTH + FETCHING + 'after = ["pay"]\n'
    assert desk.given(config).findings(0) == [UNUSED]


def test_what_rules_the_effect_out_is_no_way_to_it(desk: Desk) -> None:
    config = changed('unless = ["refuse"]', 'unless = ["refuse", "fetch"]', BOTH + FETCHING)
    assert desk.given(config).findings(0) == [UNUSED]


def test_a_workflow_without_steps_is_checked_for_the_same(desk: Desk) -> None:
    config = (BOTH + UNTRUSTED).replace(STEPS, "")
    found = desk.given(config).findings()
    assert ("error", "bank/pay", "unapproved_effect") in found
    assert {kind for _, _, kind in found} == {"unapproved_effect"}


LOOKING = """
[servers.web.tools.look]
action = "read"
sensitivity = "public"
integrity = "trusted"
destination = "web:{url}"
arguments = { url = "string" }
"""
LOOKED = '[workflows.claims.steps.look]\ntool = "web/look"\nafter = ["fetch"]\n'
ASKING = (
    '@id("ask") @step_up("finance") forbid (principal, action, resource)'
    ' when { context.taken_integrity == "untrusted" && context.names_untrusted > 0 };'
)


@pytest.mark.parametrize(
    ("look", "looked", "policies", "found"),
    [
        (LOOKING, LOOKED, "", [("error", "look")]),
        (LOOKING + 'names = ["url"]\n', LOOKED, "", [("error", "look")]),
        (LOOKING.replace("web:{url}", "web") + 'names = ["url"]\n', LOOKED, "", [("error", "look")]),
        # Undeclared, no policy sees that somebody untrusted has named the address.
        (LOOKING, LOOKED, ASKING, [("error", "look")]),
        (LOOKING + 'names = ["url"]\n', LOOKED, ASKING, []),
        (LOOKING, LOOKED + 'arguments = { url = "{claim}" }\n', "", []),
        (LOOKING.replace("web:{url}", "web"), LOOKED, "", []),
        (LOOKING.replace("web:{url}", "internal:{url}"), LOOKED, "", []),
        (LOOKING, LOOKED.replace('after = ["fetch"]', 'unless = ["fetch"]'), "", []),
    ],
)
def test_a_read_that_can_carry_data_to_a_place_nobody_has_named_is_found(
    desk: Desk, look: str, looked: str, policies: str, found: list[tuple[str, str]]
) -> None:
    fetch = FETCHING.removeprefix(UNTRUSTED)
    config = BOTH.replace(STEPS, "") + UNTRUSTED + look + fetch + looked
    printed = desk.given(config, PERMIT_ALL + policies).shell.run("workflow check --json").json
    leaks = [one for one in printed["findings"] if one["kind"] == "unapproved_effect"]
    assert [(one["severity"], one["step"]) for one in leaks] == found
