"""What a person has answered, read strictly from a form."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from starlette.requests import Request

from hopward_authority.form import FormError, read_form

LONGEST_WHY = 1_000
"""Characters of a reason."""

Said: TypeAlias = Literal["yes", "no", "edit", "several", "same-yes", "same-no"]
"""Yes or no to one call; yes to it with other arguments, or to several such calls; yes or no to all alike."""

_ALSO: dict[Said, str] = {"several": "times", "same-yes": "same", "same-no": "same"}
"""The field that belongs to such an answer, and to no other."""

_ARGUMENT = "argument-"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `arguments` are texts, by the place at which the page has shown the argument; `same` is a
    digest of the alike that the page has shown."""

    said: Said
    why: str
    token: str
    times: int = 1
    same: str = ""
    arguments: dict[int, str] = field(default_factory=dict[int, str])


async def read_answer(request: Request) -> Answer:
    """The answer in a form; raises `FormError` for anything that no page of ours sends."""
    fields = await read_fields(request)
    said, why, token = fields.pop("answer", ""), fields.pop("why", ""), fields.pop("token", "")
    if said not in ("yes", "no", "edit", "several", "same-yes", "same-no"):
        raise _unreadable("It says neither yes nor no.")
    also = _ALSO.get(said, "")
    told = fields.pop(also, "") if also else ""
    if also and not told:
        raise _unreadable("It does not say to how many.")
    if len(why) > LONGEST_WHY:
        raise _unreadable(f"The reason is longer than {LONGEST_WHY} characters.")
    arguments = {_place(name): text for name, text in fields.items()}
    if bool(arguments) != (said == "edit"):
        raise _unreadable("Arguments belong to an answer that changes them, and to no other.")
    # A browser sends line breaks as CR LF, however they were typed.
    why, same = why.replace("\r\n", "\n").strip(), told if also == "same" else ""
    return Answer(said, why, token, _times(told) if also == "times" else 1, same, arguments)


async def read_fields(request: Request, allowed: frozenset[str] | None = None) -> dict[str, str]:
    """The fields of a form, each once, and none but those `allowed`, if given; raises `FormError`."""
    form = await read_form(request)
    fields = dict(form.pairs)
    if len(fields) != len(form.pairs):
        raise _unreadable("A field stands in it twice.")
    if allowed is not None and not fields.keys() <= allowed:
        raise _unreadable("It has a field that does not belong to it.")
    return fields


def _times(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 6:
        raise _unreadable("It does not say for how many calls.")
    return int(text)


def _place(name: str) -> int:
    number = name.removeprefix(_ARGUMENT)
    if number == name or not number.isascii() or not number.isdecimal() or len(number) > 3:
        raise _unreadable("It has a field that does not belong to it.")
    return int(number)


def _unreadable(sentence: str) -> FormError:
    return FormError(400, "invalid_request", sentence)
