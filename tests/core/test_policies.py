"""Policy files on disk: the folder, the reload, the test cases, the starter set."""

import os
import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path, PosixPath
from typing import Any

import pytest

from hopward.cedar import CedarEngine
from hopward.errors import ConfigError
from hopward.model import ACTIONS, SENSITIVITIES, Agent, Tool, ToolCall, Verdict
from hopward.policies import (
    Case,
    CaseResult,
    PolicyStore,
    WrittenCase,
    load_engine,
    read_cases,
    read_folder,
    run_cases,
)
from hopward.record import Facts
from hopward.testing.clock import FixedClock

ROOT = Path(__file__).parents[2]
BASELINE = ROOT / "shared" / "policies" / "baseline.cedar"

ALL = '@id("all") permit(principal, action, resource);\n'
NONE = '@id("none") forbid(principal, action, resource);\n'
BOT = Agent(id="bot", owner="ops", purpose="support", state="active", ceiling=())


def tool(action: Any = "pay", sensitivity: Any = "internal", destination: str = "internal") -> Tool:
    return Tool(
        server="desk",
        name=action,
        action=action,
        sensitivity=sensitivity,
        integrity="trusted",
        destination=destination,
        arguments={"amount": "decimal"},
    )


def ask(engine: CedarEngine, asked: Tool, *earlier: str) -> Verdict:
    facts = Facts(
        subject="ines",
        task="task_1",
        purpose="support",
        workflow="",
        actors=(*earlier, "bot"),
        calls_left=10,
        writes_left=10,
    )
    return engine.evaluate(ToolCall(server="desk", tool=asked.name), asked, BOT, facts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.cedar").write_text(ALL)
    return tmp_path / "policies"


# The folder


def test_policy_files_are_read_and_nothing_else(folder: Path) -> None:
    (folder / "b.cedar").write_bytes(b"\xef\xbb\xbf" + NONE.encode())
    (folder / "notes.txt").write_text("x")
    (folder / "c.cedar~").write_text("x")
    (folder / ".#d.cedar").symlink_to("nowhere")
    (folder / ".hidden.cedar").write_text("x")
    (folder / "tests").mkdir()
    assert read_folder(folder) == {"a.cedar": ALL, "b.cedar": NONE}


def test_a_folder_without_policies_refuses_to_start(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="There is no policy file") as refused:
            PolicyStore(missing, [tool()])
        assert "hopward init" in refused.value.advice


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda f: (f / "b.cedar").write_bytes(b"// one\n\xff"), "b.cedar: line 2 is not UTF-8 text"),
        (lambda f: (f / "b.cedar").mkdir(), "b.cedar: cannot be read"),
        (lambda f: (f / "b.cedar").symlink_to("nowhere"), "b.cedar: cannot be read"),
        (lambda f: (f / "b.cedar").write_text("//" + "x" * 2**20), "b.cedar: is larger than"),
        (lambda f: os.mkfifo(f / "b.cedar"), "b.cedar: cannot be read: it is no file"),
        (lambda f: (f / "b\n.cedar").write_text(""), "'b\\n.cedar': its name holds signs"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_not_left_out(
    folder: Path, spoil: Callable[[Path], None], problem: str
) -> None:
    spoil(folder)
    with pytest.raises(ConfigError) as refused:
        load_engine(folder, [tool()])
    assert any(one.startswith(problem) for one in refused.value.problems)


def test_a_policy_file_in_a_folder_below_is_refused_not_left_out(folder: Path) -> None:
    (folder / "prod" / "eu").mkdir(parents=True)
    (folder / "prod" / "eu" / "b.cedar").write_text(NONE)
    with pytest.raises(ConfigError) as refused:
        load_engine(folder, [tool()])
    (problem,) = refused.value.problems
    assert problem.startswith("prod/eu/b.cedar: only files directly in policies/ are read")


def test_a_mounted_volume_with_hidden_folders_is_read(folder: Path) -> None:
    (folder / "a.cedar").unlink()
    (folder / "..data").mkdir()
    (folder / "..data" / "a.cedar").write_text(ALL)
    (folder / "a.cedar").symlink_to(Path("..data") / "a.cedar")
    assert read_folder(folder) == {"a.cedar": ALL}


# Reload


def store(folder: Path, clock: FixedClock | None = None) -> PolicyStore:
    return PolicyStore(folder, [tool()], clock=clock or FixedClock())


class Unfinished(PosixPath):
    """A folder in which someone is still saving: while the permit is read, the forbid is written."""

    def glob(self, pattern: str) -> Iterator["Unfinished"]:  # type: ignore[override]
        if not (self / "b.cedar").exists():
            (self / "b.cedar").write_text(NONE)
        return super().glob(pattern)


def test_files_that_change_while_they_are_read_are_left_for_the_next_look(folder: Path) -> None:
    unfinished = Unfinished(folder)
    with pytest.raises(ConfigError, match="change while they are read"):
        PolicyStore(unfinished, [tool()])
    store = PolicyStore(unfinished, [tool()])
    before = store.engine
    for text in ("nonsense", ALL.replace("all", "other")):
        (folder / "b.cedar").unlink()
        (folder / "a.cedar").write_text(text)
        assert store.refresh() == "unchanged"
        assert store.engine is before
        assert store.rejected is None
    assert store.refresh() == "loaded"
    assert {policy.id for policy in store.engine.policies} == {"other", "none"}


def test_a_changed_file_is_in_force_after_a_refresh(folder: Path) -> None:
    policies = store(folder)
    before = policies.engine
    assert ask(policies.engine, tool()).name == "permit"
    assert policies.refresh() == "unchanged"
    (folder / "b.cedar").write_text(NONE)
    assert policies.refresh() == "loaded"
    assert ask(policies.engine, tool()).reason == "forbidden"
    assert policies.engine.policy_set != before.policy_set
    assert policies.refresh() == "unchanged"


def test_an_engine_in_use_is_not_changed_by_a_reload(folder: Path) -> None:
    policies = store(folder)
    in_use = policies.current()
    (folder / "a.cedar").write_text(NONE)
    policies.refresh()
    assert ask(in_use, tool()).name == "permit"
    assert ask(policies.engine, tool()).name == "deny"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: (f / "a.cedar").write_text("permit("),
        lambda f: (f / "a.cedar").write_text('permit(principal, action in Hopward::Action::"x", resource);'),
        lambda f: (f / "b.cedar").write_text(ALL),
        lambda f: (f / "a.cedar").write_text(""),
        lambda f: (f / "a.cedar").unlink(),
        lambda f: ((f / "a.cedar").unlink(), f.rmdir()),
        lambda f: (f / "a.cedar").write_bytes(b"\xff"),
    ],
)
def test_a_bad_set_is_refused_and_the_old_one_stays_until_it_is_repaired(
    folder: Path, spoil: Callable[[Path], None]
) -> None:
    policies = store(folder)
    before = policies.engine
    spoil(folder)
    assert policies.refresh() == "rejected"
    assert policies.engine is before
    assert isinstance(policies.rejected, ConfigError)
    assert policies.refresh() == "unchanged"
    assert policies.rejected is not None
    folder.mkdir(exist_ok=True)
    (folder / "b.cedar").unlink(missing_ok=True)
    (folder / "a.cedar").write_text(ALL + NONE)
    assert policies.refresh() == "loaded"
    assert policies.rejected is None
    assert ask(policies.engine, tool()).name == "deny"


