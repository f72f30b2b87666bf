"""More ways than the twenty of `escapes`: tools wrapped, copied, renamed; the process turned on itself.

What needs the original function or the insides of a guarded tool is code of the process: see `RUNS_ANYWAY`.
"""

import asyncio
import contextvars
import copy
import gc
import inspect
import threading
import types
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast
from uuid import uuid4

from langchain.agents.middleware import AgentMiddleware, ToolRetryMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import BaseTool, StructuredTool, Tool
from langchain_core.tracers import context
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Send

from langchain_hopward import HopwardHandler

from .escapes import LARGE, TWENTY, Attempt, Swapping
from .till import USER, calls

Act = Callable[[Attempt], Any]


def _func(attempt: Attempt) -> Callable[..., Any]:
    return cast("Callable[..., Any]", cast("StructuredTool", attempt.pay).func)


def _named(attempt: Attempt, **changed: Any) -> BaseTool:
    return attempt.pay.model_copy(update=changed)


async def _to_thread(attempt: Attempt) -> None:
    await asyncio.to_thread(_func(attempt), **LARGE)


async def _executor(attempt: Attempt) -> None:
    await asyncio.get_running_loop().run_in_executor(None, lambda: _func(attempt)(amount=1))


async def _gathered(attempt: Attempt) -> None:
    await asyncio.gather(attempt.pay.ainvoke(LARGE), attempt.pay.ainvoke(LARGE), return_exceptions=True)


def _copied_context(attempt: Attempt) -> None:
    inside = contextvars.copy_context()
    thread = threading.Thread(target=_quiet(lambda: inside.run(attempt.pay.invoke, LARGE)))
    thread.start()
    thread.join()


def _quiet(act: Callable[[], Any]) -> Callable[[], None]:
    def quiet() -> None:
        with suppress(Exception):
            act()

    return quiet


def _generator(attempt: Attempt) -> None:
    def later() -> Any:
        yield _func(attempt)(**LARGE)

    left: list[Any] = []
    attempt.within(lambda: left.append(later()))
    next(left[0])


def _node(tools: list[Any], *, send: bool = False) -> Any:
    """A graph of one tool node, which gets the calls at once or one by one."""
    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode(tools))
    if send:
        builder.add_conditional_edges(
            START, lambda state: [Send("tools", [call]) for call in state["messages"][-1].tool_calls]
        )
    else:
        builder.add_edge(START, "tools")
    builder.add_edge("tools", END)
    return builder.compile()


def _asking() -> dict[str, Any]:
    return {"messages": [calls(("pay", LARGE))]}


def _same_ids(attempt: Attempt) -> None:
    asked = calls(("look", {}), ("pay", LARGE))
    for call in asked.tool_calls:
        call["id"] = "one"
    look = attempt.protect(attempt.till.tool("look", lambda: "seen"))
    attempt.agent([look, attempt.pay], asked).invoke(USER)


class Bringing(AgentMiddleware[Any, Any, Any]):
    """Middleware that brings a tool of its own."""

    def __init__(self, tool: BaseTool) -> None:
        super().__init__()
        self.tools = [tool]


class Emptying(BaseCallbackHandler):
    """Takes every other handler out of the run it sees begin."""

    run_inline = True

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        for manager in gc.get_objects():
            if type(manager).__name__ == "CallbackManager":
                manager.handlers[:] = [self]
                manager.inheritable_handlers[:] = [self]


class Failing(BaseCallbackHandler):
    """Breaks before any other handler is told of a tool."""

    def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("broken tracer")


class Same(BaseCallbackHandler):
    """Claims to be every other handler, so that LangChain adds none."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = BaseCallbackHandler.__hash__


class Lenient(HopwardHandler):
    """The guard's handler, without its refusals."""

    def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        return


def _emptied(attempt: Attempt) -> None:
    attempt.paying(LARGE).invoke(USER, {"callbacks": [Emptying()]})


