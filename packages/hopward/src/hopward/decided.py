"""What the decision log says of a call that another process has decided."""

from collections.abc import Container
from dataclasses import dataclass

from hopward.evaluation import call_digest
from hopward.ledger import RowFilter, SqliteLedger
from hopward.model import Chain, ToolCall


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions count: those behind row `after`, other than those in `but`; with `permitted`, only such
    that let the call go on, be it permitted or observed."""

    after: int
    but: Container[str] = ()
    permitted: bool = False


def decision_about(ledger: SqliteLedger, chain: Chain, call: ToolCall, wanted: Wanted) -> str:
    """The id of the newest decision that counts about exactly this call of this chain, or an empty text.

    Raises `LedgerError` where the log cannot be read, `ValueError` for arguments that JSON cannot carry.
    """
    asked = RowFilter(
        kind="decision", task=chain.task, tool=call.tool, server=call.server, after=wanted.after
    )
    told = (call_digest(call), list(chain.actors), list(chain.hops))
    for row in ledger.rows(asked):
        carried = row.record["chain"]
        same = (row.record["call"]["digest"], carried["actors"], carried["hops"]) == told
        goes_on = row.verdict == "permit" or row.record.get("observed") is True
        if same and row.decision not in wanted.but and (goes_on or not wanted.permitted):
            return row.decision
    return ""
