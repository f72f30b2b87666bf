"""`hopward.toml`: the parameters and steps of a workflow."""

from pathlib import Path

import pytest

from hopward.config import read_settings
from hopward.constraint import Equals, OneOf
from hopward.opening import bound

from .settling import CONFIG
from .test_config import problems_of

STEP = '[workflows.claims.steps.check]\ntool = "desk/check"\n'


def with_step(text: str) -> str:
    """The configuration with another definition of the step `check`."""
    return CONFIG.replace(STEP, f"[workflows.claims.steps.check]\n{text}\n")


def test_steps_are_bound_to_parameters_in_the_order_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(CONFIG)
    workflow = read_settings(path).workflows["claims"]
    steps = {step.name: step for step in bound(workflow, {"claim": "C-7", "amount": 20.5})}
    assert list(steps) == ["look_up", "research", "check", "refuse", "hand_over", "pay"]
    assert (steps["look_up"].agent, steps["pay"].agent) == ("clerk", "payer")
    assert steps["look_up"].arguments == {"claim": (Equals("C-7"),)}
    assert steps["check"].arguments == {"strict": (Equals(True),)}
    assert steps["pay"].arguments == {"amount": (Equals(20.5),), "currency": (OneOf(("EUR", "CHF")),)}
    assert steps["pay"].bound == {"amount": "amount"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("times = 1", "steps.check: needs tool or delegate"),
        ('tool = "desk/check"\ndelegate = "payer"', "steps.check: has both tool and delegate"),
        ('tool = "desk"', 'steps.check.tool: "desk": must be SERVER/TOOL'),
        ('tool = "desks/check"', 'steps.check.tool: "desks/check": there is no [servers.desks]'),
        ('tool = "desk/*/x"', "steps.check.tool: 'desk/*/x' may have one `*`"),
        ('tool = "desk/check"\nagent = "payr"', 'there is no [agents.payr]; did you mean "payer"?'),
        ('delegate = "clrk"', 'there is no [agents.clrk]; did you mean "clerk"?'),
        ('delegate = "clerk"', "steps.check.delegate: is the agent of the step itself"),
        ('tool = "desk/check"\napproval = "finance"', "there is no [approvals.groups.finance]"),
        ('tool = "desk/check"\ntimes = 0', "steps.check.times: must be 1 to"),
        ('tool = "desk/check"\nbefore = ["pay"]', "steps.check.before: unknown key"),
        ('tool = "desk/check"\nunless = ["look-up"]', '"look-up" is no step of this workflow; did you mean'),
        ('tool = "desk/check"\nunless = ["check"]', "steps.check.unless[0]: is the step itself"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert any(told in problem for problem in problems_of(tmp_path, with_step(text)))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{ id = "{clam}" }', 'arguments.id: there is no parameter "clam" in this workflow; did you mean'),
        ('{ id = "{note}" }', 'arguments.id: "note" may be left out'),
        ("{ id = [] }", "arguments.id: has no conditions, so it would constrain nothing"),
        ('{ id = [{ kind = "pattern", pattern = "(" }] }', "arguments.id[0]: "),
        ('{ id = [{ kind = "patern", pattern = "a" }] }', '"patern" is not known; did you mean "pattern"?'),
        ("{ id = 2026-01-01 }", "arguments.id: must be "),
        ('{ "/a~b" = 1 }', "is no JSON Pointer"),
    ],
)
def test_an_argument_that_binds_nothing_is_refused(tmp_path: Path, arguments: str, told: str) -> None:
    config = CONFIG.replace("arguments = { strict = true }", f"arguments = {arguments}")
    assert any(told in problem for problem in problems_of(tmp_path, config))


def test_work_that_is_handed_on_has_no_arguments(tmp_path: Path) -> None:
    config = CONFIG.replace('delegate = "payer"', 'delegate = "payer"\narguments = { id = 1 }')
    assert any("arguments: has no effect with delegate" in told for told in problems_of(tmp_path, config))


def test_steps_that_look_alike_are_refused(tmp_path: Path) -> None:
    config = CONFIG + '[workflows.claims.steps.look-up]\ntool = "desk/*"\n'
    assert any('cannot be told apart from "look_up"' in told for told in problems_of(tmp_path, config))


def test_a_parameter_has_a_name_and_a_type(tmp_path: Path) -> None:
    config = CONFIG.replace('note = "string?"', 'note = "money", "a b" = "string"')
    told = problems_of(tmp_path, config)
    assert any('parameters.note: "money" is not allowed; one of "boolean"' in one for one in told)
    assert any('parameters."a b": a name is 1 to 63 letters' in one for one in told)


def test_no_steps_at_all_are_refused_where_they_are_written(tmp_path: Path) -> None:
    config = CONFIG[: CONFIG.index("[workflows.claims.steps.look_up]")] + "[workflows.claims.steps]\n"
    assert any("steps: is empty" in told for told in problems_of(tmp_path, config))
