"""The rules of `[events]`: whom to hear, and whom an event may mean."""

from collections.abc import Iterator

from hopward.config import forms
from hopward.config.problem import KeyPath, Problem, Table, items, table, text
from hopward.policy import nearest

_FORMATS = ("email", "iss_sub", "opaque")
_ADDRESSES = ("jwks_uri", "poll_url", "verification_url")
_FILES = ("jwks_file", "push_token_file", "access_token_file")
_LIMITS = {"poll_seconds": (1, 3_600), "silent_after": (60, 7 * 86_400)}
_AGENT = "agent:"


def event_problems(document: Table) -> Iterator[Problem]:
    """Every rule broken by who is heard, and by who is told."""
    for name, entry in table(table(document.get("events")).get("receivers")).items():
        yield from _receiver(("events", "receivers", name), name, table(entry))
    sources = table(table(document.get("events")).get("sources"))
    agents = table(document.get("agents"))
    seen: dict[tuple[str, str], str] = {}
    for name, entry in sources.items():
        path: KeyPath = ("events", "sources", name)
        wrong = forms.wrong_name(name)
        if wrong:
            yield Problem(path, wrong)
        source = table(entry)
        mark = (text(source.get("issuer")), text(source.get("audience")))
        first = seen.setdefault(mark, name)
        if all(mark) and first != name:
            told = f'is that of "{first}", from the same issuer; each needs its own'
            yield Problem((*path, "audience"), told)
        yield from _source(path, source)
        yield from _subjects((*path, "subjects"), table(source.get("subjects")), agents)


def _receiver(path: KeyPath, name: str, receiver: Table) -> Iterator[Problem]:
    wrong = forms.wrong_name(name)
    if wrong:
        yield Problem(path, wrong)
    url = text(receiver.get("url"))
    wrong = forms.wrong_endpoint(url) if url.strip() else ""
    if wrong:
        yield Problem((*path, "url"), wrong)
    if forms.has_control(text(receiver.get("token_file"))):
        yield Problem((*path, "token_file"), "must name a file")


def _source(path: KeyPath, source: Table) -> Iterator[Problem]:
    if ("jwks_file" in source) == ("jwks_uri" in source):
        yield Problem(path, "needs exactly one of jwks_file and jwks_uri: with which keys it signs")
    for key in _ADDRESSES:
        wrong = forms.wrong_endpoint(text(source.get(key))) if text(source.get(key)).strip() else ""
        if wrong:
            yield Problem((*path, key), wrong)
    for key in _FILES:
        if key in source and forms.has_control(text(source[key])):
            yield Problem((*path, key), "must name a file")
    for key, (least, most) in _LIMITS.items():
        value = source.get(key, least)
        if isinstance(value, int) and not isinstance(value, bool) and not least <= value <= most:
            yield Problem((*path, key), f"must be {least} to {most} seconds")
    if source.get("algorithms") == []:
        yield Problem((*path, "algorithms"), "is empty, so nothing could be verified")
    yield from _together(path, source)


def _together(path: KeyPath, source: Table) -> Iterator[Problem]:
    """Keys that mean nothing without another, or beside it."""
    for key in ("poll_seconds",):
        if key in source and "poll_url" not in source:
            yield Problem((*path, key), "has no effect without poll_url")
    if "push_token_file" in source and "poll_url" in source:
        yield Problem((*path, "push_token_file"), "has no effect with poll_url: nothing is pushed then")
    if "when_silent" in source and "silent_after" not in source:
        yield Problem((*path, "when_silent"), "has no effect without silent_after")
    if "verification_url" in source and not {"silent_after", "stream_id"} <= source.keys():
        yield Problem((*path, "verification_url"), "needs silent_after and stream_id")
    asked = "poll_url" in source or "verification_url" in source
    if asked != ("access_token_file" in source):
        told = "missing; requests to the transmitter need it" if asked else "has no effect: nothing is asked"
        yield Problem((*path, "access_token_file"), told)


def _subjects(path: KeyPath, subjects: Table, agents: Table) -> Iterator[Problem]:
    if not any(subjects.get(key) for key in (*_FORMATS, "same")):
        yield Problem(path, "names nobody, so no event would mean anybody")
    for form in _FORMATS:
        for value, names in table(subjects.get(form)).items():
            place: KeyPath = (*path, form, value)
            if names == []:
                yield Problem(place, "names nobody")
            for index, name in enumerate(map(text, items(names))):
                agent = name.removeprefix(_AGENT)
                if agent != name and agent not in agents:
                    told = f"there is no [agents.{agent}]{nearest(agent, agents)}"
                    yield Problem((*place, index), told)
