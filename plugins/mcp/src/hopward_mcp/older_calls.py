"""The requests under way at an older server: who waits for each, and how each ends when nobody does."""

from collections import deque
from collections.abc import Iterable, Iterator

from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import REFUSED, error
from hopward_mcp.older_shapes import ASKING, LEVELS
from hopward_mcp.parked import Call, Parked
from hopward_mcp.seam import Seam

_MOST_LEFT = 1_024


class Calls:
    """The calls of one connection: those waited for, by our id of the round that waits, and the parked ones.

    `mixed` is whether more than one principal has used the connection.
    """

    def __init__(self, gate: Gate, seam: Seam) -> None:
        self.parked = Parked(gate.now, gate.mark)
        self.mixed = False
        self._gate = gate
        self._seam = seam
        self._waited_for: dict[int, Call] = {}
        self._at_server: dict[int, Call] = {}
        self._left: deque[object] = deque(maxlen=_MOST_LEFT)
        self._first: object = None

    def __len__(self) -> int:
        return len(self._waited_for) + len(self.parked)

    def begin(self, key: int, call: Call) -> None:
        """A round waits for a call from now on."""
        if self._first is None:
            self._first = call.who
        self.mixed = self.mixed or self._first != call.who
        call.key = key
        pending = self._seam.pending(key)
        call.decision = pending.decision.id if pending is not None and pending.decision else ""
        self._waited_for[key] = call

    def sent(self, call: Call, at_server: int) -> None:
        """The server has got a call, under this id."""
        call.at_server = at_server
        self._at_server[at_server] = call

    def rest(self, call: Call) -> None:
        """Nobody waits for a call just now."""
        if call.key is not None:
            self._waited_for.pop(call.key, None)
            call.key = None

    def close(self, call: Call) -> None:
        """A call has ended."""
        self.rest(call)
        self.unsent(call)

    def unsent(self, call: Call) -> None:
        """The server is done with a call."""
        if call.at_server is not None:
            self._at_server.pop(call.at_server, None)
            call.at_server = None

    def waited_for(self, key: object) -> Call | None:
        """The call that a round waits for."""
        return self._waited_for.get(key) if isinstance(key, int) else None

    def at_server(self, key: object) -> Call | None:
        """The call that the server knows by this id."""
        return self._at_server.get(key) if isinstance(key, int) else None

    def forgotten(self, key: object) -> bool:
        """Whether a late answer has come to a call that was given up; says so once."""
        if key not in self._left:
            return False
        self._left.remove(key)
        return True

    def forget(self, key: int) -> None:
        """Expect no answer to this id any more."""
        self._left.append(key)

    def open(self) -> Iterator[Call]:
        """The calls somebody waits for, oldest first."""
        return iter([call for call in self._waited_for.values() if self._is_open(call)])

    def asking(self) -> list[Call]:
        """The calls at the server in whose middle it may ask, those with somebody waiting last."""
        waiting = [call for call in self.open() if call.at_server is not None]
        parked = [call for call in self.parked.calls() if call.at_server is not None and not call.answer]
        return [call for call in (*parked, *waiting) if call.method in ASKING]

    def level(self) -> str:
        """The most talkative log level that an open call has asked for, empty for none."""
        levels = [LEVELS.index(call.level) for call in self.open() if call.level in LEVELS]
        return LEVELS[min(levels)] if levels else ""

    def sweep(self) -> None:
        """End what nobody waits for any more, and what has waited too long for its next round."""
        for call in [one for one in self._waited_for.values() if not self._is_open(one)]:
            self._cancel(call, "The client does not wait any more.")
        for call, why in self.parked.overdue(self._gate.guard.stands):
            self.abandon(call, why)

    def cancel(self, key: int, reason: str) -> bool:
        """The client has given up a round; whether it was one of a call."""
        call = self._waited_for.get(key)
        if call is None:
            return False
        self._cancel(call, reason)
        return True

    def end(self, why: str) -> None:
        """The connection has ended: nothing is parked any more."""
        self._waited_for.clear()
        self._at_server.clear()
        for call in self.parked.clear():
            self._note(call, why)

    def refuse_inputs(self, call: Call, sentence: str) -> None:
        """Tell the server that what it has asked for in a call does not come."""
        wanted, call.inputs = call.inputs, {}
        for one in wanted.values():
            if one.id is not None:
                self._seam.down(error(one.id, REFUSED, sentence), {})

    def abandon(self, call: Call, why: str) -> None:
        """End a parked call that has been taken out."""
        self._note(call, why)
        self._cancel(call, f"The call was given up: {why}.")

    def _cancel(self, call: Call, reason: str) -> None:
        """End a call at the server: it is told first, so that it does not act on a refused input."""
        at_server = call.at_server
        self.close(call)
        if at_server is not None:
            self.forget(at_server)
            told = {"requestId": at_server, "reason": reason}
            self._seam.send({"method": "notifications/cancelled", "params": told})
        self.refuse_inputs(call, reason)

    def _note(self, call: Call, why: str) -> None:
        after = f" of decision {call.decision}" if call.decision else ""
        sentence = f"The call{after} had asked for input and was given up: {why}."
        self._gate.note("input_abandoned", sentence, call.chain)

    def _is_open(self, call: Call) -> bool:
        return call.key is not None and self._seam.pending(call.key) is not None


def principals(calls: Iterable[Call]) -> int:
    """How many principals have made these calls."""
    return len({call.who for call in calls})