def test_going_back_to_the_set_in_force_clears_the_rejection(folder: Path) -> None:
    policies = store(folder)
    in_force = policies.engine.policy_set
    (folder / "a.cedar").write_text("permit(")
    policies.refresh()
    (folder / "a.cedar").write_text(ALL)
    assert policies.refresh() == "loaded"
    assert policies.rejected is None
    assert policies.engine.policy_set == in_force


def test_an_edit_that_keeps_size_and_modification_time_is_noticed(folder: Path) -> None:
    policies = store(folder)
    file = folder / "a.cedar"
    found = file.stat()
    file.write_text(ALL.replace("permit", "forbid"))
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert file.stat().st_size == found.st_size
    assert policies.refresh() == "loaded"
    assert ask(policies.engine, tool()).name == "deny"


def test_current_looks_at_the_files_at_most_every_quarter_of_a_second(folder: Path) -> None:
    clock = FixedClock()
    policies = store(folder, clock)
    (folder / "a.cedar").write_text(NONE)
    clock.advance(249_999)
    assert ask(policies.current(), tool()).name == "permit"
    clock.advance(1)
    assert ask(policies.current(), tool()).name == "deny"


def test_a_clock_set_back_does_not_put_the_reload_off(folder: Path) -> None:
    clock = FixedClock()
    policies = store(folder, clock)
    (folder / "a.cedar").write_text(NONE)
    clock.advance(-3_600_000_000)
    assert ask(policies.current(), tool()).name == "deny"


