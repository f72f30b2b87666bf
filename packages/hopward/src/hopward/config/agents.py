"""The rules of `[agents.NAME]`, and of what agents are given by workflows and hops: capabilities, budgets."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from hopward import capability, constraint, money
from hopward.claims import is_agent
from hopward.config import forms
from hopward.config.problem import KeyPath, Problem, Table, items, table, tables, text
from hopward.constraint import Constraint
from hopward.constraint.arguments import check_key
from hopward.errors import TokenError
from hopward.exchange import PROXY
from hopward.jwk import VerificationKey, thumbprint
from hopward.model import MOST_ACTORS, Capability
from hopward.pattern import folded

DAY = 24 * 60 * 60
LONGEST_TASK = 31 * DAY
"""Seconds; authority that is needed for longer is not just in time."""

MOST_REVIEW_DAYS = 366
"""Days between two looks at an agent."""

LARGEST_FAN_OUT = 1_000
"""Hops of one agent that are open at once."""

LARGEST_BUDGET = 1_000_000_000
"""Calls; whoever needs more does not want a budget."""


LARGEST_SIZE = 1_000_000_000_000
"""Bytes; likewise."""


def agent_problems(document: Table) -> Iterator[Problem]:
    """Every rule broken by an agent's settings, and by the keys of agents, servers and clients together."""
    servers = table(document.get("servers"))
    agents = frozenset(map(folded, table(document.get("agents"))))
    holders: dict[str, str] = {}
    for path, name, agent in tables(document, "agents"):
        if name == PROXY:
            yield Problem(path, "is the name of the proxy itself; choose another")
        yield from _oversight(path, agent, agents)
        yield from capability_problems(
            (*path, "ceiling"), agent.get("ceiling"), servers, may_be_empty=bool(agent.get("delegable"))
        )
        yield from capability_problems((*path, "delegable"), agent.get("delegable"), servers)
        if "key" in agent:
            yield from _key((*path, "key"), f'agent "{name}"', table(agent["key"]), holders)
        if "former_key" in agent:
            yield from _former_key(path, name, agent, holders)
    for section, kind in (("servers", "server"), ("clients", "client")):
        for path, name, holder in tables(document, section):
            if "key" in holder:
                yield from _key((*path, "key"), f'{kind} "{name}"', table(holder["key"]), holders)


def _oversight(path: KeyPath, agent: Table, agents: frozenset[str]) -> Iterator[Problem]:
    """What is wrong with who answers for an agent, and with how often it is looked at."""
    owner = text(agent.get("owner"))
    if is_agent(owner) or folded(owner) in agents:
        yield Problem((*path, "owner"), "is an agent; a person or a team answers for an agent")
    days = _whole(agent.get("review_days"))
    if days is not None and not 1 <= days <= MOST_REVIEW_DAYS:
        yield Problem((*path, "review_days"), f"must be 1 to {MOST_REVIEW_DAYS}")


def link_problems(path: KeyPath, link: Table, servers: Table, agents: Table) -> Iterator[Problem]:
    """What is wrong with what an agent is given, by a task or by a hop."""
    may_be_empty = bool(link.get("delegable"))
    capabilities = link.get("capabilities")
    yield from capability_problems((*path, "capabilities"), capabilities, servers, may_be_empty=may_be_empty)
    agent = text(link.get("agent"))
    if agent.strip() and agent not in agents:
        yield Problem((*path, "agent"), f"there is no [agents.{agent}]")
    yield from _duration((*path, "expires_in"), link.get("expires_in"))
    yield from _budget((*path, "budget"), table(link.get("budget")))
    yield from _delegable(path, link, servers)


def _duration(path: KeyPath, value: object) -> Iterator[Problem]:
    """What is wrong with the seconds that a task or hop lives at most."""
    seconds = _whole(value)
    if seconds is not None and not 1 <= seconds <= LONGEST_TASK:
        yield Problem(path, f"must be 1 to {LONGEST_TASK} seconds (31 days)")


def _delegable(path: KeyPath, link: Table, servers: Table) -> Iterator[Problem]:
    """What is wrong with what may be handed on, how deep and how wide: all of it or nothing."""
    yield from capability_problems((*path, "delegable"), link.get("delegable"), servers)
    for key, most in (("depth", MOST_ACTORS - 1), ("fan_out", LARGEST_FAN_OUT)):
        number = _whole(link.get(key))
        if number is not None and not 1 <= number <= most:
            yield Problem((*path, key), f"must be 1 to {most}")
        if key in link and "delegable" not in link:
            yield Problem((*path, key), "has no effect without delegable: nothing may be handed on")
        if key not in link and "delegable" in link:
            yield Problem((*path, key), "missing; delegable needs it")


