"""What a person has answered, read strictly from a form."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from starlette.requests import Request

from hopward_authority.form import FormError, read_form

LONGEST_WHY = 1_000
"""Characters of a reason."""

Said: TypeAlias = Literal["yes", "no", "edit", "several"]

_ARGUMENT = "argument-"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `arguments` are texts, by the place at which the page has shown the argument.

    `several` is a yes to as many as `times` calls. `same` are the ids of what asks the same, as the page has
    shown them, where the answer is to them as well.
    """

    said: Said
    why: str
    token: str
    arguments: dict[int, str] = field(default_factory=dict[int, str])
    times: int = 1
    same: frozenset[str] = frozenset()


async def read_answer(request: Request) -> Answer:
    """The answer in a form; raises `FormError` for anything that no page of ours sends."""
    fields = await read_fields(request)
    said, why, token = fields.pop("answer", ""), fields.pop("why", ""), fields.pop("token", "")
    same, times = frozenset(fields.pop("same", "").split()), fields.pop("times", "")
    if said not in ("yes", "no", "edit", "several"):
        raise _unreadable("It says neither yes nor no.")
    if bool(times) != (said == "several") or (same and said not in ("yes", "no")):
        raise _unreadable("It has a field that does not belong to its answer.")
    if len(why) > LONGEST_WHY:
        raise _unreadable(f"The reason is longer than {LONGEST_WHY} characters.")
    arguments = {_place(name): text for name, text in fields.items()}
    if bool(arguments) != (said == "edit"):
        raise _unreadable("Arguments belong to an answer that changes them, and to no other.")
    # A browser sends line breaks as CR LF, however they were typed.
    why = why.replace("\r\n", "\n").strip()
    return Answer(said, why, token, arguments, _number(times) if times else 1, same)


async def read_fields(request: Request, allowed: frozenset[str] | None = None) -> dict[str, str]:
    """The fields of a form, each once, and none but those `allowed`, if given; raises `FormError`."""
    form = await read_form(request)
    fields = dict(form.pairs)
    if len(fields) != len(form.pairs):
        raise _unreadable("A field stands in it twice.")
    if allowed is not None and not fields.keys() <= allowed:
        raise _unreadable("It has a field that does not belong to it.")
    return fields


def _place(name: str) -> int:
    number = name.removeprefix(_ARGUMENT)
    if number == name:
        raise _unreadable("It has a field that does not belong to it.")
    return _number(number)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 3:
        raise _unreadable("It has a field that does not belong to it.")
    return int(text)


def _unreadable(sentence: str) -> FormError:
    return FormError(400, "invalid_request", sentence)
