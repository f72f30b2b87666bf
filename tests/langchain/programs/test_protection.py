"""Guarded copies: the same tool to everybody who uses it, and no way to its function without the guard."""

import asyncio
import copy
import datetime
import enum
import functools
import types
import uuid
from decimal import Decimal
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForToolRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, StructuredTool, Tool, create_retriever_tool
from pydantic import BaseModel, Field, SecretStr

from langchain_hopward import AuthorizationDenied, Hopward

from .annotated import injected, unresolvable
from .till import USER, Till, calls, scripted


class Paying(BaseTool):
    """A tool class of its own, as many integrations have."""

    name: str = "pay"
    description: str = "Pay an amount."
    paid: list[int]

    def _run(self, amount: int = 500, run_manager: CallbackManagerForToolRun | None = None) -> str:
        assert run_manager is not None
        self.paid.append(amount)
        return f"paid {amount}"


class PayingLater(Paying):
    """The same with a way of its own to be run asynchronously."""

    async def _arun(self, amount: int = 500) -> str:
        self.paid.append(amount)
        return f"paid {amount}"


def noting(till: Till, kind: type[Paying]) -> Paying:
    """A tool of that class that pays into the till."""
    made = kind(paid=[])
    # Not to the constructor, which would copy the list.
    made.paid = till.paid
    return made


class Order(BaseModel):
    """What the model fills in, by other names and with a rule that changes the value."""

    total: int = Field(alias="recipient_total", default=3)


def logged(till: Till) -> Any:
    """The arguments of the last decision."""
    return till.rows("decision")[-1].record["call"]["arguments"]


def looking(till: Till, function: Any, **more: Any) -> BaseTool:
    made = StructuredTool.from_function(function, name="look", description="look", **more)
    return till.hopward.protect([made])[0]


@pytest.mark.parametrize("kind", [Paying, PayingLater])
@pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
@pytest.mark.parametrize("amount", [5, 999])
def test_a_tool_class_is_decided_once_with_its_final_arguments(
    till: Till, kind: type[Paying], later: bool, amount: int
) -> None:
    (pay,) = till.hopward.install().protect([noting(till, kind)])
    arguments = {"amount": amount} if amount == 5 else {}

    def run() -> Any:
        return asyncio.run(pay.ainvoke(arguments)) if later else pay.invoke(arguments)

    with till.task():
        if amount == 5:
            assert run() == "paid 5"
        else:
            with pytest.raises(PermissionError):
                run()
    assert till.paid == ([5] if amount == 5 else [])
    assert logged(till) == {"amount": 5 if amount == 5 else 500}
    assert till.verdicts() == ["permit" if amount == 5 else "deny"]


def test_the_methods_of_a_tool_class_are_guarded_however_they_are_called(till: Till) -> None:
    (pay,) = till.hopward.protect([noting(till, PayingLater)])
    with till.task():
        for attempt in (lambda: pay._run(999), lambda: asyncio.run(pay._arun(amount=999))):
            with pytest.raises(PermissionError):
                attempt()
    assert till.paid == []


@pytest.mark.parametrize(
    "original",
    [
        StructuredTool.from_function(lambda amount=1: amount, name="look", description="look"),
        StructuredTool.from_function(injected, name="look"),
        Tool(name="look", func=lambda text: text, description="look"),
        PayingLater(paid=[]),
        Paying(paid=[]),
    ],
    ids=["structured", "injected", "single input", "class with async", "class"],
)
def test_a_guarded_copy_looks_like_its_original(till: Till, original: BaseTool) -> None:
    (copy,) = till.hopward.protect([original])
    assert copy is not original
    assert isinstance(copy, type(original))
    assert type(copy).__name__ == type(original).__name__
    assert copy.tool_call_schema.model_json_schema() == original.tool_call_schema.model_json_schema()  # pyright: ignore
    assert copy.args == original.args
    fields = original.get_input_schema().model_fields
    assert {name: str(field) for name, field in copy.get_input_schema().model_fields.items()} == {
        name: str(field) for name, field in fields.items()
    }
    assert (copy.name, copy.description, copy.tags) == (original.name, original.description, original.tags)


