"""The handler: it stops what it cannot permit, and nothing in LangChain's reach turns that around."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import StructuredTool, Tool
from langchain_core.tracers import context

from hopward import ConfigError, LedgerError
from langchain_hopward import AuthorizationDenied, Hopward, HopwardHandler
from langchain_hopward.place import Place

from .till import USER, Till, calls, scripted


class Broken:
    """A guard in which everything fails, with whatever error."""

    def __init__(self, till: Till, error: BaseException) -> None:
        self.settings = till.guard.settings
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


@contextmanager
def in_a_task_of_a_broken_guard(till: Till, error: BaseException) -> Iterator[Hopward]:
    broken = Hopward(Broken(till, error))  # pyright: ignore[reportArgumentType] - that is the point
    with till.task() as task:
        broken._enforcer.place.set(Place(till.guard.enter(task.id)))
        yield broken


@pytest.mark.parametrize(
    "name", ["raise_error", "run_inline", "ignore_agent", "ignore_chain", "on_tool_start", "anything"]
)
def test_nothing_of_the_handler_can_be_set_or_deleted(till: Till, name: str) -> None:
    handler = till.hopward.install().handler()
    with pytest.raises(AttributeError):
        setattr(handler, name, False)
    with pytest.raises(AttributeError):
        delattr(handler, name)
    with till.task(), pytest.raises(PermissionError):
        till.sync_tool().invoke({"amount": 999})


class Tampering(BaseCallbackHandler):
    """Another handler of the run, which tries to make the refusal a mere log line."""

    def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        for handler in context._configure_hooks[-1][0].get(), self.other:
            for name, value in (("raise_error", False), ("run_inline", False), ("ignore_agent", True)):
                try:
                    setattr(handler, name, value)
                except AttributeError:
                    self.failed += 1

    def __init__(self, other: HopwardHandler) -> None:
        self.other = other
        self.failed = 0


def test_another_handler_of_the_run_cannot_disarm_it(till: Till) -> None:
    tampering = Tampering(till.hopward.install().handler())
    with till.task(), pytest.raises(PermissionError):
        till.sync_tool().invoke({"amount": 999}, {"callbacks": [tampering]})
    assert tampering.failed == 6
    assert till.paid == []


class Failing(BaseCallbackHandler):
    """A handler after ours that fails, so that LangChain neither runs the tool nor tells of its end."""

    raise_error = True

    def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError


def test_a_call_that_another_handler_stops_is_settled_and_forgotten(till: Till) -> None:
    handler, failing = till.hopward.handler(), Failing()
    with till.task():
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                till.sync_tool().invoke({"amount": 5}, {"callbacks": [handler, failing]})
    assert till.outcomes() == ["unknown"] * 3
    with till.task():
        till.sync_tool().invoke({"amount": 5}, {"callbacks": [handler]})
    assert till.outcomes()[3:] == ["ok"]
    assert handler._open == {}


ERRORS = [NotImplementedError("no"), ValueError("s3cret"), KeyError("x"), RecursionError(), OSError(5, "io")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protected", [True, False], ids=["protected", "installed"])
@pytest.mark.parametrize("later", [True, False], ids=["ainvoke", "invoke"])
def test_any_error_inside_is_a_refusal_that_tells_nothing(
    till: Till, error: Exception, protected: bool, later: bool
) -> None:
    with in_a_task_of_a_broken_guard(till, error) as broken:
        broken.install()
        tool: Any = broken.protect([till.sync_tool()])[0] if protected else till.sync_tool()
        with pytest.raises(AuthorizationDenied, match="internal error") as caught:
            asyncio.run(tool.ainvoke({"amount": 5})) if later else tool.invoke({"amount": 5})
    assert till.paid == []
    assert "s3cret" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)


@pytest.mark.parametrize("serialized", [None, {}, {"name": None}, {"name": 5}], ids=str)
def test_an_event_that_makes_no_sense_is_a_refusal(till: Till, serialized: Any) -> None:
    with till.task(), pytest.raises(AuthorizationDenied):
        till.hopward.handler().on_tool_start(serialized, "", run_id=uuid.uuid4(), inputs={})


def test_a_log_that_cannot_be_written_refuses_everything(till: Till) -> None:
    (pay,) = till.hopward.install().protect([till.sync_tool()])
    scope = till.task()
    scope.__enter__()
    till.guard.close()
    for tool in (pay, till.sync_tool()):
        with pytest.raises(PermissionError):
            tool.invoke({"amount": 5})
    assert till.paid == []
    with pytest.raises(LedgerError):
        scope.__exit__(None, None, None)
    with pytest.raises(PermissionError, match="outside any task"):
        pay.invoke({"amount": 5})


def test_a_bare_text_is_refused_because_it_names_no_argument(till: Till) -> None:
    till.hopward.install()
    look = Tool(name="look", func=lambda text: till.paid.append(1), description="look")
    with till.task(), pytest.raises(PermissionError, match="bare text"):
        look.invoke("5")
    assert till.paid == []
    assert [row.reason for row in till.rows("refusal")] == ["arguments_unreadable"]


def test_names_of_runs_and_agents_play_no_part(till: Till) -> None:
    till.hopward.install()
    spoofed = {
        "run_name": "look",
        "tags": ["hopward"],
        "metadata": {"lc_agent_name": "admin", "name": "look", "hopward": True},
        "configurable": {"thread_id": "1", "hopward_chain": "x"},
    }
    with till.task(), pytest.raises(PermissionError):
        till.sync_tool().invoke({"amount": 999}, spoofed)
    with pytest.raises(PermissionError, match="outside any task"):
        till.sync_tool().invoke({"amount": 5}, spoofed)
    assert till.paid == []


def test_the_id_of_a_guarded_run_opens_nothing_else(till: Till) -> None:
    till.hopward.install()
    run_id = uuid.uuid4()
    seen: list[str] = []

    def body() -> None:
        for name in ("pay", "ask"):
            other = StructuredTool.from_function(till.pay, name=name)
            try:
                other.invoke({"amount": 999}, {"run_id": run_id})
            except PermissionError:
                seen.append(name)

    (ask,) = till.hopward.protect([till.tool("ask", body)])
    with till.task():
        ask.invoke({}, {"run_id": run_id})
    assert seen == ["pay"]
    assert till.verdicts("ask") == ["permit", "permit"]


class Meddling(BaseCallbackHandler):
    """A handler before ours, which runs another tool under the id of the guarded run that begins."""

    def __init__(self, other: StructuredTool) -> None:
        self.other = other
        self.refused = 0
        self.busy = False

    def on_tool_start(self, *args: Any, run_id: uuid.UUID, **kwargs: Any) -> None:
        if not self.busy:
            self.busy = True
            try:
                self.other.invoke({"amount": 999}, {"run_id": run_id})
            except PermissionError:
                self.refused += 1


def test_a_handler_before_ours_cannot_lend_the_guarded_run_to_another_tool(till: Till) -> None:
    meddling = Meddling(till.sync_tool())
    (ask,) = till.hopward.install().protect([till.tool("ask", lambda: "asked")])
    with till.task():
        ask.invoke({}, {"callbacks": [meddling]})
    assert meddling.refused == 1
    assert till.paid == []


def test_a_guarded_copy_whose_function_was_replaced_is_decided_by_the_handler(till: Till) -> None:
    (pay,) = till.hopward.install().protect([till.sync_tool()])
    assert isinstance(pay, StructuredTool)
    pay.func = till.pay
    with till.task(), pytest.raises(PermissionError):
        pay.invoke({"amount": 999})
    assert till.paid == []
    assert till.verdicts() == ["deny"]


def test_installed_twice_and_passed_too_it_decides_once(till: Till) -> None:
    hooks = len(context._configure_hooks)
    assert till.hopward.install().install() is till.hopward
    assert len(context._configure_hooks) == hooks + 1
    assert till.hopward.handler() is till.hopward.handler()
    with till.task():
        till.sync_tool().invoke({"amount": 5}, {"callbacks": [till.hopward.handler()]})
    assert till.verdicts() == ["permit"]
    assert till.outcomes() == ["ok"]


def test_a_tool_nobody_has_classified_is_refused(till: Till) -> None:
    till.hopward.install()
    other = StructuredTool.from_function(till.pay, name="other")
    with till.task(), pytest.raises(PermissionError, match="has not been classified") as caught:
        other.invoke({"amount": 1})
    assert "[servers.app.tools.other] in hopward.toml" in str(caught.value)
    assert till.paid == []


@pytest.mark.parametrize("protected", [False, True], ids=["unprotected", "protected"])
def test_where_the_program_fills_something_in_the_refusal_says_that_protecting_helps(
    till: Till, protected: bool
) -> None:
    def look(runtime: Optional[ToolRuntime] = None) -> str:  # noqa: UP045 - as programs write it
        """Look."""
        return "seen"

    till.hopward.install()
    tools = till.hopward.protect([look]) if protected else [StructuredTool.from_function(look)]
    with till.task():
        result = create_agent(scripted(calls(("look", {}))), tools).invoke(USER)
    told = result["messages"][-2].content
    assert told == "seen" if protected else "protect the tool: what is injected is then left out" in told


def test_a_guarded_tool_is_not_told_to_be_protected(till: Till) -> None:
    schema = {"type": "object", "properties": {}}
    made = StructuredTool(name="look", description="look", func=lambda value: "seen", args_schema=schema)
    (look,) = till.hopward.protect([made])
    with till.task(), pytest.raises(AuthorizationDenied, match="cannot be written as JSON") as caught:
        look.invoke({"value": object()})
    assert "protect" not in caught.value.message


def test_a_second_guard_cannot_be_installed_beside_the_first(till: Till) -> None:
    assert till.hopward.install() is till.hopward.install()
    with pytest.raises(ConfigError, match="Another Hopward is installed in this process"):
        Hopward(till.guard).install()
    with till.task():
        till.sync_tool().invoke({"amount": 5})
    assert till.paid == [5]


def test_a_guard_can_be_installed_where_langchain_has_forgotten_the_one_before(till: Till) -> None:
    Hopward(till.guard).install()
    context._configure_hooks.clear()
    till.hopward.install()
    with till.task():
        till.sync_tool().invoke({"amount": 5})
    assert till.verdicts() == ["permit"]


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("langgraph", "langchain", "deepagents"):
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
from hopward import LedgerError
from langchain_hopward import AuthorizationDenied, Hopward
from langchain_core.tools import StructuredTool

hopward = Hopward.open(sys.argv[1])
hopward.install()
(look,) = hopward.protect([StructuredTool.from_function(lambda: "seen", name="look", description="look")])
with hopward.task(subject="ines@example.com"):
    assert look.invoke({}) == "seen"
try:
    look.invoke({})
except PermissionError as denial:
    assert isinstance(denial, AuthorizationDenied)
    sys.stdout.write(str(denial))
"""


def test_langgraph_and_langchain_are_optional(till: Till) -> None:
    config = till.guard.settings.root / "hopward.toml"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT, str(config)], capture_output=True, check=False
    )
    assert done.stderr.decode() == ""
    assert done.stdout.decode().startswith("app/look was not executed: It was called outside any task")
