"""`hopward mcp run --from-prompt`: a session has the tools that the prompt asks for."""

from pathlib import Path

from .clients import Kind, over_stdio
from .project import recorded

CLIENT = Kind("sdk", "2026-07-28")


async def test_a_session_from_a_prompt_has_the_tools_that_it_asks_for(tmp_path: Path) -> None:
    project = recorded(tmp_path)
    async with over_stdio(CLIENT, tmp_path, "recorder", "--from-prompt", "Read the note") as agent:
        assert "change" not in await agent.tools()
        assert not (await agent.call("note")).is_error
        refused = await agent.call("change")
    assert refused.decision["reason"] == "outside_task"
    assert "the request asks for recorder/note" in (tmp_path / "said.txt").read_text("utf-8")
    assert project.rows(kind="task")[0].record["task"]["request"] == "Read the note"
    async with over_stdio(CLIENT, tmp_path, "recorder", "--from-prompt", "Change the note") as agent:
        assert not (await agent.call("change")).is_error


def test_a_prompt_and_a_request_are_one_too_many(tmp_path: Path) -> None:
    project = recorded(tmp_path)
    project.hopward("mcp", "run", "recorder", "--from-prompt", "a", "--request", "b", status=2)
    project.hopward("mcp", "run", "recorder", "--from-prompt", "a", "--carried", status=2)
    assert project.rows(kind="task") == []