def test_the_original_stays_as_it_was_and_unguarded(till: Till) -> None:
    original = till.sync_tool()
    till.hopward.protect([original])
    assert original.invoke({"amount": 999}) == "paid 999"


def test_a_guarded_function_does_not_hand_out_the_bare_one(till: Till) -> None:
    (pay,) = till.hopward.protect([till.sync_tool()])
    assert isinstance(pay, StructuredTool)
    assert not hasattr(pay.func, "__wrapped__")


def test_protecting_twice_decides_once(till: Till) -> None:
    (once,) = till.hopward.protect([till.sync_tool()])
    (twice,) = till.hopward.protect([once])
    assert twice is once
    with till.task():
        twice.invoke({"amount": 5})
    assert till.verdicts() == ["permit"]


def test_a_guarded_copy_whose_function_was_replaced_can_be_protected_again(till: Till) -> None:
    (pay,) = till.hopward.protect([till.sync_tool()])
    assert isinstance(pay, StructuredTool)
    pay.func = till.pay
    (again,) = till.hopward.protect([pay])
    with till.task(), pytest.raises(PermissionError):
        again.invoke({"amount": 999})
    assert till.paid == []


@pytest.mark.parametrize("made", [StructuredTool, Paying], ids=["functions", "class"])
def test_the_handler_decides_for_a_guarded_copy_whose_method_was_replaced(
    till: Till, made: type[BaseTool]
) -> None:
    (pay,) = till.hopward.install().protect(
        [till.sync_tool() if made is StructuredTool else noting(till, Paying)]
    )

    def bare(amount: int, **_: Any) -> str:
        return till.pay(amount)

    setattr(pay, "_run", bare)  # noqa: B010 - what a test double does
    with till.task():
        pay.invoke({"amount": 5})
        with pytest.raises(PermissionError):
            pay.invoke({"amount": 999})
    assert till.paid == [5]
    assert till.verdicts() == ["permit", "deny"]


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, BaseTool.model_copy], ids=lambda way: way.__name__
)
def test_however_a_guarded_copy_is_copied_it_decides_once(till: Till, copied: Any) -> None:
    pay = copied(till.hopward.install().protect([till.sync_tool()])[0])
    with till.task():
        assert pay.invoke({"amount": 5}) == "paid 5"
        with pytest.raises(PermissionError):
            pay.invoke({})
    assert till.verdicts() == ["permit", "deny"]


def test_a_copy_of_a_guarded_copy_is_guarded_under_its_first_name(till: Till) -> None:
    (pay,) = till.hopward.install().protect([till.sync_tool()])
    renamed = pay.model_copy(update={"name": "look"})
    with till.task(), pytest.raises(PermissionError, match="app/pay"):
        renamed.invoke({"amount": 999})
    assert till.paid == []


def test_two_tools_of_one_name_are_told_apart_by_what_they_are_called_with(till: Till) -> None:
    one, other = till.hopward.install().protect([till.sync_tool(), till.sync_tool()])
    with till.task():
        one.invoke({"amount": 5})
        with pytest.raises(PermissionError):
            other.invoke({})
    assert till.paid == [5]


def test_a_function_becomes_a_guarded_tool(till: Till) -> None:
    def look(where: str) -> str:
        """Look somewhere."""
        return f"at {where}"

    (made,) = till.hopward.protect([look])
    with till.task():
        assert made.invoke({"where": "sea"}) == "at sea"
    assert logged(till) == {"where": "sea"}


def test_what_the_program_injects_is_no_argument(till: Till) -> None:
    made = till.hopward.install().protect([StructuredTool.from_function(injected, name="look")])
    agent = create_agent(scripted(calls(("look", {"lines": [{"sku": "A"}]}))), made)
    with till.task():
        result = agent.invoke(USER)
    assert result["messages"][-2].content == "call_look_0 A 1 nobody None"
    assert logged(till) == {"lines": [{"sku": "A", "count": 1}]}


