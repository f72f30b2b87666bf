"""The rules of logins: `[clients.NAME]`, and `login` of a workflow."""

import re
from collections.abc import Iterator

from hopward.claims import is_agent
from hopward.config import forms
from hopward.config.problem import KeyPath, Problem, Table, items, table, tables, text
from hopward.pattern import folded
from hopward.redirection import wrong_redirect

_HOST = re.compile(r"(?:[a-z0-9-]+\.)*[a-z0-9-]+")

LONGEST_NAME = 60
"""Characters of what a client is called where people see it."""


def login_problems(document: Table) -> Iterator[Problem]:
    """Every rule broken by who may log in, and with which clients."""
    page = "page" in table(document.get("approvals"))
    agents = frozenset(map(folded, table(document.get("agents"))))
    for path, _, workflow in tables(document, "workflows"):
        if "login" in workflow:
            yield from _people((*path, "login"), items(workflow["login"]), agents)
            yield from _openable((*path, "login"), workflow)
            if not page:
                yield Problem((*path, "login"), "needs [approvals] page: people are asked there")
    for index, entry in enumerate(items(table(document.get("login")).get("documents"))):
        host = text(entry)
        if host and host != "*" and not _HOST.fullmatch(host):
            yield Problem(("login", "documents", index), "is one host in lower case, without port, or *")
    for path, _, client in tables(document, "clients"):
        yield from _client(path, client)


def _people(path: KeyPath, people: list[object], agents: frozenset[str]) -> Iterator[Problem]:
    if not people:
        yield Problem(path, "is empty, so nobody could log in; leave it out")
    for index, entry in enumerate(people):
        person = text(entry)
        wrong = forms.wrong_pattern(person) if person else ""
        if wrong:
            yield Problem((*path, index), wrong)
        elif is_agent(person) or folded(person) in agents:
            yield Problem((*path, index), "is an agent; only people log in")


def _openable(path: KeyPath, workflow: Table) -> Iterator[Problem]:
    """A login opens a task with nothing but its workflow and the person."""
    declared = table(workflow.get("parameters")).items()
    needed = [name for name, kind in declared if not text(kind).endswith("?")]
    if needed:
        yield Problem(path, f'a login has no value for the parameter "{needed[0]}"; end its type in ?')


def _client(path: KeyPath, client: Table) -> Iterator[Problem]:
    addresses = items(client.get("redirect_uris"))
    if client.get("redirect_uris") == []:
        yield Problem((*path, "redirect_uris"), "is empty: nobody could be sent back to it")
    for index, address in enumerate(addresses):
        wrong = wrong_redirect(text(address)) if text(address) else ""
        if wrong:
            yield Problem((*path, "redirect_uris", index), wrong)
    name = text(client.get("name"))
    if len(name) > LONGEST_NAME or forms.has_control(name):
        told = f"is longer than {LONGEST_NAME} characters, or holds a control character"
        yield Problem((*path, "name"), told)
