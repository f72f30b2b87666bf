"""A call of an MCP tool behind the proxy, which decides: the run that made it waits for people as well."""

import asyncio
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

from .carried import adapter, ask, noted
from .held import CAROL, CONFIG, asked, edit
from .notes import at_server
from .office import USER, Office, calls, scripted

HELD = """
@id("reading") @reason("Somebody decides who reads notes.") @step_up("operators")
forbid (principal, action == Hopward::Action::"notes/read_note", resource);
"""


def test_what_the_proxy_holds_back_is_waited_for_and_made_once(library: Office, received: Path) -> None:
    (library.folder / "policies" / "held.cedar").write_text(HELD, "utf-8")
    first = told = None

    async def program() -> None:
        nonlocal first, told
        async with adapter(library) as notes:
            waits = library.hopward.middleware(approvals="interrupt")
            sub = create_agent(
                scripted(calls(("read_note", {"note": "n1"}))),
                await noted(library, notes),
                middleware=[waits],
            )

            async def research() -> Any:
                return (await sub.ainvoke(USER))["messages"][-2].content

            boss: Any = create_agent(
                scripted(calls(("ask_researcher", {}))),
                [ask(library, "ask_researcher", research)],
                middleware=[waits],
                checkpointer=InMemorySaver(),
            )
            with library.task():
                first = asked(await boss.ainvoke(USER, CONFIG))
                assert at_server(received) == []
                second = library.hopward.answer(first, edit("read_note", note="n2"), by=CAROL)
                told = (await boss.ainvoke(second, CONFIG))["messages"][-2].content

    asyncio.run(program())
    assert first
    assert first[0].value["action_requests"][0]["args"] == {"note": "n1"}
    assert len(at_server(received)) == 1
    assert '{"note":"n2"}' in str(told)
    assert "read_note n2" in str(told)
    verdicts = [row.verdict for row in library.rows("decision") if row.server == "notes"]
    assert verdicts == ["step-up", "deny", "permit"]