def test_an_annotation_that_cannot_be_resolved_does_not_hide_the_others(till: Till) -> None:
    schema = {"type": "object", "properties": {"where": {"type": "string"}}}
    made = looking(till, unresolvable, args_schema=schema)
    with till.task():
        assert made.invoke({"where": "sea"}).startswith("sea ")
    assert logged(till) == {"where": "sea"}


class Looking:
    """Something that can be called, and is no function."""

    where: int = 0

    def __call__(self, where: str, how: str = "well") -> str:
        return f"{how} at {where}"


@pytest.mark.parametrize("function", [Looking(), partial(Looking(), how="well")], ids=["object", "partial"])
def test_whatever_can_be_called_is_guarded_like_a_function(till: Till, function: Any) -> None:
    schema = {"type": "object", "properties": {"where": {"type": "string"}}}
    made = looking(till, function, args_schema=schema)
    with till.task():
        assert made.invoke({"where": "sea"}) == "well at sea"
    assert logged(till) == {"where": "sea", "how": "well"}


def test_a_retriever_tool_is_guarded_with_its_query(till: Till) -> None:
    class Found(BaseRetriever):
        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            return [Document(page_content=f"about {query}")]

    (look,) = till.hopward.install().protect([create_retriever_tool(Found(), "look", "look")])
    with till.task():
        assert look.invoke({"query": "lamps"}) == "about lamps"
    assert logged(till) == {"query": "lamps"}


def test_defaults_aliases_and_coercion_are_done_before_the_decision(till: Till) -> None:
    made = looking(till, lambda total: total, args_schema=Order)
    with till.task():
        assert made.invoke({"recipient_total": "7"}) == 7
        assert logged(till) == {"total": 7}
        assert made.invoke({}) == 3
        assert logged(till) == {"total": 3}


def test_arguments_that_a_function_takes_as_they_come_are_decided_on_by_their_names(till: Till) -> None:
    schema = {"type": "object", "properties": {"callbacks": {}, "a": {}}}
    made = looking(till, lambda **members: members, args_schema=schema)
    sent = {"a": {"b": [1, None, True, 2.5]}, "callbacks": "x"}
    with till.task():
        made.invoke(sent)
    assert logged(till) == sent


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (Colour.RED, "red"),
        (datetime.date(2026, 11, 26), "2026-11-26"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a/b"), "/a/b"),
        (Decimal("3.50"), 3.5),
        (Decimal("4"), 4),
        (Decimal("0.1000000000000000055511151231257827"), "0.1000000000000000055511151231257827"),
        ({"b", "a"}, ["a", "b"]),
        ((1, "x"), [1, "x"]),
        (Order(recipient_total=2), {"total": 2}),
    ],
    ids=repr,
)
def test_values_are_decided_on_in_their_exact_json_form(till: Till, value: Any, form: Any) -> None:
    got: list[Any] = []
    made = looking(till, lambda value: got.append(value), args_schema={"type": "object", "properties": {}})
    with till.task():
        made.invoke({"value": value})
    assert logged(till) == {"value": form}
    assert got == [value]


@pytest.mark.parametrize(
    "value", [object(), b"x", iter([1]), SecretStr("s3cret"), {1: 2}, {1, 2}, float("nan"), 1j], ids=repr
)
def test_a_value_that_json_cannot_carry_is_refused(till: Till, value: Any) -> None:
    made = looking(till, lambda value: till.pay(), args_schema={"type": "object", "properties": {}})
    with till.task(), pytest.raises(AuthorizationDenied) as caught:
        made.invoke({"value": value})
    assert till.paid == []
    assert "s3cret" not in caught.value.message


def test_arguments_that_do_not_fit_the_function_are_refused(till: Till) -> None:
    made = looking(till, lambda value: till.pay(), args_schema={"type": "object", "properties": {}})
    with till.task(), pytest.raises(AuthorizationDenied, match="could not be read"):
        made.invoke({"other": 1})
    assert till.paid == []


class Early(BaseTool):
    """A tool class that works before LangChain comes to run it."""

    name: str = "look"
    description: str = "look"

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return "already done"

    def _run(self) -> str:
        return "run"