# Test cases


GOOD_CASES = """
[[case]]
name = "paying is fine"
agent = "bot"
tool = "desk/pay"
arguments = { amount = 3.5, more = [1, { a = true }] }
expect = "permit"
reason = "permitted"
policies = ["all"]

[[case]]
name = "handed on it is not"
agent = "bot"
tool = "desk/pay"
facts = { actors = ["first", "bot"], calls_left = 0 }
expect = "deny"
"""


def run(folder: Path, text: str) -> tuple[CaseResult, ...]:
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "tests" / "pay.toml").write_text(text)
    return run_cases(load_engine(folder, [tool()], ["ops"]), read_cases(folder), {"bot": BOT})


def test_cases_are_run_and_a_difference_is_told_with_its_place(folder: Path) -> None:
    first, second = run(folder, GOOD_CASES)
    assert first.passed
    assert not second.passed
    assert second.why == "expected deny, got permit (permitted): Permitted by policy all."
    assert (second.written.file, second.written.line) == ("tests/pay.toml", 11)


def test_the_facts_of_a_case_reach_the_policies(folder: Path) -> None:
    (folder / "b.cedar").write_text("forbid(principal, action, resource) when { context.depth > 0 };")
    assert [result.passed for result in run(folder, GOOD_CASES)] == [True, True]


HOP_CASES = """
[[case]]
name = "reading may be handed on"
agent = "bot"
expect = "permit"
[case.delegate]
to = "clerk"
capabilities = [{ tools = ["desk/*"], actions = ["read"], sensitivity = "internal", destinations = ["*"] }]

[[case]]
name = "the whole of a server may not be, because paying is part of it"
agent = "bot"
expect = "deny"
policies = ["keep-paying"]
[case.delegate]
to = "clerk"
delegable = [{ tools = ["desk/*"], actions = ["pay"], sensitivity = "internal", destinations = ["*"] }]

[[case]]
name = "what a hop is for counts"
agent = "bot"
delegate = { to = "clerk", purpose = "party", depth = 1, shared = true, expires_in = 60 }
facts = { actors = ["first", "bot"], purposes = ["work"], calls_left = 3 }
expect = "step-up"
reason = "approval_required"
policies = ["no-party"]
"""

HOP_POLICIES = """
@id("hand-on") permit (principal, action == Hopward::Action::"delegate", resource);
@id("keep-paying") forbid (principal, action == Hopward::Action::"delegate", resource)
when { context.handed.tools.contains("desk/pay") && context.handed.actions.contains("pay") };
@id("no-party") @step_up("ops") forbid (principal, action == Hopward::Action::"delegate", resource)
when { context.handed.purpose == "party" && context.path == "first > bot" && context.hop_purpose == "work" &&
       context.handed.seconds == 60 && context.handed.depth == 1 && context.handed.shared &&
       context.calls_left == 3 };
"""

