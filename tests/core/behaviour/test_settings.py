"""`[risk]` in `hopward.toml`: every mistake is named, with the key that was meant."""

from pathlib import Path

import pytest

from hopward.behaviour import DETECTORS
from hopward.config import read_settings
from hopward.errors import ConfigError
from hopward.thresholds import RiskSettings, RiskThresholds, RiskWeights, RiskWindows

from .watching import made


@pytest.mark.parametrize(
    ("risk", "told"),
    [
        ("[risk]\nelevatd = 5", 'risk.elevatd: unknown key; did you mean "elevated"?'),
        ("[risk.thresholds]\ndenial = 5", 'risk.thresholds.denial: unknown key; did you mean "denials"?'),
        ("[risk]\nactions = { hihg = 'throttle' }", 'risk.actions.hihg: unknown key; did you mean "high"?'),
        ("[risk]\nactions = { high = 'throtle' }", 'risk.actions.high: "throtle" is not allowed'),
        ("[risk]\nelevated = 0", "risk.elevated: must be 1 to 1000000"),
        ("[risk]\nelevated = 60", "risk.high: must be more than elevated, which is 60"),
        ("[risk]\nhigh = 80", "risk.critical: must be more than high, which is 80"),
        ("[risk]\nhistory_days = 40", "risk.history_days: must be 1 to 31"),
        ("[risk.windows]\ncalls = 5", "risk.windows.calls: must be 6 to 86400"),
        ("[risk.thresholds]\ncalls = 0", "risk.thresholds.calls: must be 1 to 1000000"),
        ("[risk.thresholds]\ndrift = 101", "risk.thresholds.drift: must be 1 to 100"),
        ("[risk.weights]\ncalls = -1", "risk.weights.calls: must be 0 to 1000000"),
        ("[risk]\nactions = { high = 'step-up' }", "risk.approvers: missing"),
        ("[risk]\napprovers = 'duty'", 'risk.approvers: has no effect without an action "step-up"'),
        (
            "[risk]\napprovers = 'dutty'\nactions = { high = 'step-up' }",
            "risk.approvers: there is no group 'dutty' in [approvals.groups]; did you mean duty?",
        ),
    ],
)
def test_a_mistake_in_risk_is_named(tmp_path: Path, risk: str, told: str) -> None:
    path = made(tmp_path)
    path.write_text(f"{path.read_text()}\n{risk}\n")
    with pytest.raises(ConfigError) as refused:
        read_settings(path)
    assert any(told in problem for problem in refused.value.problems), refused.value.problems


def test_every_detector_has_a_threshold_a_weight_and_a_window_unless_time_ends_it_by_itself() -> None:
    names = {detector.name for detector in DETECTORS}
    assert set(RiskThresholds.__struct_fields__) == set(RiskWeights.__struct_fields__) == names
    assert set(RiskWindows.__struct_fields__) == names - {"hour", "fan_out"}


def test_nothing_happens_by_itself_unless_it_is_said() -> None:
    actions = RiskSettings().actions
    assert (actions.elevated, actions.high, actions.critical) == ("none", "none", "none")
