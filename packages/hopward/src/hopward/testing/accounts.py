"""What tasks and hops have used of their budgets, for `MemoryLedger`."""

from collections.abc import Callable, Iterable, Sequence

from hopward import budget, money
from hopward.model import Budget, Hop, Usage
from hopward.record import Lack, Refused, Reservation, Spent, Take

_NOTHING = Usage(calls=0, writes=0)


class Accounts:
    """The accounts of a ledger, whose lock is held. `budget_of` tells what an account has been given."""

    def __init__(self, budget_of: Callable[[str], Budget | None]) -> None:
        self._budget_of = budget_of
        self._usage: dict[str, Usage] = {}
        self._spent: dict[tuple[str, str], int] = {}
        self._reached: set[tuple[str, str]] = set()
        self._held: dict[str, tuple[Take, ...]] = {}

    def usage(self, account: str) -> Usage:
        """As `SqliteLedger.usage`."""
        counted = {of: used for (one, of), used in self._spent.items() if one == account}
        return budget.usage_of(self._usage.get(account, _NOTHING), counted)

    def spent(self, accounts: Sequence[str], places: Sequence[str]) -> Spent:
        """As `SqliteLedger.spent`."""
        known = {one: self._budget_of(one) for one in accounts}
        counted = {
            (account, of): (self._spent.get((account, of), 0), most)
            for account, given in known.items()
            if given is not None
            for of, most in budget.allowances(given).items()
        }
        reached = {one: frozenset(p for p in places if (one, p) in self._reached) for one in accounts}
        return Spent(counted, reached)

    def reserve(self, share: Reservation) -> tuple[Refused, Lack | None]:
        """Take a share out of all accounts it counts against, or out of none and say why."""
        found = self.spent(share.known, share.places)
        lack = budget.lacking(share, found)
        if lack is not None:
            return "budget_other", lack
        pairs = [(self._budget_of(account), self.usage(account)) for account in share.accounts]
        if any(given is None or used.calls + share.calls > given.calls for given, used in pairs):
            return "budget_calls", None
        if any(given is None or used.writes + share.writes > given.writes for given, used in pairs):
            return "budget_writes", None
        self._add(share.accounts, share.calls, share.writes)
        for take in share.takes:
            self._take(take)
        for account, places in budget.new_places(share, found):
            self._reached.update((account, place) for place in places)
            self._take(Take(account, budget.PLACES, len(places)))
        return "", None

    def hold(self, decision: str, share: Reservation) -> None:
        """Remember what a permit has taken, until it is settled."""
        self._held[decision] = share.takes

    def settle(self, decision: str, *, give_back: bool) -> None:
        """What a permit has taken is spent or given back; only once."""
        held = self._held.pop(decision, ())
        for take in held if give_back else ():
            self._take(Take(take.account, take.of, -take.amount))

    def give_back_rest(self, hop: Hop, payers: Iterable[str]) -> None:
        """What was set aside for a hop and not used goes back to where it came from."""
        used, given, accounts = self.usage(hop.id), hop.budget, tuple(payers)
        self._add(accounts, used.calls - given.calls, used.writes - given.writes)
        for currency in given.money:
            rest = money.of(given.money, currency) - self._spent.get((hop.id, currency), 0)
            for account in accounts:
                self._take(Take(account, currency, -rest))

    def _take(self, take: Take) -> None:
        key = (take.account, take.of)
        self._spent[key] = self._spent.get(key, 0) + take.amount

    def _add(self, accounts: Iterable[str], calls: int, writes: int) -> None:
        for account in accounts:
            used = self._usage.get(account, _NOTHING)
            self._usage[account] = Usage(calls=used.calls + calls, writes=used.writes + writes)