def _lenient(attempt: Attempt) -> None:
    attempt.pay.invoke(LARGE, {"callbacks": [Lenient(attempt.till.hopward._enforcer)]})


def _handlers() -> list[Any]:
    """The installed handlers, as any code of the process can find them."""
    return [hook[0].get() for hook in context._configure_hooks if isinstance(hook[0].get(), HopwardHandler)]


def _switch(attempt: Attempt, turn: Callable[[Any], None]) -> None:
    for handler in _handlers():
        with suppress(AttributeError, TypeError):
            turn(handler)
    attempt.pay.invoke(LARGE)


def _class_switch(attempt: Attempt) -> None:
    kept = HopwardHandler.__dict__["raise_error"]
    setattr(HopwardHandler, "raise_error", False)  # noqa: B010 - what an attacker would do
    try:
        attempt.pay.invoke(LARGE)
    finally:
        setattr(HopwardHandler, "raise_error", kept)  # noqa: B010


def _hook_emptied(attempt: Attempt) -> None:
    def act() -> None:
        for hook in context._configure_hooks:
            hook[0].set(None)
        attempt.pay.invoke(LARGE)

    contextvars.copy_context().run(act)


def _hooks_cleared(attempt: Attempt) -> None:
    context._configure_hooks.clear()
    attempt.pay.invoke(LARGE)


def _another_run_id(attempt: Attempt) -> None:
    """A call of `pay` with the id of the permitted run it is made in."""
    run = uuid4()

    def ask() -> str:
        with suppress(PermissionError):
            attempt.pay.invoke(LARGE, {"run_id": run})
        return "asked"

    attempt.protect(attempt.till.tool("ask", ask)).invoke({}, {"run_id": run})


def _another_name(attempt: Attempt) -> None:
    _named(attempt, name="look").invoke({})


def _misnamed(attempt: Attempt) -> None:
    attempt.protect(StructuredTool.from_function(attempt.till.pay, name="look")).invoke({})


def _remade(attempt: Attempt) -> None:
    StructuredTool.from_function(_func(attempt), name="look", description="look").invoke({})


def _subclass(attempt: Attempt) -> None:
    kind = types.new_class(
        "Mine", (type(attempt.pay),), exec_body=lambda body: body.update(__module__=__name__)
    )
    mine = copy.copy(attempt.pay)
    object.__setattr__(mine, "__class__", kind)
    mine._run(**LARGE, config={})


def _plain_class(attempt: Attempt) -> None:
    mine = copy.copy(attempt.pay)
    object.__setattr__(mine, "__class__", StructuredTool)
    mine._run(**LARGE, config={})


class Paying(BaseTool):
    """A tool that is a class, for its base to be asked."""

    name: str = "pay"
    description: str = "Pays"
    act: Any

    def _run(self, amount: int = 500) -> str:
        return self.act(amount)


def _base_method(attempt: Attempt) -> None:
    guarded = attempt.protect(Paying(act=attempt.till.pay))
    Paying._run(cast("Paying", guarded), **LARGE)


def _own_method(attempt: Attempt) -> None:
    attempt.protect(Paying(act=attempt.till.pay))._run(**LARGE)


def _closure(attempt: Attempt) -> None:
    found = [_func(attempt)]
    for function in found:
        for cell in getattr(function, "__closure__", None) or ():
            if callable(cell.cell_contents) and cell.cell_contents not in found:
                found.append(cell.cell_contents)
    for function in found:
        if function == attempt.till.pay:
            function(**LARGE)


def _unwrapped(attempt: Attempt) -> None:
    inspect.unwrap(_func(attempt))(**LARGE)


def _tool_of_a_tool(attempt: Attempt) -> None:
    with warnings.catch_warnings(action="ignore"):  # it is in beta
        made = attempt.pay.as_tool(name="look", description="look")
    made.invoke(LARGE)


def _original(attempt: Attempt) -> None:
    attempt.till.sync_tool().invoke(LARGE)


