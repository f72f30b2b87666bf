"""What a call or a hop takes out of which budgets, and whether there is room for it. Pure.

Calls, writes and money are set aside for a hop, or shared with its delegator; so they count against the last
hop, and on up while a hop shares. Bytes and destinations are never set aside: what leaves a hop has left
the task as well, so they count against every link of the chain that bounds them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from hopward import money
from hopward.canonical import compact, compact_plain, is_plain
from hopward.model import Budget, Hop, Task, Tool, ToolCall, Usage
from hopward.money import BOUNDLESS
from hopward.record import Facts, Lack, Refusal, Reservation, Spent, Standing, Take
from hopward.spending import Amount

BYTES = "bytes_out"
PLACES = "destinations"
"""What is counted beside calls and writes, each under its name; money under its currency."""

NOTHING = Spent({}, {})


def accounts(task: Task, standing: Standing) -> tuple[str, ...]:
    """Whose budgets a call counts against: the last hop's, and on up while a hop shares its delegator's."""
    if not standing.hops:
        return (task.id,)
    found: list[str] = []
    for one in reversed(standing.hops):
        found.append(one.hop.id)
        if not one.hop.shared:
            return tuple(found)
    return (*found, task.id)


def cost(asked: Tool | Hop) -> Usage:
    """What a permit takes out of each account, of calls and writes.

    A call counts once. Handing on is a call of the delegator's own, and what is set aside for the hop comes
    out of the same.
    """
    if isinstance(asked, Tool):
        return Usage(calls=1, writes=0 if asked.action == "read" else 1)
    if asked.shared:
        return Usage(calls=1, writes=0)
    return Usage(calls=1 + asked.budget.calls, writes=asked.budget.writes)


def share_of_call(tool: Tool, facts: Facts, task: Task, standing: Standing) -> Reservation:
    """What a permitted call reserves; `facts` have been through `told`."""
    paying, taken = accounts(task, standing), cost(tool)
    if not facts.currency and facts.bytes_out is None and facts.new_destinations is None:
        return Reservation(paying, calls=taken.calls, writes=taken.writes)
    takes = [Take(account, facts.currency, facts.amount) for account in paying if facts.currency]
    links = _links(task, standing)
    if facts.bytes_out is not None:
        takes += [Take(one, BYTES, facts.bytes_out) for one in _bounding(links, BYTES)]
    reaching = _bounding(links, PLACES)
    return Reservation(
        paying,
        calls=taken.calls,
        writes=taken.writes,
        takes=tuple(takes),
        reaching=reaching,
        places=facts.destinations if reaching else (),
    )


def share_of_hop(hop: Hop, task: Task, standing: Standing) -> Reservation:
    """What opening a hop reserves: a call, and what is set aside for it."""
    paying, taken = accounts(task, standing), cost(hop)
    takes: list[Take] = []
    if not hop.shared:
        for currency in hop.budget.money:
            units = money.of(hop.budget.money, currency)
            takes += [Take(account, currency, units) for account in paying if units]
    return Reservation(paying, calls=taken.calls, writes=taken.writes, takes=tuple(takes))


def counts(amount: Amount | None, task: Task, standing: Standing) -> bool:
    """Whether a call counts against more than calls and writes."""
    if amount is not None or _is_bounded(task.budget):
        return True
    return any(_is_bounded(one.hop.budget) for one in standing.hops) if standing.hops else False


def told(
    facts: Facts, amount: Amount | None, call: ToolCall, chain: tuple[Task, Standing], spent: Spent
) -> Facts:
    """The facts of a call that counts against more than calls and writes, with what is left of it."""
    task, standing = chain
    links, paying = _links(task, standing), accounts(task, standing)
    bytes_in, places_in = _bounding(links, BYTES), _bounding(links, PLACES)
    found: dict[str, Any] = {}
    if amount is not None:
        left = min([_left(spent, account, amount.currency) for account in paying])
        found |= {"currency": amount.currency, "amount": amount.units, "money_left": max(left, 0)}
    if bytes_in:
        left = min([_left(spent, account, BYTES) for account in bytes_in])
        spell = compact_plain if is_plain(call.arguments) else compact
        found |= {"bytes_out": len(spell(call.arguments)), "bytes_left": max(left, 0)}
    if places_in:
        left = min([_left(spent, account, PLACES) for account in places_in])
        new = max([len(_new(facts.destinations, spent, account)) for account in places_in])
        found |= {"new_destinations": new, "destinations_left": max(left, 0)}
    return msgspec.structs.replace(facts, **found)


def all_accounts(task: Task, standing: Standing) -> tuple[str, ...]:
    """Every link of a chain that has a budget."""
    return tuple(one for one, _ in _links(task, standing))


def lacking(share: Reservation, spent: Spent) -> Lack | None:
    """What there is no room for; what an account has no allowance of, it has none of."""
    for take in share.takes:
        used, most = spent.counted.get((take.account, take.of), (0, 0))
        if used + take.amount > most:
            return Lack(take.of, take.amount, max(most - used, 0), most)
    for account in share.reaching:
        new = len(_new(share.places, spent, account))
        used, most = spent.counted.get((account, PLACES), (0, 0))
        if used + new > most:
            return Lack(PLACES, new, max(most - used, 0), most)
    return None


def new_places(share: Reservation, spent: Spent) -> Iterator[tuple[str, Sequence[str]]]:
    """Of each account that counts destinations, those of a share that it has not reached yet."""
    for account in share.reaching:
        yield account, _new(share.places, spent, account)


def allowances(budget: Budget) -> Mapping[str, int]:
    """What is counted beside calls and writes, and how much of each there may be at most."""
    found = {currency: money.of(budget.money, currency) for currency in budget.money}
    if budget.bytes_out != BOUNDLESS:
        found[BYTES] = budget.bytes_out
    if budget.destinations != BOUNDLESS:
        found[PLACES] = budget.destinations
    return found


def usage_of(used: Usage, counted: Mapping[str, int]) -> Usage:
    """How much has been reserved in all, with what is counted beside calls and writes."""
    spent = {of: money.write(units, of) for of, units in counted.items() if money.is_currency(of) and units}
    return msgspec.structs.replace(
        used, money=spent, bytes_out=counted.get(BYTES, 0), destinations=counted.get(PLACES, 0)
    )


def least(asked: Budget, most: Budget) -> Budget:
    """Of a budget, what lies within another, in every dimension."""
    amounts = {one: min(money.of(asked.money, one), money.of(most.money, one)) for one in asked.money}
    return Budget(
        calls=min(asked.calls, most.calls),
        writes=min(asked.writes, most.writes),
        money={one: money.write(units, one) for one, units in amounts.items() if units},
        bytes_out=min(asked.bytes_out, most.bytes_out),
        destinations=min(asked.destinations, most.destinations),
    )


def exceeded(child: Budget, parent: Budget) -> str:
    """The dimension in which a budget exceeds its parent's, or empty."""
    beyond = {
        "calls": not 0 <= child.calls <= parent.calls,
        "writes": not 0 <= child.writes <= parent.writes,
        "money": any(money.of(child.money, one) > money.of(parent.money, one) for one in child.money),
        "bytes_out": child.bytes_out > parent.bytes_out,
        "destinations": child.destinations > parent.destinations,
    }
    return next((dimension for dimension, is_beyond in beyond.items() if is_beyond), "")


