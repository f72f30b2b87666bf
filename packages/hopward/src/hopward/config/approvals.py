"""The rules of `[approvals]`: who may approve what."""

from collections.abc import Iterator

from hopward.claims import is_agent
from hopward.config import forms
from hopward.config.names import alike
from hopward.config.problem import KeyPath, Problem, Table, items, table, text
from hopward.pattern import folded

LONGEST_APPROVAL = 24 * 60 * 60
"""Seconds; what was true when a person said yes is not true for ever."""

MOST_TIMES = 100
"""Calls that one yes may hold for; nobody looks that far ahead."""

_LIMITS = {
    "expires_in": LONGEST_APPROVAL,
    "most_pending": 1_000,
    "most_pending_of_subject": 1_000,
    "most_per_hour": 10_000,
}

LONGEST_WAIT = 600
"""Seconds; a client gives up on a call at some time, and makes it again."""


def approval_problems(document: Table) -> Iterator[Problem]:
    """Every rule broken by who may approve."""
    section = table(document.get("approvals"))
    for key, most in _LIMITS.items():
        value = section.get(key, 1)
        if isinstance(value, int) and not 1 <= value <= most:
            yield Problem(("approvals", key), f"must be 1 to {most}")
    wait, page = section.get("wait", 0), text(section.get("page"))
    if isinstance(wait, int) and not 0 <= wait <= LONGEST_WAIT:
        yield Problem(("approvals", "wait"), f"must be 0 to {LONGEST_WAIT} seconds")
    wrong_page = forms.wrong_base(page) if page else ""
    if wrong_page:
        yield Problem(("approvals", "page"), wrong_page)
    yield from _webhook(table(section.get("webhook")))
    agents = frozenset(map(folded, table(document.get("agents"))))
    seen: dict[str, str] = {}
    for name, group in table(section.get("groups")).items():
        path: KeyPath = ("approvals", "groups", name)
        wrong = forms.wrong_name(name)
        if wrong:
            yield Problem(path, wrong)
        first = seen.setdefault(alike(name), name)
        if first != name:
            yield Problem(path, f'cannot be told apart from "{first}"; rename one of them')
        yield from _group(path, table(group), agents)


def _webhook(hook: Table) -> Iterator[Problem]:
    path: KeyPath = ("approvals", "webhook")
    if "url" in hook:
        wrong = forms.wrong_endpoint(text(hook["url"]))
        if wrong:
            yield Problem((*path, "url"), wrong)
    file = hook.get("secret_file")
    if file == "" or forms.has_control(text(file)):
        yield Problem((*path, "secret_file"), "must name a file")


def _group(path: KeyPath, group: Table, agents: frozenset[str]) -> Iterator[Problem]:
    members = items(group.get("members"))
    if "members" in group and not members:
        yield Problem((*path, "members"), "is empty, so nobody could ever approve")
    seen: set[str] = set()
    for index, member in enumerate(map(text, members)):
        place: KeyPath = (*path, "members", index)
        if forms.has_control(member):
            yield Problem(place, "holds a control character")
        elif is_agent(member) or folded(member) in agents:
            yield Problem(place, "is an agent; only people approve")
        elif folded(member) in seen:
            yield Problem(place, "stands here twice; a person counts once")
        seen.add(folded(member))
    people = group.get("people", 1)
    if isinstance(people, int) and not isinstance(people, bool) and not 1 <= people <= max(1, len(members)):
        yield Problem((*path, "people"), f"must be 1 to {max(1, len(members))}, as many as are members")
    times = group.get("most_times", 1)
    if isinstance(times, int) and not isinstance(times, bool) and not 1 <= times <= MOST_TIMES:
        yield Problem((*path, "most_times"), f"must be 1 to {MOST_TIMES}")
    if group.get("in_client") is True and group.get("subject_may_approve") is not True:
        yield Problem((*path, "in_client"), "needs subject_may_approve = true: it is the subject who answers")