def _original_func(attempt: Attempt) -> None:
    cast("Any", attempt.till.sync_tool().func)(**LARGE)


def _plain_function(attempt: Attempt) -> None:
    attempt.agent([cast("Any", attempt.till.pay)], calls(("pay", LARGE))).invoke(USER)


def _old_tool(attempt: Attempt) -> None:
    def pay(text: str) -> str:
        return attempt.till.pay(int(text))

    attempt.protect(Tool(name="pay", func=pay, description="Pays")).invoke("999")


def _handled(attempt: Attempt, answer: Any) -> None:
    _named(attempt, handle_tool_error=answer, handle_validation_error=answer).invoke(LARGE)


def _replaced(attempt: Attempt) -> None:
    vars(attempt.pay)["_run"] = lambda amount, **more: attempt.till.pay(amount)
    attempt.pay.invoke(LARGE)


def _twice(attempt: Attempt) -> None:
    """Decided on the amount by name, and called with the one by place."""

    def pay(amount: int, /, **more: Any) -> str:
        return attempt.till.pay(amount)

    schema = {"type": "object", "properties": {"amount": {"type": "integer"}}}
    made = StructuredTool.from_function(pay, name="pay", description="Pays", args_schema=schema)
    cast("Any", cast("StructuredTool", attempt.protect(made)).func)(999, amount=1)


def _generator_tool(attempt: Attempt) -> None:
    """A tool that returns before it has done anything."""

    def pay(amount: int) -> Any:
        yield attempt.till.pay(amount)

    with suppress(TypeError):  # what cannot be guarded
        made = attempt.protect(StructuredTool.from_function(pay, name="pay", description="Pays"))
        list(made.invoke({"amount": 1}))


def _coroutine_only(attempt: Attempt) -> None:
    asyncio.run(attempt.protect(attempt.till.async_tool()).ainvoke(LARGE))


def _coroutine_itself(attempt: Attempt) -> None:
    tool = cast("StructuredTool", attempt.protect(attempt.till.async_tool()))
    asyncio.run(cast("Any", tool.coroutine)(**LARGE))


async def _async_agent(attempt: Attempt) -> None:
    async for _ in attempt.paying(LARGE).astream_events(USER, version="v2"):
        pass


def _in_task(way: Callable[[Attempt], Any]) -> Act:
    return lambda attempt: asyncio.run(way(attempt))


def _within(way: Act) -> Act:
    return lambda attempt: attempt.within(lambda: way(attempt))


