"""The example's configuration and policies are ones that Hopward accepts, and answer as they say they do."""

import subprocess
import sys
from pathlib import Path

CONFIG = Path(__file__).parents[2] / "examples" / "support_desk" / "hopward.toml"


def hopward(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("hopward")), "--config", str(CONFIG), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_policies_fit_the_classified_tools_and_the_schema_file_is_current() -> None:
    checked = hopward("policy", "check")
    assert checked.returncode == 0, checked.stderr
    assert "out of date" not in checked.stderr
    assert (
        "No policy permits: support_desk/delete_customer, support_desk_http/delete_customer" in checked.stderr
    )


def test_every_policy_test_case_of_the_example_passes() -> None:
    tested = hopward("policy", "test")
    assert tested.returncode == 0, tested.stdout
    assert "4 cases, 0 failed." in tested.stdout
