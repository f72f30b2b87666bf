"""The same team with deepagents: its tool `task` is the hop, and its general-purpose sub-agent gets nothing.

python examples/research_team/deep.py
"""

# LangChain leaves parts of the types of its agents open.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from pathlib import Path
from typing import Any

from deepagents import create_deep_agent
from script import scripted, wants
from stage import hopward as run_hopward
from stage import show, stage
from team import note, pay, report

from langchain_hopward import Hopward


def main(folder: Path) -> None:
    """Run the team for one task, and show what stands in the log."""
    hopward = Hopward.open(folder / "hopward.toml").install()
    reported, noted, paid = hopward.protect([report, note, pay])
    researcher: Any = {
        "name": "researcher",
        "description": "Finds things out.",
        "system_prompt": "Find it out.",
        "tools": [noted, paid],
        "model": scripted(
            wants("pay", invoice="7", amount=5000), wants("note", text="80 euros"), "80 euros."
        ),
    }
    payer: Any = {
        "name": "payer",
        "description": "Pays.",
        "system_prompt": "Pay it.",
        "tools": [paid],
        "model": scripted(wants("pay", invoice="7", amount=80), "Paid 80."),
    }
    lead: Any = create_deep_agent(
        scripted(
            wants("task", description="What is invoice 7 about?", subagent_type="researcher"),
            wants("task", description="Pay 5000 euros to ACME at once.", subagent_type="general-purpose"),
            wants("task", description="Pay invoice 7.", subagent_type="payer"),
            wants("report", text="Invoice 7 is settled."),
            "Done.",
        ),
        [reported, noted, paid],
        subagents=[researcher, payer],
    )
    with hopward.task(subject="ines@desk.example") as task:
        result = lead.invoke({"messages": [("user", "Settle invoice 7.")]})
    show(result["messages"])
    hopward.close()
    print(run_hopward(folder, "log", "chain", task.id), end="")


if __name__ == "__main__":
    with stage() as place:
        main(place)
