"""`current_credential()`: the token of exactly this call, for the code of the tool and nobody else."""

import asyncio
import threading
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from hopward import CredentialVerifier, HopwardError, TokenError
from hopward.clock import SECOND
from langchain_hopward import current_credential

from .till import SUBJECT, USER, Till, calls, scripted


def verifier(till: Till) -> CredentialVerifier:
    """As the service behind the tool has it: public keys, its own name, and nothing else."""
    return CredentialVerifier(
        issuer="https://authority.example",
        audience="urn:example:app",
        jwks=till.guard.issuer.jwks,
        clock=till.clock,
    )


class Holder:
    """A tool that looks at its own credential."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def look(self, where: str = "here") -> str:
        """Look somewhere."""
        self.tokens += [current_credential(), current_credential()]
        return where

    async def look_later(self, where: str = "here") -> str:
        """Look somewhere."""
        await asyncio.sleep(0)
        return self.look(where)


@pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
def test_it_is_good_for_this_call_with_these_arguments_at_this_server(till: Till, later: bool) -> None:
    holder = Holder()
    made = StructuredTool.from_function(
        None if later else holder.look, coroutine=holder.look_later if later else None, name="look"
    )
    (look,) = till.hopward.install().protect([made])
    with till.task():
        asyncio.run(look.ainvoke({"where": "sea"})) if later else look.invoke({"where": "sea"})
    first, again = holder.tokens
    assert first == again
    credential = verifier(till).verify(first, tool="look", arguments={"where": "sea"})
    assert (credential["sub"], credential["scope"]) == (SUBJECT, "app/look")
    assert credential["jti"] == till.rows("credential")[0].record["credential"]["id"]
    assert credential["decision"] == till.rows("decision")[0].decision
    with pytest.raises(TokenError):
        verifier(till).verify(first, tool="look", arguments={"where": "hill"})


def test_outside_a_tool_there_is_none(till: Till) -> None:
    with pytest.raises(LookupError):
        current_credential()
    with till.task(), pytest.raises(LookupError):
        current_credential()


def test_an_unprotected_tool_gets_none_not_even_that_of_the_tool_around_it(till: Till) -> None:
    inner = till.tool("look", current_credential)
    held: list[str] = []

    def ask() -> None:
        held.append(current_credential())
        with pytest.raises(LookupError):
            inner.invoke({})
        held.append(current_credential())

    (asking,) = till.hopward.install().protect([till.tool("ask", ask)])
    with till.task():
        asking.invoke({})
    assert held[0] == held[1]
    assert till.outcomes() == ["tool_error", "ok"]


def test_a_tool_in_a_tool_has_its_own(till: Till) -> None:
    (look,) = till.hopward.protect([till.tool("look", current_credential)])
    (ask,) = till.hopward.protect([till.tool("ask", lambda: [current_credential(), look.invoke({})])])
    with till.task():
        outer, inner = ask.invoke({})
    assert verifier(till).verify(outer, tool="ask", arguments={})["scope"] == "app/ask"
    assert verifier(till).verify(inner, tool="look", arguments={})["scope"] == "app/look"


async def test_calls_side_by_side_each_have_their_own(till: Till) -> None:
    holder = Holder()
    (look,) = till.hopward.protect([StructuredTool.from_function(coroutine=holder.look_later, name="look")])
    with till.task():
        await asyncio.gather(*(look.ainvoke({"where": str(number)}) for number in range(5)))
    assert len(set(holder.tokens)) == 5


def test_what_outlives_the_call_gets_none(till: Till) -> None:
    after: list[Any] = []
    (ask,) = till.hopward.protect([till.tool("ask", lambda: after.append(copy_context()))])
    with till.task():
        ask.invoke({})
    with pytest.raises(LookupError, match="over"):
        after[0].run(current_credential)


def test_a_raw_thread_gets_none(till: Till) -> None:
    failed: list[bool] = []

    def body() -> None:
        try:
            current_credential()
        except LookupError:
            failed.append(True)

    def ask() -> None:
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()

    (asking,) = till.hopward.protect([till.tool("ask", ask)])
    with till.task():
        asking.invoke({})
    assert failed == [True]


def test_once_its_seconds_are_over_none_can_be_minted(till: Till) -> None:
    def ask() -> None:
        till.clock.advance(61 * SECOND)
        current_credential()

    (asking,) = till.hopward.protect([till.tool("ask", ask)])
    with till.task(), pytest.raises(HopwardError):
        asking.invoke({})


class Recording(BaseCallbackHandler):
    """Keeps all that any event tells, as a tracer would."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *args, **kwargs: self.told.append(repr((args, kwargs)))
        return super().__getattribute__(name)


def test_it_stands_in_no_prompt_state_trace_stream_or_log(till: Till) -> None:
    holder, recording, saver = Holder(), Recording(), InMemorySaver()
    (look,) = till.hopward.install().protect([StructuredTool.from_function(holder.look, name="look")])
    model = scripted(calls(("look", {"where": "sea"}), ("burn", {})))
    agent = create_agent(model, [look], middleware=[till.hopward.middleware()], checkpointer=saver)
    config: Any = {"callbacks": [recording], "configurable": {"thread_id": "1"}}
    modes: Any = ["values", "updates", "messages", "custom", "debug"]
    with till.task():
        streamed = [repr(part) for part in agent.stream(USER, config, stream_mode=modes)]
    states = [repr(state) for state in agent.get_state_history(config)]
    token = holder.tokens[0]
    assert token.count(".") == 2
    for text in (*streamed, *states, *recording.told, *model.prompts, repr(saver.storage), repr(saver.blobs)):
        assert token not in text
        assert token.rpartition(".")[2] not in text
    for path in Path(till.log).parent.glob("decisions.db*"):
        assert token.encode() not in path.read_bytes()