CLERK = Agent(id="clerk", owner="ops", purpose="support", state="active", ceiling=())


def run_hops(folder: Path, text: str) -> tuple[CaseResult, ...]:
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "hops.cedar").write_text(HOP_POLICIES)
    (folder / "tests" / "hops.toml").write_text(text)
    return run_cases(load_engine(folder, [tool()], ["ops"]), read_cases(folder), {"bot": BOT, "clerk": CLERK})


def test_a_case_may_be_about_handing_on(folder: Path) -> None:
    assert [result.why for result in run_hops(folder, HOP_CASES)] == ["", "", ""]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ('to = "clerk"', 'to = "ghost"', "there is no agent 'ghost'"),
        ('["work"]', '["work", "more"]', "facts.purposes must be one for each hop"),
        ('"step-up"', '"permit"', "expected permit, got step-up"),
        ('["work"]', '["play"]', "expected step-up, got permit"),
    ],
)
def test_a_case_about_handing_on_that_does_not_hold_says_why(
    folder: Path, before: str, after: str, why: str
) -> None:
    results = run_hops(folder, HOP_CASES.replace(before, after))
    assert results[-1].why.startswith(why)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("", "a case is about a `tool` or about what its agent does `delegate`: write one"),
        ('tool = "desk/pay"\ndelegate = { to = "clerk" }', "write one"),
        ('delegate = { to = "clerk" }\narguments = { a = 1 }', "`arguments` are those of a tool"),
        ("delegate = { }", "to"),
        ('delegate = { to = "clerk", capability = 1 }', "capability"),
        ('delegate = { to = "clerk", budget = { calls = 1 } }', "writes"),
    ],
)
def test_a_case_is_about_a_call_or_about_handing_on(folder: Path, lines: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        run_hops(folder, f'[[case]]\nname = "x"\nagent = "bot"\nexpect = "deny"\n{lines}')
    assert problem in refused.value.problems[0]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('agent = "boss"', "there is no agent 'boss'"),
        ('tool = "desk/wire"', "there is no classified tool 'desk/wire'"),
        ('reason = "forbidden"', "expected reason forbidden, got permitted"),
        ('policies = ["other"]', "expected policies other, got all"),
        ("policies = []", "expected policies none, got all"),
        ('facts = { actors = ["bot", "other"] }', "facts.actors must end with 'bot'"),
        ('arguments = { amount = "3" }', "expected permit, got deny (argument_type)"),
    ],
)
def test_a_case_that_does_not_hold_says_why(folder: Path, line: str, why: str) -> None:
    case = {"name": '"x"', "agent": '"bot"', "tool": '"desk/pay"', "expect": '"permit"'}
    key, value = line.split(" = ", 1)
    text = "[[case]]\n" + "".join(f"{name} = {given}\n" for name, given in {**case, key: value}.items())
    (result,) = run(folder, text)
    assert result.why.startswith(why)


