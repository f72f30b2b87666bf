"""The rules of `[people]`: the OpenID provider at which people log in."""

import re
from collections.abc import Iterator

from hopward.config import forms
from hopward.config.problem import KeyPath, Problem, Table, items, table, text

SESSION = range(300, 86_401)
"""Seconds of a login: none lasts longer than a day."""

CHECK = range(10, 601)
"""Seconds from one question to the provider to the next."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def people_problems(document: Table) -> Iterator[Problem]:
    """Every rule broken by how people log in."""
    if "people" not in document:
        return
    path: KeyPath = ("people",)
    section = table(document["people"])
    if not text(table(document.get("approvals")).get("page")):
        yield Problem(path, "needs [approvals] page: people log in there")
    issuer = text(section.get("issuer"))
    wrong = forms.wrong_issuer(issuer)
    if issuer and wrong:
        yield Problem((*path, "issuer"), wrong)
    client = section.get("client_id")
    if client == "" or forms.has_control(text(client)):
        yield Problem((*path, "client_id"), "is empty, or holds a control character")
    yield from _secret(path, section)
    for key, within in (("session_seconds", SESSION), ("check_seconds", CHECK)):
        value = section.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value not in within:
            yield Problem((*path, key), f"must be {within.start} to {within.stop - 1} seconds")
    for index, scope in enumerate(items(section.get("scopes"))):
        if isinstance(scope, str) and not forms.SCOPE_TOKEN.fullmatch(scope):
            yield Problem((*path, "scopes", index), "is no scope (RFC 6749 section 3.3)")


def _secret(path: KeyPath, section: Table) -> Iterator[Problem]:
    variable, by = section.get("secret_environment"), section.get("authentication")
    place: KeyPath = (*path, "secret_environment")
    if by == "client_secret_basic" and not variable:
        yield Problem(place, "missing; it names the environment variable that holds the client secret")
    elif by == "private_key_jwt" and variable is not None:
        yield Problem(place, 'belongs to authentication = "client_secret_basic"')
    elif isinstance(variable, str) and not _VARIABLE.fullmatch(variable):
        yield Problem(place, "is no name of an environment variable")