def unclear(told: str) -> Refusal:
    """The refusal of a call whose arguments do not tell without doubt what it spends."""
    return ("amount_unclear", told)


def exhausted(*, calls: bool, handed: bool) -> Refusal:
    """The refusal of what a budget has no room for: its `calls`, else its writes; `handed` if of a hop."""
    what = "calls" if calls else "calls that change something"
    return ("budget_exhausted", f"{_whose(handed=handed)} has used up its budget of {what}.")


def too_little(lack: Lack, *, handed: bool) -> Refusal:
    """The refusal of what there is too little left for, which says how much; `handed` if of a hop."""
    whose = _whose(handed=handed)
    if money.is_currency(lack.of):
        asked, left = (money.write(units, lack.of) for units in (lack.asked, lack.left))
        if not lack.most:
            told = f"{whose} has no budget of {lack.of}, and this would spend {asked}."
        else:
            told = f"{whose} has {left} {lack.of} left of its budget, and this would spend {asked}."
    elif lack.of == BYTES:
        told = f"{whose} may give out {lack.left} bytes more, and this call's arguments are {lack.asked}."
    else:
        told = f"{whose} may reach {lack.left} new destinations, and this call leads to {lack.asked}."
    return ("budget_exhausted", told)


def _whose(*, handed: bool) -> str:
    return "The hop, or what it shares a budget with," if handed else "The task"


def _links(task: Task, standing: Standing) -> tuple[tuple[str, Budget], ...]:
    return (*[(one.hop.id, one.hop.budget) for one in reversed(standing.hops)], (task.id, task.budget))


def _bounding(links: Iterable[tuple[str, Budget]], of: str) -> tuple[str, ...]:
    return tuple([account for account, budget in links if getattr(budget, of) != BOUNDLESS])


def _is_bounded(budget: Budget) -> bool:
    return budget.bytes_out != BOUNDLESS or budget.destinations != BOUNDLESS


def _left(spent: Spent, account: str, of: str) -> int:
    used, most = spent.counted.get((account, of), (0, 0))
    return most - used


def _new(places: Iterable[str], spent: Spent, account: str) -> tuple[str, ...]:
    reached = spent.reached.get(account, ())
    return tuple([place for place in dict.fromkeys(places) if place not in reached])