@pytest.mark.parametrize(
    "text",
    [
        "[[case]",
        '[[case]]\nname = "x"',
        '[[cases]]\nname = "x"',
        '[[case]]\nname = "x"\nagent = "a"\ntool = "t"\nexpect = "maybe"',
        '[[case]]\nname = "x"\nagent = "a"\ntool = "t"\nexpect = "deny"\nexpected = 1',
        '[[case]]\nname = "x"\nagent = "a"\ntool = "t"\nexpect = "deny"\nfacts = { depth = 1 }',
        '[[case]]\nname = "x"\nagent = "a"\ntool = "t"\nexpect = "deny"\narguments = { day = 2026-01-01 }',
        '[[case]]\nname = "x"\nagent = "a"\ntool = "t"\nexpect = "deny"\narguments = { n = inf }',
    ],
)
def test_a_file_that_is_no_list_of_cases_is_refused_by_name(folder: Path, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        run(folder, text)
    (problem,) = refused.value.problems
    assert problem.startswith("tests/pay.toml: ")


def test_a_folder_without_cases_has_none(folder: Path) -> None:
    assert read_cases(folder) == ()


# The starter policies


def baseline(*tools: Tool) -> CedarEngine:
    return CedarEngine({"baseline.cedar": BASELINE.read_text(encoding="utf-8")}, tools, ["operators"])


def test_the_package_carries_the_published_baseline() -> None:
    packaged = files("hopward").joinpath("baseline", "baseline.cedar")
    assert packaged.read_bytes() == BASELINE.read_bytes()


def test_every_starter_policy_has_a_name_and_a_reason() -> None:
    for policy in baseline().policies:
        assert "#" not in policy.id
        assert policy.reason


def test_the_baseline_fits_any_set_of_tools() -> None:
    baseline()
    for action in ACTIONS:
        baseline(tool(action))
    baseline(*map(tool, ACTIONS))


@pytest.mark.parametrize("action", ["read", "write", "execute", "send", "pay"])
def test_the_baseline_permits_what_a_task_covers(action: str) -> None:
    assert ask(baseline(tool(action)), tool(action)).policies == ("within-task",)


def test_the_baseline_asks_for_approval_of_a_deletion() -> None:
    verdict = ask(baseline(tool("delete")), tool("delete"))
    assert (verdict.name, verdict.policies) == ("step-up", ("deletion-needs-approval",))


def test_the_baseline_asks_for_approval_of_a_payment_by_an_agent_that_was_handed_the_work() -> None:
    verdict = ask(baseline(tool("pay")), tool("pay"), "first")
    assert (verdict.name, verdict.policies) == ("step-up", ("delegated-payment-needs-approval",))


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
@pytest.mark.parametrize(
    ("destination", "inside"),
    [("internal", True), ("internal:crm", True), ("internal-ish", False), ("customer", False), ("", False)],
)
def test_the_baseline_keeps_restricted_data_inside(sensitivity: str, destination: str, inside: bool) -> None:
    asked = tool("send", sensitivity, destination)
    verdict = ask(baseline(asked), asked)
    if sensitivity == "restricted" and not inside:
        assert (verdict.reason, verdict.policies) == ("forbidden", ("restricted-data-stays-inside",))
    else:
        assert verdict.name == "permit"


def test_the_baseline_says_no_more_of_handing_on_than_how_far_it_may_go() -> None:
    found = [policy.id for policy in baseline().in_question_of_hop("a", "b")]
    assert found == ["hand-on-within-task", "short-chains", "no-longer-chains"]


def test_the_baseline_refuses_chains_of_more_than_three_hops() -> None:
    asked = tool("read")
    assert ask(baseline(asked), asked, "a", "b", "c").name == "permit"
    assert ask(baseline(asked), asked, "a", "b", "c", "d").policies == ("short-chains",)


def test_the_policies_of_the_published_page_do_what_it_says() -> None:
    page = (ROOT / "shared" / "cedar" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```cedar\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    labels: dict[str, Any] = {"sensitivity": "internal", "integrity": "trusted", "destination": "internal"}
    refund = Tool(
        server="support_desk", name="refund", action="pay", arguments={"amount": "decimal"}, **labels
    )
    engine = CedarEngine({"page.cedar": ALL + "\n".join(blocks)}, [refund], ["team-leads"])
    ids = ["all", "billing-only-reads", "large-refund", "only-the-payer-pays"]
    assert [policy.id for policy in engine.policies] == ids
    case = Case(name="", agent="bot", tool="support_desk/refund", expect="permit", arguments={"amount": 50})
    larger = Case(
        name="", agent="bot", tool="support_desk/refund", expect="step-up", arguments={"amount": 51}
    )
    unsaid = Case(name="", agent="bot", tool="support_desk/refund", expect="step-up")
    results = run_cases(engine, [WrittenCase(one, "", 1) for one in (case, larger, unsaid)], {"bot": BOT})
    assert [result.why for result in results] == ["", "", ""]