def _budget(path: KeyPath, budget: Table) -> Iterator[Problem]:
    """What is wrong with a budget."""
    calls, writes = _whole(budget.get("calls")), _whole(budget.get("writes"))
    if calls is not None and not 1 <= calls <= LARGEST_BUDGET:
        yield Problem((*path, "calls"), f"must be 1 to {LARGEST_BUDGET}")
    if writes is not None and writes < 0:
        yield Problem((*path, "writes"), "must be 0 or more")
    if calls is not None and writes is not None and writes > calls >= 1:
        yield Problem((*path, "writes"), "is more than calls, of which writes are a part")
    for currency, amount in table(budget.get("money")).items():
        if not money.is_currency(currency):
            yield Problem((*path, "money", currency), "is no currency: three capital letters (ISO 4217)")
        elif not isinstance(amount, str) or money.read(amount, currency) is None:
            yield Problem((*path, "money", currency), f"{money.form(currency)}, in quotes")
    for key, most in (("bytes_out", LARGEST_SIZE), ("destinations", LARGEST_BUDGET)):
        number = _whole(budget.get(key))
        if number is not None and not 1 <= number <= most:
            yield Problem((*path, key), f"must be 1 to {most}; without it there is no bound")


def capability_problems(
    path: KeyPath, value: object, servers: Table, *, may_be_empty: bool = False
) -> Iterator[Problem]:
    """What is wrong with a list of capabilities. It may be empty where its holder only hands work on."""
    if value == [] and not may_be_empty:
        yield Problem(path, "is empty: nothing at all could be done")
    for index, entry in enumerate(items(value)):
        yield from _capability((*path, index), table(entry), servers)


_WRONG = {"tools": forms.wrong_pattern, "destinations": forms.wrong_place}


def _capability(path: KeyPath, entry: Table, servers: Table) -> Iterator[Problem]:
    for key in ("tools", "actions", "destinations"):
        if entry.get(key) == []:
            yield Problem((*path, key), "is empty: the capability would cover nothing")
    for key in ("tools", "destinations"):
        for index, pattern in enumerate(items(entry.get(key))):
            wrong = _WRONG[key](text(pattern))
            if wrong:
                yield Problem((*path, key, index), wrong)
            elif key == "tools" and text(pattern).strip():
                yield from tool_pattern((*path, key, index), text(pattern), servers)
    for argument, conditions in table(entry.get("constraints")).items():
        wrong = check_key(argument)
        if wrong:
            yield Problem((*path, "constraints", argument), wrong)
        if conditions == []:
            yield Problem(
                (*path, "constraints", argument), "has no conditions, so it would constrain nothing"
            )
        for index, condition in enumerate(items(conditions)):
            yield from _constraint((*path, "constraints", argument, index), condition)
    yield from _contradiction(path, entry)


def tool_pattern(path: KeyPath, pattern: str, servers: Table) -> Iterator[Problem]:
    """What is wrong with a tool as it is named in a capability or step."""
    server, slash, tool = pattern.partition("/")
    if not slash or not tool or "*" in server:
        yield Problem(path, f'"{pattern}": must be SERVER/TOOL, or SERVER/PREFIX*')
    elif server not in servers:
        yield Problem(path, f'"{pattern}": there is no [servers.{server}]')


def _constraint(path: KeyPath, condition: object) -> Iterator[Problem]:
    try:
        value = msgspec.convert(condition, Constraint)
    except msgspec.ValidationError:
        return
    wrong = constraint.check(value)
    if wrong:
        yield Problem(path, wrong)


def _contradiction(path: KeyPath, entry: Table) -> Iterator[Problem]:
    try:
        found = msgspec.convert(entry, Capability)
    except msgspec.ValidationError:
        return
    wrong = capability.check(found)
    if wrong == (capability.CONTRADICTION,):
        yield Problem((*path, "constraints"), wrong[0])


def _key(path: KeyPath, name: str, jwk: Table, holders: dict[str, str]) -> Iterator[Problem]:
    try:
        key = VerificationKey.from_jwk(jwk)
    except TokenError as error:
        yield Problem(path, f"is no usable public key (JWK): {error.message}")
        return
    for mark in (key.kid, thumbprint(jwk)):
        first = holders.setdefault(mark, name)
        if first != name:
            yield Problem(path, f"is the key of {first} too; each could speak as the other")


def _former_key(path: KeyPath, name: str, agent: Table, holders: dict[str, str]) -> Iterator[Problem]:
    """What is wrong with the key that another takes over from."""
    former = table(agent["former_key"])
    place = (*path, "former_key")
    jwk = table(former.get("jwk"))
    if "key" not in agent:
        yield Problem(place, "has no effect without key, which takes over from it")
    if jwk:
        yield from _key((*place, "jwk"), f'agent "{name}"', jwk, holders)
        if _marks(jwk) & _marks(table(agent.get("key"))):
            yield Problem((*place, "jwk"), "is key itself, or has its kid")
    until = former.get("until")
    if isinstance(until, datetime) and until.tzinfo is None:
        yield Problem((*place, "until"), "says no time zone; add Z for UTC")


def _marks(jwk: Table) -> set[str]:
    """What a key is told apart by; nothing where it is not usable."""
    try:
        return {VerificationKey.from_jwk(jwk).kid, thumbprint(jwk)}
    except TokenError:
        return set()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