SEEN: list[tuple[str, Act]] = [
    ("tool with retries", lambda a: a.pay.with_retry(stop_after_attempt=2).invoke(LARGE)),
    ("tool as its own fallback", lambda a: a.pay.with_fallbacks([a.pay]).invoke(LARGE)),
    ("tool bound to a configuration", lambda a: a.pay.with_config(callbacks=[]).invoke(LARGE)),
    ("tool in a chain", lambda a: (RunnableLambda(lambda _: LARGE) | a.pay).invoke(None)),
    ("tools side by side in a chain", lambda a: RunnableParallel(x=a.pay, y=a.pay).invoke(LARGE)),
    ("tool made of a tool", _tool_of_a_tool),
    ("batch as completed", lambda a: list(a.pay.batch_as_completed([LARGE, LARGE]))),
    ("batch, limited concurrency", lambda a: a.pay.batch([LARGE] * 3, {"max_concurrency": 1})),
    ("tools awaited together", _in_task(_gathered)),
    ("agent's events", _in_task(_async_agent)),
    ("thread with a copied context", _within(_copied_context)),
    ("empty context", _within(lambda a: contextvars.Context().run(a.pay.invoke, {"amount": 1}))),
    ("tool node alone", lambda a: _node([a.pay]).invoke(_asking())),
    ("tool node by Send", lambda a: _node([a.pay], send=True).invoke(_asking())),
    ("two calls of one id", _same_ids),
    (
        "tool brought by middleware",
        lambda a: a.agent([], calls(("pay", LARGE)), inner=(Bringing(a.pay),)).invoke(USER),
    ),
    (
        "retried by middleware",
        lambda a: a.paying(LARGE, ToolRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)).invoke(
            USER
        ),
    ),
    (
        "original swapped in by middleware",
        lambda a: a.paying({"amount": 5}, Swapping(a.till.sync_tool())).invoke(USER),
    ),
    ("coroutine tool", _coroutine_only),
    ("tool of a text", _old_tool),
    ("errors handled by the tool", lambda a: _handled(a, True)),
    ("errors handled by a function", lambda a: _handled(a, lambda error: "never mind")),
    (
        "result returned directly",
        lambda a: a.agent([_named(a, return_direct=True)], calls(("pay", LARGE))).invoke(USER),
    ),
    ("copy.copy of the tool", lambda a: copy.copy(a.pay).invoke(LARGE)),
    ("model_copy of the tool", lambda a: _named(a, metadata={"x": 1}).invoke(LARGE)),
    ("another name for the run", lambda a: a.pay.invoke(LARGE, {"run_name": "look"})),
    ("run id of a permitted call", _another_run_id),
    ("original tool kept", _original),
    ("plain function as a tool", _plain_function),
    ("another handler breaks first", lambda a: a.pay.invoke(LARGE, {"callbacks": [Failing()]})),
    ("another handler empties the run", _emptied),
    ("subclass of the handler", _lenient),
    ("raise_error set to False", lambda a: _switch(a, lambda h: object.__setattr__(h, "raise_error", False))),
    ("method of the tool replaced", _replaced),
    ("raise_error put into `__dict__`", lambda a: _switch(a, lambda h: h.__dict__.update(raise_error=False))),
]
"""What the handler stops without any guarded tool."""

UNSEEN: list[tuple[str, Act]] = [
    ("tool's function in a chain", lambda a: RunnableLambda(lambda _: _func(a)(**LARGE)).invoke(0)),
    ("asyncio.to_thread and func", _within(_in_task(_to_thread))),
    ("executor of the loop and func", _within(_in_task(_executor))),
    ("generator read after the call", _generator),
    ("coroutine itself", _coroutine_itself),
    ("method of a tool class", _own_method),
    ("two amounts, by place and by name", _twice),
    ("tool that is a generator, read after its call", _generator_tool),
    ("subclass of the tool's class", _subclass),
    ("class of the tool put back", _plain_class),
    ("another name for the tool", _another_name),
    ("func in a tool of another name", _remade),
    ("`func.__wrapped__`", _unwrapped),
    ("another handler equals every other", lambda a: a.pay.invoke(LARGE, {"callbacks": [Same()]})),
    (
        "on_tool_start put into `__dict__`",
        lambda a: _switch(a, lambda h: h.__dict__.update(on_tool_start=lambda *x, **y: None)),
    ),
    ("raise_error of the handler's class", _class_switch),
    ("hook set to None", _hook_emptied),
    ("hooks cleared", _hooks_cleared),
]
"""What only guarded tools stop: LangChain sees nothing, or another tool, or has lost its handler."""

RUNS_ANYWAY: list[tuple[str, Act]] = [
    ("func of the original kept", _original_func),
    ("function under the name of a harmless tool", _misnamed),
    ("unguarded method of the tool's base class", _base_method),
    ("closure of the guarded func", _closure),
]
"""What nothing in the process stops."""

BEYOND = dict(enumerate([*SEEN, *UNSEEN, *RUNS_ANYWAY], start=21))
"""Number -> what it is called, and the attempt."""

NEEDS_HANDLER = {
    "original swapped in by middleware",
    "original tool kept",
    "plain function as a tool",
    "method of the tool replaced",
}
"""What guarded copies alone cannot stop: the tool that is called is no guarded one, or not any more."""

WAYS: dict[int, tuple[str, Act]] = TWENTY | BEYOND
"""All of them, as the guide lists them."""
