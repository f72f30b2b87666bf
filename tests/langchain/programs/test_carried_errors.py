"""An answer, or an error, of a carried call is told only with a decision, or in the proxy's own words."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hopward import Chain, ToolCall
from langchain_hopward import AuthorizationDenied

from .carried import adapter, ask, denied, denied_in_task, past_the_proxy, reading, stub, wired
from .notes import at_server
from .office import Office
from .stub_server import SECRET


def test_an_error_of_a_call_that_nobody_has_decided_is_withheld(
    library: Office, received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library.guard, "accepted", lambda presented: True)

    denial = asyncio.run(denied_in_task(library, wired(stub(received, "failing"))))
    assert (denial.reason, denial.executed) == ("chain_not_carried", True)
    assert SECRET not in denial.message
    assert denial.__cause__ is None
    assert denial.__suppress_context__
    (row,) = library.rows("refusal")
    assert SECRET not in row.record["sentence"]
    assert len(received.read_text().splitlines()) == 1


def test_an_error_of_a_call_that_was_permitted_is_told_as_it_is(
    library: Office, received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision stands in the log, as the proxy would have written it."""
    decide_as_the_proxy_would(library, monkeypatch)

    async def program() -> str:
        async with wired(stub(received, "failing")) as failing:
            read = await reading(library, failing)

            async def research() -> str:
                with pytest.raises(Exception, match=SECRET) as caught:
                    await read.ainvoke({"note": "n1"})
                return type(caught.value).__name__

            with library.task():
                return await ask(library, "ask_researcher", research).ainvoke({})

    assert asyncio.run(program()) != "AuthorizationDenied"
    assert library.rows("refusal") == []


@pytest.mark.parametrize("failing", [True, False], ids=["error", "answer"])
def test_whatever_comes_back_of_a_call_that_was_denied_is_withheld(
    library: Office, received: Path, monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    decide_as_the_proxy_would(library, monkeypatch)

    denial = asyncio.run(
        denied_in_task(library, wired(stub(received, "failing")) if failing else past_the_proxy(received))
    )
    assert SECRET not in denial.message
    assert "read_note n1" not in denial.message
    assert denial.reason == ("outside_task" if failing else "chain_not_carried")


def test_what_the_proxy_itself_says_of_a_call_it_did_not_decide_is_told(
    library: Office, received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present, kept = library.guard.present, dict[str, Any]()

    def again(chain: Chain, server: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return kept.setdefault(method, present(chain, server, method, params))

    async def program() -> str:
        async with adapter(library) as notes:
            read = await reading(library, notes)

            async def research() -> str:
                monkeypatch.setattr(library.guard, "present", again)
                await read.ainvoke({"note": "n1"})
                with pytest.raises(Exception, match="chain this request carries is not accepted") as caught:
                    await read.ainvoke({"note": "n1"})
                return type(caught.value).__name__

            with library.task():
                return await ask(library, "ask_researcher", research).ainvoke({})

    assert asyncio.run(program()) != "AuthorizationDenied"
    assert library.turned_away() == ["replayed"]
    assert len(at_server(received)) == 1


def test_one_decision_does_not_count_for_two_calls_that_are_alike(
    library: Office, received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are under way when the one is decided, so it stands behind the start of the other as well."""
    start = library.guard.ledger.head()

    async def program() -> AuthorizationDenied:
        async with adapter(library) as notes, past_the_proxy(received) as straight:
            read, other = await reading(library, notes), await reading(library, straight)

            async def research() -> AuthorizationDenied:
                monkeypatch.setattr(library.guard.ledger, "head", lambda: start)
                await read.ainvoke({"note": "n1"})
                monkeypatch.setattr(library.guard, "accepted", lambda presented: True)
                return await denied(other)

            with library.task():
                return await ask(library, "ask_researcher", research).ainvoke({})

    assert asyncio.run(program()).executed


def decide_as_the_proxy_would(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session counts as the proxy's, and each call is decided, but it goes elsewhere."""
    present = office.guard.present

    def deciding(chain: Chain, server: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "tools/call":
            call = ToolCall(server=server, tool=params["name"], arguments=params["arguments"])
            office.guard.authorize(call, chain)
        return present(chain, server, method, params)

    monkeypatch.setattr(office.guard, "present", deciding)
    monkeypatch.setattr(office.guard, "accepted", lambda presented: True)
