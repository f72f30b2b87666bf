"""What a person says to an interrupted run, recorded before it goes on. Imported only where LangGraph is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from langgraph.types import Command

from hopward import Guard, NotFoundError, StateError
from langchain_hopward.question import answers, approval_of, question, recorded

_SHOW = "Resume the run without an answer: it is interrupted again, with what is asked now."


@dataclass(frozen=True, slots=True)
class Person:
    """Who answers, as the program has authenticated them; `why` is what they say beside."""

    by: str
    why: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is said to one approval. `arguments` are those that the call is to have instead, if any."""

    approval: str
    yes: bool
    why: str
    arguments: dict[str, Any] | None = None


def answered(guard: Guard, interrupts: Iterable[Any], resume: Any, person: Person) -> Command[Any]:
    """Record each answer, all of them checked first; what the run is resumed with, by id of interrupt.

    Raises `StateError`, and `LedgerError` where nothing can be recorded.
    """
    listed = list(interrupts)
    given = _given(listed, resume)
    found: dict[str, _Answer] = {}
    for one in listed:
        if one.id in given and approval_of(one.value):
            answer = _read(guard, one.value, given[one.id])
            given[one.id] = recorded(given[one.id], answer.approval)
            if found.setdefault(answer.approval, answer) != answer:
                raise StateError(f"Approval {answer.approval} is answered twice, and not alike.")
    for answer in found.values():
        _record(guard, answer, person)
    return Command(resume=given)


def _given(interrupts: list[Any], resume: Any) -> dict[str, Any]:
    """What each interrupt is answered with, by its id."""
    value: Any = resume.resume if isinstance(resume, Command) else resume
    ids = [one.id for one in interrupts]
    if isinstance(value, Mapping) and value and cast("Mapping[Any, Any]", value).keys() <= set(ids):
        return dict(cast("Mapping[str, Any]", value))
    if len(ids) == 1:
        return {ids[0]: value}
    told = f"There are {len(ids)} interrupts, so it cannot be told which of them this is an answer to."
    raise StateError(told, advice="Pass {interrupt.id: answer, ...}.")


def _read(guard: Guard, shown: Mapping[str, Any], given: Any) -> _Answer:
    """The answer to one interrupt of ours; raises `StateError`."""
    approval, decisions = approval_of(shown), answers(given)
    if len(decisions) != 1:
        told = f"The answer about {approval} is not one decision."
        raise StateError(told, advice='It looks like {"decisions": [{"type": "approve"}]}.')
    try:
        found = guard.approvals.get(approval)
    except NotFoundError as error:
        raise StateError(error.message, advice=_SHOW) from None
    if found.state != "pending":
        raise StateError(f"Approval {approval} is {found.state}.", advice=_SHOW)
    asked = question(guard, approval)
    if asked != shown:
        told = f"What was shown of approval {approval} is not what stands in the decision log."
        raise StateError(told, advice=_SHOW)
    decision, allowed = decisions[0], asked["review_configs"][0]["allowed_decisions"]
    if decision["type"] not in allowed:
        told = f"{decision['type']!r} is no answer about {approval}."
        raise StateError(told, advice=f"It can be answered with {', '.join(allowed)}.")
    message = str(decision.get("message") or "")
    if decision["type"] == "reject":
        return _Answer(approval, False, message)
    if decision["type"] == "approve":
        return _Answer(approval, True, message)
    return _Answer(approval, True, message, _edited(asked["action_requests"][0]["name"], decision))


def _edited(tool: str, decision: Mapping[str, Any]) -> dict[str, Any]:
    action: Any = decision.get("edited_action")
    edit: dict[str, Any] = dict(cast("Mapping[str, Any]", action)) if isinstance(action, Mapping) else {}
    arguments: Any = edit.get("args")
    if edit.get("name") != tool or not isinstance(arguments, dict):
        told = f"An edit changes the arguments of {tool}, and nothing else."
        raise StateError(told, advice=f'It looks like {{"name": "{tool}", "args": {{...}}}}.')
    return cast("dict[str, Any]", arguments)


def _record(guard: Guard, answer: _Answer, person: Person) -> None:
    why = answer.why or person.why
    if answer.yes:
        guard.approvals.approve(answer.approval, by=person.by, why=why, arguments=answer.arguments)
    else:
        guard.approvals.reject(answer.approval, by=person.by, why=why or "No reason was given.")
