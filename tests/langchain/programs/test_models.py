"""Models and retrievers are hops too, where the configuration names any."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.retrievers import BaseRetriever

from langchain_hopward import AuthorizationDenied

from .office import LOOKING, USER, Office, asked, calls, scripted

ENTRY = """
[servers.app.{kind}."{name}"]
action = "read"
sensitivity = "internal"
integrity = "untrusted"
destination = "archive"
"""
GRANTED = LOOKING.replace('"app/look"', '"app/look", "app/model:Scripted", "app/retriever:shelf"')


class Shelf(BaseRetriever):
    """Finds the query itself."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [Document(page_content=query)]


class Vault(Shelf):
    """An index nobody may ask."""


def entries(**named: str) -> str:
    return "".join(ENTRY.format(kind=kind, name=name) for kind, name in named.items())


@pytest.fixture
def library(open_office: Callable[[str], Office], monkeypatch: pytest.MonkeyPatch) -> Office:
    """An office where the boss may ask the model `Scripted` and the retriever `shelf`."""
    from . import office as offices

    monkeypatch.setattr(offices, "CONFIG", offices.CONFIG.replace(LOOKING, GRANTED))
    more = ENTRY.format(kind="models", name="Other") + ENTRY.format(kind="retrievers", name="vault")
    made = open_office(asked("payer") + entries(models="Scripted", retrievers="shelf") + more)
    made.hopward.install()
    return made


@pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
def test_a_model_is_asked_only_where_the_chain_may(library: Office, later: bool) -> None:
    agent = create_agent(scripted(calls(("look", {}))), library.tools())
    with library.task():
        asyncio.run(agent.ainvoke(USER)) if later else agent.invoke(USER)
    assert library.story() == [
        ("boss", "model:Scripted", "permit"),
        ("boss", "look", "permit"),
        ("boss", "model:Scripted", "permit"),
    ]
    row = library.rows("decision")[0]
    assert row.record["call"]["arguments"] == {"model": "Scripted"}
    assert "go" not in str(row.record["call"])


@pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
def test_models_and_retrievers_are_decided_on_where_no_work_is_handed_on(
    open_office: Callable[[str], Office], monkeypatch: pytest.MonkeyPatch, later: bool
) -> None:
    from . import office as offices

    monkeypatch.setattr(offices, "CONFIG", offices.CONFIG.replace(LOOKING, GRANTED))
    made = open_office(entries(models="Scripted", retrievers="shelf"))
    made.hopward.install()
    agent = create_agent(scripted(calls(("look", {}))), made.tools())
    with made.task():
        asyncio.run(agent.ainvoke(USER)) if later else agent.invoke(USER)
        asyncio.run(Shelf().ainvoke("q")) if later else Shelf().invoke("q")
    assert [tool for _, tool, _ in made.story()] == [
        "model:Scripted",
        "look",
        "model:Scripted",
        "retriever:shelf",
    ]
    assert len(made.rows("outcome")) == 4


@pytest.mark.parametrize(
    ("configured", "ignored"),
    [
        ("", {"chain", "llm", "chat_model", "retriever"}),
        (entries(models="Scripted"), {"chain", "retriever"}),
        (entries(retrievers="shelf"), {"chain", "llm", "chat_model"}),
        (asked("payer"), set[str]()),
    ],
    ids=["tools alone", "models", "retrievers", "work handed on"],
)
def test_langchain_is_spared_only_the_events_that_nothing_configured_needs(
    open_office: Callable[[str], Office], configured: str, ignored: set[str]
) -> None:
    handler = open_office(configured).hopward.handler()
    kinds = ("agent", "chain", "llm", "chat_model", "retriever")
    assert {kind for kind in kinds if getattr(handler, f"ignore_{kind}")} == ignored


def test_an_agent_can_be_barred_from_a_model_that_its_delegator_may_ask(library: Office) -> None:
    barred = create_agent(scripted(calls(("pay", {"amount": 5}))), library.tools())
    hand = library.hopward.protect([library.tool("ask_payer", lambda: barred.invoke(USER))])
    boss = create_agent(scripted(calls(("ask_payer", {}))), hand)
    with library.task():
        result = boss.invoke(USER)
    assert ("boss>payer", "model:Scripted", "outside_hop") in library.story()
    assert library.paid == []
    assert "model:Scripted was not executed" in result["messages"][-2].content


def test_a_model_nobody_classified_is_refused_once_any_is(library: Office) -> None:
    with library.task(), pytest.raises(AuthorizationDenied) as denied:
        FakeListLLM(responses=["x"]).invoke("hello")
    assert denied.value.reason == "tool_unclassified"
    with pytest.raises(AuthorizationDenied) as denied:
        scripted().invoke("hello")
    assert denied.value.reason == "no_task"


@pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
def test_a_retriever_is_asked_only_where_the_chain_may(library: Office, later: bool) -> None:
    def ask(retriever: Any) -> Any:
        return asyncio.run(retriever.ainvoke("lamps")) if later else retriever.invoke("lamps")

    with library.task():
        assert ask(Shelf())[0].page_content == "lamps"
        with pytest.raises(AuthorizationDenied):
            ask(Vault())
    assert library.story() == [
        ("boss", "retriever:shelf", "permit"),
        ("boss", "retriever:vault", "outside_task"),
    ]
    assert [row.record["outcome"]["status"] for row in library.rows("outcome")] == ["ok"]


def test_without_an_entry_models_and_retrievers_are_nobodys_business(office: Office) -> None:
    office.hopward.install()
    assert Shelf().invoke("x")
    assert scripted().invoke("hello")
    assert office.story() == []
    assert office.turned_away() == []


def test_the_name_of_a_run_does_not_make_a_model_or_retriever_another_one(library: Office) -> None:
    named: Any = {
        "run_name": "Shelf",
        "metadata": {"ls_model_name": "Scripted", "ls_retriever_name": "shelf"},
    }
    with library.task():
        for forbidden in (Vault(), FakeListLLM(responses=["x"])):
            with pytest.raises(AuthorizationDenied):
                forbidden.invoke("lamps", named)