class Batching(Early):
    """The same for several at once."""

    invoke = BaseTool.invoke

    def batch(self, *args: Any, **kwargs: Any) -> Any:
        return ["already done"]


ENTRANCES = [
    *(
        "transform",
        "atransform",
        "batch_as_completed",
        "abatch_as_completed",
        "astream_events",
        "astream_log",
    ),
    *("_parse_input", "_to_args_and_kwargs", "_transform_stream_with_config", "bind", "with_config"),
]


@pytest.mark.parametrize("name", ENTRANCES)
def test_a_tool_with_an_entrance_of_its_own_is_not_accepted(till: Till, name: str) -> None:
    made = types.new_class("Late", (Early,), exec_body=lambda body: body.update({name: lambda self: None}))
    made.invoke = BaseTool.invoke
    with pytest.raises(TypeError, match=f"Late has its own {name}, which may act before asking"):
        till.hopward.protect([made()])


class Disguised(Early):
    """An entrance of its own that says it is LangChain's."""

    @functools.wraps(BaseTool.invoke)
    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return "already done"


class Answering(BaseTool):
    """A tool class that can be called like a function."""

    name: str = "look"
    description: str = "look"

    def _run(self) -> str:
        return "run"

    def __call__(self) -> str:
        return "already done"


class Shifting(BaseTool):
    """A tool class that has another method each time it is asked for one."""

    name: str = "look"
    description: str = "look"

    def _run(self) -> str:
        return "run"

    def __getattribute__(self, name: str) -> Any:
        return (lambda **_: "already done") if name == "_run" else super().__getattribute__(name)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Disguised, "invoke"), (Answering, "__call__"), (Shifting, "__getattribute__")],
    ids=["disguised", "callable", "shifting"],
)
def test_an_entrance_is_langchains_own_only_if_it_is_the_very_function(
    till: Till, kind: type[BaseTool], name: str
) -> None:
    with pytest.raises(TypeError, match=f"has its own {name}"):
        till.hopward.protect([kind()])


@pytest.mark.parametrize("name", ["invoke", "_run"])
def test_a_tool_that_hides_a_method_behind_an_attribute_of_its_own_is_not_accepted(
    till: Till, name: str
) -> None:
    made = till.sync_tool()
    vars(made)[name] = till.pay
    with pytest.raises(TypeError, match="may act before asking"):
        till.hopward.protect([made])
    assert till.paid == []


@pytest.mark.parametrize(
    "given",
    [Early(), Batching(), {"type": "web_search"}, "pay", 5, Tool(name="look", func=str, description="look")],
    ids=["own invoke", "own batch", "provider-side", "text", "number", "builtin"],
)
def test_what_cannot_be_guarded_is_not_accepted(till: Till, given: Any) -> None:
    with pytest.raises(TypeError):
        till.hopward.protect([given])


@pytest.mark.parametrize(
    "given",
    [lambda till: till.sync_tool(), lambda till: till.pay, lambda _: {"type": "web_search"}, lambda _: "pay"],
    ids=["tool", "function", "provider-side", "text"],
)
def test_a_single_tool_is_not_taken_for_a_list_of_them(till: Till, given: Any) -> None:
    with pytest.raises(TypeError, match="protect takes a list of tools"):
        till.hopward.protect(given(till))


def test_a_tool_that_two_have_guarded_asks_twice_in_the_one_task(till: Till) -> None:
    (pay,) = Hopward(till.guard).protect(till.hopward.protect([till.sync_tool()]))
    with pytest.raises(PermissionError, match="outside any task"):
        pay.invoke({"amount": 5})
    with till.task():
        pay.invoke({"amount": 5})
    assert till.verdicts() == ["permit", "permit"]


def test_a_tool_that_handles_its_errors_turns_a_refusal_into_its_result(till: Till) -> None:
    made = StructuredTool.from_function(till.pay, name="pay", handle_tool_error=True)
    (pay,) = till.hopward.protect([made])
    with till.task():
        assert "app/pay was not executed" in pay.invoke({"amount": 999})
    assert till.paid == []
