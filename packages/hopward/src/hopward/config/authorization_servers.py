"""The rules of `[authorization_servers.NAME]`, and of the credentials of servers that come from one."""

from collections.abc import Iterator
from typing import Any

from hopward.config import forms
from hopward.config.problem import KeyPath, Problem, Table, items, table, tables, text

_LIMITS = {"timeout_seconds": (1, 60), "longest_seconds": (10, 7_200), "cache_seconds": (0, 60)}
_CARRIED = ("authorization", "meta")
_ONLY_EXTERNAL = ("audience", "scope", "scopes")


def authorization_server_problems(document: Table) -> Iterator[Problem]:
    """Every rule broken by external authorization servers and by what is asked of them."""
    authority = table(document.get("authority"))
    for path, name, server in tables(document, "authorization_servers"):
        wrong = forms.wrong_name(name)
        if wrong:
            yield Problem(path, wrong)
        yield from _addresses(path, server, text(authority.get("issuer")))
        yield from _kinds(path, server)
        yield from _svid(path, server)
        yield from _clients(path, server)
        for key, (least, most) in _LIMITS.items():
            value = server.get(key, least)
            if isinstance(value, int) and not least <= value <= most:
                yield Problem((*path, key), f"must be {least} to {most}")
        signed = server.get("chain") == "signed" or server.get("narrows") is False
        if signed and authority.get("mode") == "remote":
            told = "cannot be signed for here: it needs authority.mode embedded, which has the key"
            yield Problem((*path, "chain"), told)
    yield from _deliveries(document)


def _addresses(path: KeyPath, server: Table, ours: str) -> Iterator[Problem]:
    for key in ("issuer", "token_endpoint", "jwks_uri"):
        url = text(server.get(key))
        wrong = forms.wrong_endpoint(url) if url.strip() else ""
        if wrong:
            yield Problem((*path, key), wrong)
    if ours and forms.alike(text(server.get("issuer"))) == forms.alike(ours):
        yield Problem((*path, "issuer"), "is our own authority; leave authorization_server out for that one")
    for key in ("algorithms", "token_types"):
        if isinstance(server.get(key), list) and not items(server.get(key)):
            yield Problem((*path, key), "is empty, so no token could be accepted")


def _kinds(path: KeyPath, server: Table) -> Iterator[Problem]:
    if server.get("dialect") == "on-behalf-of":
        if server.get("chain") == "nested":
            yield Problem((*path, "chain"), 'must be "signed": on-behalf-of names no actors')
        for key in ("target", "actor"):
            if key in server:
                yield Problem((*path, key), 'has no effect with dialect = "on-behalf-of"')
    if server.get("client_authentication") == "spiffe_jwt" and server.get("chain") == "nested":
        told = 'goes with chain = "signed" only: this process has one SPIFFE ID, not one for each agent'
        yield Problem((*path, "client_authentication"), told)


def _svid(path: KeyPath, server: Table) -> Iterator[Problem]:
    if "svid_file" in server and server.get("client_authentication") != "spiffe_jwt":
        yield Problem((*path, "svid_file"), 'has no effect without client_authentication = "spiffe_jwt"')
    wrong = forms.wrong_path(text(server.get("svid_file")))
    if wrong:
        yield Problem((*path, "svid_file"), wrong)


def _clients(path: KeyPath, server: Table) -> Iterator[Problem]:
    nested, agents = server.get("chain") == "nested", table(server.get("agents"))
    if nested and not agents:
        yield Problem((*path, "agents"), 'missing; chain = "nested" needs a client for each agent')
    if not nested and "agents" in server:
        yield Problem((*path, "agents"), 'has no effect without chain = "nested"')
    if not nested and "client_id" not in server:
        yield Problem((*path, "client_id"), 'missing; chain = "signed" needs the client that asks')
    for key in ("client_id", "client_audience"):
        if nested and key in server:
            yield Problem((*path, key), 'has no effect with chain = "nested"; each agent has its own client')
    for key in ("client_id", "audience"):
        seen: dict[str, str] = {}
        for agent, entry in agents.items():
            named = text(table(entry).get(key)) or text(table(entry).get("client_id"))
            first = seen.setdefault(named, agent)
            if named and first != agent:
                yield Problem(
                    (*path, "agents", agent, key), f"is that of {first} too; one could be the other"
                )


def _deliveries(document: Table) -> Iterator[Problem]:
    known = table(document.get("authorization_servers"))
    taken: dict[tuple[str, str], str] = {}
    for path, name, server in tables(document, "servers"):
        path = (*path, "credential")
        delivery = table(server.get("credential"))
        source = text(delivery.get("authorization_server"))
        if not source:
            for key in _ONLY_EXTERNAL:
                if key in delivery:
                    yield Problem((*path, key), "has no effect without authorization_server")
            continue
        if source not in known:
            yield Problem((*path, "authorization_server"), f"there is no [authorization_servers.{source}]")
        if delivery.get("by") not in _CARRIED:
            told = 'goes with by = "authorization" or "meta": its tokens are for single requests'
            yield Problem((*path, "authorization_server"), told)
        audience = text(delivery.get("audience")) or text(server.get("resource"))
        first = taken.setdefault((source, audience), name)
        if first != name:
            yield Problem(
                (*path, "audience"), f"is that of server {first} too; a token for one opens the other"
            )
        yield from _scopes(path, delivery, table(known.get(source)))


def _scopes(path: KeyPath, delivery: Table, server: Table) -> Iterator[Problem]:
    whole = items(delivery.get("scope"))
    if not whole:
        yield Problem((*path, "scope"), 'missing; say what its tokens may be for, such as ["files:read"]')
    if server.get("narrows") is False and "scopes" in delivery:
        told = "has no effect: this authorization server does not narrow scope"
        yield Problem((*path, "scopes"), told)
    listed: dict[tuple[str, ...], list[Any]] = {("scope",): whole}
    for pattern, words in table(delivery.get("scopes")).items():
        listed["scopes", pattern] = items(words)
        wrong = forms.wrong_pattern(pattern)
        if wrong:
            yield Problem((*path, "scopes", pattern), wrong)
        if isinstance(words, list) and not words:
            yield Problem((*path, "scopes", pattern), "is empty; a token for nothing is not to be had")
    for keys, words in listed.items():
        for index, word in enumerate(words):
            if isinstance(word, str) and word.strip() and not forms.SCOPE_TOKEN.fullmatch(word):
                yield Problem((*path, *keys, index), "is no scope token (RFC 6749 section 3.3)")
            elif keys != ("scope",) and word not in whole:
                yield Problem((*path, *keys, index), "must stand in scope too, which is the most there is")
